"""A function's answer is read as Lambda reads it when the mapping reports batch item failures.

https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
Rows that the page does not settle are marked.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from esm.clock import SystemClock
from esm.handlers.invoke import FunctionInvoker
from esm.handlers.invoker import Raised, Returned
from esm.machine.outcome import Failed, PartlyFailed, Report, Succeeded, read_answer
from esm.mapping.function import Function

LOW = "49600000000000000000000000000000000000000000000000000018"
HIGH = "49600000000000000000000000000000000000000000000000000029"
OTHER = "49600000000000000000000000000000000000000000000000000030"
BATCH = {LOW, HIGH}


def report_of(returned: Any, *, is_async: bool) -> Report:
    """What becomes of a batch whose handler returns this, through the invoker and its JSON."""

    def plain(event: Any, context: Any) -> Any:
        return returned

    async def coroutine(event: Any, context: Any) -> Any:
        return returned

    async def main() -> Report:
        function = Function(coroutine if is_async else plain)
        invoker = FunctionInvoker(function, arn="f", clock=SystemClock(), sync_inline=True)
        outcome = await invoker.invoke({}, "r")
        await invoker.close(0)
        if isinstance(outcome, Raised):
            return Failed(outcome.error_type, outcome.message)
        assert isinstance(outcome, Returned)
        return read_answer(outcome.value, BATCH)

    return asyncio.run(main())


def failures(*identifiers: Any) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in identifiers]}


both = pytest.mark.parametrize("is_async", [True, False], ids=["async", "plain"])


@both
@pytest.mark.parametrize(
    "returned",
    [
        None,
        "",
        [],
        (),
        {},
        {"batchItemFailures": []},
        {"batchItemFailures": ()},
        {"batchItemFailures": None},
        "done",  # observed
        200,  # chosen: it names nothing
        {"statusCode": 200},
    ],
    ids=repr,
)
def test_success(returned: Any, is_async: bool) -> None:
    assert report_of(returned, is_async=is_async) == Succeeded()


@both
@pytest.mark.parametrize(
    ("returned", "named"),
    [
        (failures(HIGH), {HIGH}),
        (failures(LOW, HIGH), {LOW, HIGH}),
        (failures(HIGH, LOW), {LOW, HIGH}),
        (failures(HIGH, HIGH), {HIGH}),
        ({"batchItemFailures": ({"itemIdentifier": HIGH},)}, {HIGH}),
        ({"batchItemFailures": [{"itemIdentifier": HIGH, "why": "bad"}], "more": 1}, {HIGH}),
    ],
    ids=["one", "several", "in any order", "twice", "a tuple", "more keys"],
)
def test_partial_failure(returned: Any, named: set[str], is_async: bool) -> None:
    assert report_of(returned, is_async=is_async) == PartlyFailed(frozenset(named))


@both
@pytest.mark.parametrize(
    "returned",
    [
        failures(""),
        failures(None),
        failures(int(LOW)),
        failures(OTHER),
        failures(f" {LOW}"),
        {"batchItemFailures": [{}]},
        {"batchItemFailures": [{"foo": LOW}]},
        {"batchItemFailures": [{"ItemIdentifier": LOW}]},
        failures(HIGH, OTHER),  # chosen: not settled by the page
        failures(HIGH, None),  # chosen
        {"batchItemFailures": [HIGH]},  # chosen
        {"batchItemFailures": {"itemIdentifier": HIGH}},  # chosen
    ],
    ids=[
        "empty",
        "null",
        "number",
        "not in the batch",
        "not quite in the batch",
        "missing",
        "wrong key",
        "wrong case",
        "valid and unknown",
        "valid and null",
        "list of text",
        "no list",
    ],
)
def test_the_whole_batch_failed_by_what_was_returned(returned: Any, is_async: bool) -> None:
    """The invoke itself succeeded, so a failure record has a null `functionError`. (observed)"""
    report = report_of(returned, is_async=is_async)
    assert isinstance(report, Failed)
    assert report.function_error is None


@both
@pytest.mark.parametrize(
    "returned", [failures(b"1"), {1, 2}, failures({1}), object()], ids=["bytes", "set", "inner", "object"]
)
def test_the_whole_batch_failed_because_json_cannot_hold_it(returned: Any, is_async: bool) -> None:
    report = report_of(returned, is_async=is_async)
    assert isinstance(report, Failed)
    assert (report.error_type, report.function_error) == ("Runtime.MarshalError", "Unhandled")
