from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm.machine.outcome import Failed, PartlyFailed, Succeeded, read_answer

BATCH = {"10": None, "9": None, "11": None}


@pytest.mark.parametrize("value", [None, "", [], {}, 0, False, 0.0])
def test_an_answer_that_says_nothing_is_success(value: Any) -> None:
    assert read_answer(value, BATCH) == Succeeded()


@pytest.mark.parametrize("value", ["text", 1, 1.5, True, [1], ["10"], [{"itemIdentifier": "10"}], [[]]])
def test_an_answer_of_another_form_names_no_failures(value: Any) -> None:
    assert read_answer(value, BATCH) == Succeeded()


@pytest.mark.parametrize("value", [{"other": 1}, {"BatchItemFailures": [{"itemIdentifier": "10"}]}, {"": None}])
def test_an_object_without_failures_is_success(value: Any) -> None:
    assert read_answer(value, BATCH) == Succeeded()


@pytest.mark.parametrize("failures", ["10", "", 0, 1, True, False, {}, {"itemIdentifier": "10"}])
def test_failures_that_are_no_list_fail_the_batch(failures: Any) -> None:
    report = read_answer({"batchItemFailures": failures}, BATCH)
    assert isinstance(report, Failed)
    assert report.function_error is None


@pytest.mark.parametrize("bad", [{}, {"foo": "10"}, {"itemIdentifier": 10}, {"itemIdentifier": ["10"]}, "10", None, []])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_doubtful_identifier_fails_the_batch_wherever_it_stands(bad: Any, place: int) -> None:
    failures: list[Any] = [{"itemIdentifier": "9"}, {"itemIdentifier": "11"}]
    failures.insert(place, bad)
    report = read_answer({"batchItemFailures": failures}, BATCH)
    assert isinstance(report, Failed)
    assert report.function_error is None


@given(st.lists(st.sampled_from(sorted(BATCH)), min_size=1))
def test_identifiers_of_the_batch_are_a_partial_failure_in_any_order_and_number(named: list[str]) -> None:
    answer = {"batchItemFailures": [{"itemIdentifier": it, "more": 1} for it in named], "state": {}}
    assert read_answer(answer, BATCH) == PartlyFailed(frozenset(named))


def test_what_is_said_of_the_answer_holds_nothing_of_it() -> None:
    for failures in ("secret", [{"itemIdentifier": "secret"}]):
        report = read_answer({"batchItemFailures": failures}, BATCH)
        assert isinstance(report, Failed)
        assert "secret" not in report.message
