"""How the answer of a function with a tumbling window is read.

https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm.machine.outcome import Failed, PartlyFailed, Report, Succeeded, read_answer, read_window_answer

BATCH = {"10": None, "9": None, "11": None}
STATELESS: list[Any] = [
    None,
    "",
    [],
    {},
    0,
    "text",
    [{"state": {}}],
    {"State": {}},
    {"state": None},
    {"state": []},
    {"state": "{}"},
]


@pytest.mark.parametrize("reported", [BATCH, None], ids=["reporting", "not reporting"])
@pytest.mark.parametrize("value", STATELESS, ids=str)
def test_an_answer_without_a_state_object_has_failed(value: Any, reported: dict[str, None] | None) -> None:
    report = read_window_answer(value, reported)
    assert isinstance(report, Failed)
    assert report.function_error is None


def test_the_state_is_kept_as_text() -> None:
    assert read_window_answer({"state": {"sum": 1}, "more": 2}, BATCH) == Succeeded('{"sum":1}')
    assert read_window_answer({"state": {}}, None) == Succeeded("{}")


def test_failures_count_only_where_they_are_reported() -> None:
    value = {"state": {"sum": 1}, "batchItemFailures": [{"itemIdentifier": "9"}]}
    assert read_window_answer(value, BATCH) == PartlyFailed(frozenset({"9"}), '{"sum":1}')
    assert read_window_answer(value, None) == Succeeded('{"sum":1}')


@given(st.lists(st.sampled_from([{"itemIdentifier": "9"}, {"itemIdentifier": ""}, {}, None, "9"])))
def test_beside_the_state_the_answer_is_read_as_any_other(failures: list[Any]) -> None:
    value = {"state": {}, "batchItemFailures": failures}
    assert without_state(read_window_answer(value, BATCH)) == read_answer(value, BATCH)


def without_state(report: Report) -> Report:
    return (
        PartlyFailed(report.item_identifiers)
        if isinstance(report, PartlyFailed)
        else (Succeeded() if isinstance(report, Succeeded) else report)
    )


def test_a_state_that_is_nested_too_deeply_has_failed() -> None:
    state: dict[str, Any] = {}
    for _ in range(100_000):
        state = {"": state}
    report = read_window_answer({"state": state}, None)
    while state:  # or the interpreter itself would take it apart in one go
        state = state.pop("")
    assert isinstance(report, Failed)


def test_what_is_said_of_the_answer_holds_nothing_of_it() -> None:
    report = read_window_answer({"state": "secret"}, None)
    assert isinstance(report, Failed)
    assert "secret" not in report.message


def test_a_final_call_that_partly_fails_does_not_exist() -> None:
    """An identifier in its answer is of no record of it, so all of it failed."""
    answer = {"state": {}, "batchItemFailures": [{"itemIdentifier": "1"}]}
    report = read_window_answer(answer, frozenset())
    assert isinstance(report, Failed)
