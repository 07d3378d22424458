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
from tests.unit.filtering.drawn import events, patterns, questions, tables

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


@settings(THOROUGH, max_examples=400)
@given(st.lists(questions, min_size=1, max_size=2), tables)
def test_an_element_is_found_by_every_way_of_asking(filters: list[dict[str, Any]], table: dict[str, Any]) -> None:
    expected = any(oracle.matches(each, table) for each in filters)
    rules = [rule for each in filters for rule in parse_pattern(each).rules]
    of_structs = Matching(rules, [()])
    assert Matching(rules)(table) is expected
    assert of_structs(of_structs.reader()(json.dumps(table))) is expected
    assert of_structs(table) is expected
