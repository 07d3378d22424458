"""The compiled matcher against a slow and plain one that shares no code with it."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from esm.filtering.criteria import FilterCriteria, compile_for_sqs
from esm.filtering.match import Matching
from esm.filtering.pattern import parse_pattern
from tests.unit.filtering import oracle
from tests.unit.filtering.drawn import events, patterns

THOROUGH = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


@THOROUGH
@given(patterns, events)
def test_both_say_the_same(pattern: dict[str, Any], event: dict[str, Any]) -> None:
    assert Matching(parse_pattern(pattern).rules)(event) is oracle.matches(pattern, event)


@THOROUGH
@given(st.lists(patterns, min_size=1, max_size=3), events)
def test_the_fast_way_the_item_and_the_explanation_say_the_same(
    filters: list[dict[str, Any]], event: dict[str, Any]
) -> None:
    criteria = FilterCriteria([{"body": each} for each in filters], source="sqs")
    body = json.dumps(event)
    expected = any(oracle.matches({"body": each}, {"body": event}) for each in filters)
    assert criteria.matches({"body": body}) is expected
    assert compile_for_sqs(criteria)(body, {}) is expected
    assert criteria.explain({"body": body}).startswith("Filter ") is expected


@THOROUGH
@given(patterns, events)
def test_the_text_of_a_pattern_means_what_its_dict_does(pattern: dict[str, Any], event: dict[str, Any]) -> None:
    text = json.dumps(pattern, indent=1)
    assert Matching(parse_pattern(text).rules)(event) is Matching(parse_pattern(pattern).rules)(event)
