"""The vectors of queues, played through the whole worker under virtual time.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

import esm
from esm.telemetry import facts
from esm.testing import Queue, Send, Trace, simulate

ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"
FIFO = ARN + ".fifo"
PARTIAL = ["ReportBatchItemFailures"]

Handler = Callable[[dict[str, Any], Any], Any]


def mapping(function: Any, arn: str = ARN, **settings: Any) -> esm.EventSourceMapping:
    return esm.EventSourceMapping(event_source_arn=arn, function=function, **settings)


def bodies(trace: Trace) -> list[str]:
    return ["".join(record["body"] for record in one.event["Records"]) for one in trace.invocations]


def counts(trace: Trace) -> list[str]:
    return [
        record["attributes"]["ApproximateReceiveCount"] for one in trace.invocations for record in one.event["Records"]
    ]


def reporting(*bad: str, key: str = "messageId") -> Handler:
    def handle(event: dict[str, Any], _context: Any) -> dict[str, Any]:
        failed = [record[key] for record in event["Records"] if record["body"] in bad]
        return {"batchItemFailures": [{"itemIdentifier": each} for each in failed]}

    return handle


def raising(event: dict[str, Any], _context: Any) -> None:
    raise ValueError("no")


def test_u1_a_failed_message_comes_again_when_its_visibility_timeout_is_over() -> None:
    trace = simulate(mapping(raising), [Send("1", at=-1.0)], queue=Queue(visibility_timeout=60, max_receive_count=2))
    first, second = trace.invocations
    assert 59.5 < second.started_at - first.started_at < 60.5
    assert counts(trace) == ["1", "2"]
    assert trace.queue.dead_letters == ["1"]
    assert not any(isinstance(fact, facts.MessagesReturned) for fact in trace.facts)


def test_u2_of_a_partial_failure_all_but_the_listed_are_deleted_at_once() -> None:
    sent = [Send(body, at=-1.0) for body in "1234"]
    queue = Queue(visibility_timeout=60, max_receive_count=2)
    trace = simulate(mapping(reporting("2"), function_response_types=PARTIAL), sent, queue=queue)
    assert bodies(trace) == ["1234", "2"]
    assert 59.5 < trace.invocations[1].started_at < 60.5
    assert sorted(trace.queue.deleted) == ["1", "3", "4"]
    assert trace.queue.dead_letters == ["2"]
    deleted = [fact for fact in trace.facts if isinstance(fact, facts.MessagesDeleted)]
    assert [fact.messages for fact in deleted] == [3]
    assert deleted[0].at - next(f.at for f in trace.facts if isinstance(f, facts.InvocationEnded)) < 100


def test_u3_of_a_fifo_batch_the_prefix_is_deleted_and_the_rest_comes_again_in_order() -> None:
    tries = 0

    def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
        nonlocal tries
        tries += 1
        return reporting(*("34" if tries == 1 else ""))(event, context)  # type: ignore[no-any-return]  # as it says

    sent = [Send(body, group="a", at=-1.0) for body in "1234"]
    trace = simulate(mapping(handle, FIFO, function_response_types=PARTIAL), sent)
    assert bodies(trace) == ["1234", "34"]
    assert trace.queue.deleted == ["1", "2", "3", "4"]


def test_u4_what_the_filter_drops_is_deleted_without_an_invocation() -> None:
    sent = [Send('{"k": "a"}', at=-1.0), Send("plain", at=-1.0), Send('{"k": "z"}', at=-1.0)]
    trace = simulate(mapping(lambda e, c: None, filter_criteria=[{"body": {"k": ["a"]}}]), sent)
    assert bodies(trace) == ['{"k": "a"}']
    assert sorted(trace.queue.deleted) == sorted(each.body for each in sent)
    assert sum(fact.filtered for fact in trace.facts if isinstance(fact, facts.Polled)) == 2


def test_u6_an_unknown_identifier_fails_the_whole_batch() -> None:
    def handle(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
        return {"batchItemFailures": [{"itemIdentifier": "nope"}]}

    trace = simulate(mapping(handle, function_response_types=PARTIAL), [Send("1", at=-1.0)], until=20.0)
    assert trace.queue.deleted == []
    assert trace.queue.left == ["1"]
    assert [one.outcome for one in trace.invocations] == ["failed"]


def test_u7_a_large_batch_needs_a_window() -> None:
    with pytest.raises(esm.MappingError, match="Maximum batch window in seconds must be greater than 0"):
        mapping(raising, batch_size=11)


def test_u8_one_message_group_is_strictly_serial() -> None:
    async def handle(_event: dict[str, Any], _context: Any) -> None:
        await asyncio.sleep(1)

    trace = simulate(mapping(handle, FIFO), [Send(f"{i:02}", group="a", at=-1.0) for i in range(35)])
    assert "".join(bodies(trace)) == "".join(f"{i:02}" for i in range(35))
    calls = trace.invocations
    assert all(later.started_at >= one.ended_at for one, later in pairwise(calls))


# -- the answers of a function that reports batch item failures --------------------------------------------------------

ALL, NONE = "all", "none"


@pytest.mark.parametrize(
    ("answer", "deleted"),
    [
        (None, ALL),
        ({}, ALL),
        ({"batchItemFailures": []}, ALL),
        ({"batchItemFailures": None}, ALL),
        ({"batchItemFailures": [{"itemIdentifier": "unknown"}]}, NONE),
        ({"batchItemFailures": [{"itemIdentifier": ""}]}, NONE),
        ({"batchItemFailures": [{"itemIdentifier": None}]}, NONE),
        ({"batchItemFailures": [{"wrong": "x"}]}, NONE),
        ({"batchItemFailures": [{"itemIdentifier": 7}]}, NONE),
        ({"batchItemFailures": "x"}, NONE),
        ({"batchItemFailures": [{}]}, NONE),
    ],
    ids=str,
)
@pytest.mark.parametrize("arn", [ARN, FIFO])
def test_an_answer(answer: Any, deleted: str, arn: str) -> None:
    sent = [Send(body, group="a" if arn == FIFO else None, at=-1.0) for body in "12"]
    settings: dict[str, Any] = {"function_response_types": PARTIAL}
    trace = simulate(mapping(lambda e, c: answer, arn, **settings), sent, until=20.0)
    assert sorted(trace.queue.deleted) == (["1", "2"] if deleted == ALL else [])


def test_an_exception_fails_the_whole_batch() -> None:
    trace = simulate(mapping(raising, function_response_types=PARTIAL), [Send("1", at=-1.0)], until=20.0)
    assert trace.queue.left == ["1"]


def test_without_the_setting_the_answer_is_not_looked_at() -> None:
    trace = simulate(mapping(reporting("1")), [Send("1", at=-1.0)])
    assert trace.queue.deleted == ["1"]


def test_receipt_handles_are_no_identifiers() -> None:
    function = reporting("1", key="receiptHandle")
    trace = simulate(mapping(function, function_response_types=PARTIAL), [Send("1", at=-1.0)], until=20.0)
    assert trace.queue.left == ["1"]
