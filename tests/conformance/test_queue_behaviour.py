"""What Lambda's queue pollers do beyond the vectors, under virtual time.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

import asyncio
from base64 import b64encode
from collections import defaultdict
from itertools import pairwise
from typing import Any

import pytest

import esm
from esm.telemetry import facts
from esm.testing import Queue, Send, Trace, simulate

ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"
FIFO = ARN + ".fifo"


def mapping(function: Any, arn: str = ARN, *, timeout: float = 3.0, **settings: Any) -> esm.EventSourceMapping:
    return esm.EventSourceMapping(event_source_arn=arn, function=esm.Function(function, timeout=timeout), **settings)


def nothing(_event: dict[str, Any], _context: Any) -> None:
    pass


def sizes(trace: Trace) -> list[int]:
    return [len(one.event["Records"]) for one in trace.invocations]


def most_at_once(trace: Trace) -> int:
    times = [(one.started_at, 1) for one in trace.invocations] + [(one.ended_at, -1) for one in trace.invocations]
    now = most = 0
    for _, change in sorted(times):
        now += change
        most = max(most, now)
    return most


def taking(seconds: float) -> Any:
    async def handle(_event: dict[str, Any], _context: Any) -> None:
        await asyncio.sleep(seconds)

    return handle


def test_a_receive_makes_a_batch_of_ten_at_the_most() -> None:
    trace = simulate(mapping(nothing), [Send(str(i), at=-1.0) for i in range(25)])
    assert sorted(sizes(trace)) == [5, 10, 10]


def test_a_window_gathers_the_messages_of_many_receives() -> None:
    sent = [Send(str(i), at=i * 0.1) for i in range(30)]
    trace = simulate(mapping(nothing, batch_size=100, maximum_batching_window_in_seconds=5), sent)
    assert sizes(trace) == [30]
    assert 5.0 <= trace.invocations[0].started_at < 5.3


def test_a_full_batch_does_not_wait_for_its_window() -> None:
    sent = [Send(str(i), at=-1.0) for i in range(40)]
    trace = simulate(mapping(nothing, batch_size=20, maximum_batching_window_in_seconds=300), sent, until=250.0)
    assert sizes(trace) == [20, 20]
    assert trace.invocations[-1].started_at < 1.0


def test_a_batch_of_a_standard_queue_has_ten_thousand_messages_at_the_most() -> None:
    sent = [Send(f"{i}", at=-1.0) for i in range(1010)]
    settings: dict[str, Any] = {"maximum_batching_window_in_seconds": 30}
    trace = simulate(mapping(nothing, batch_size=1000, **settings), sent)
    assert sizes(trace) == [1000, 10]
    assert len(trace.queue.deleted) == 1010
    assert mapping(nothing, batch_size=10_000, **settings).batch_size == 10_000
    with pytest.raises(esm.MappingError, match="10000"):
        mapping(nothing, batch_size=10_001, **settings)


def test_a_batch_of_a_fifo_queue_has_ten_messages_at_the_most_and_no_window() -> None:
    trace = simulate(mapping(nothing, FIFO), [Send(str(i), group="a", at=-1.0) for i in range(12)])
    assert sizes(trace) == [10, 2]
    with pytest.raises(esm.MappingError):
        mapping(nothing, FIFO, batch_size=11)
    with pytest.raises(esm.MappingError):
        mapping(nothing, FIFO, maximum_batching_window_in_seconds=1)


def test_a_batch_is_cut_at_six_megabytes() -> None:
    sent = [Send("x" * 1_000_000, at=-1.0) for _ in range(8)]
    assert sorted(sizes(simulate(mapping(nothing), sent))) == [2, 6]


def test_maximum_concurrency_is_a_bound_and_burns_no_receives() -> None:
    sent = [Send(str(i), at=-1.0) for i in range(60)]
    queue = Queue(visibility_timeout=20, max_receive_count=1)
    settings: dict[str, Any] = {"batch_size": 1, "scaling_config": {"MaximumConcurrency": 2}}
    trace = simulate(mapping(taking(10), timeout=15, **settings), sent, queue=queue)
    assert most_at_once(trace) == 2
    assert len(trace.queue.deleted) == 60
    assert trace.queue.dead_letters == []


def test_concurrency_starts_with_five_and_grows_by_three_hundred_a_minute() -> None:
    sent = [Send(str(i), at=-1.0) for i in range(3000)]
    trace = simulate(mapping(taking(10), timeout=15, batch_size=1), sent, queue=Queue(visibility_timeout=60))
    assert sum(one.started_at < 1 for one in trace.invocations) == 5
    in_first_minute = [one for one in trace.invocations if one.started_at < 60]
    assert 250 <= most_at_once(Trace(in_first_minute)) <= 310


def test_provisioned_pollers_start_with_ten_slots_each() -> None:
    sent = [Send(str(i), at=-1.0) for i in range(100)]
    settings: dict[str, Any] = {"provisioned_poller_config": {"MinimumPollers": 3, "MaximumPollers": 4}}
    trace = simulate(mapping(taking(10), timeout=15, batch_size=1, **settings), sent)
    assert 30 <= sum(one.started_at < 1 for one in trace.invocations) < 40
    assert most_at_once(trace) <= 40


@pytest.mark.parametrize(("reporting", "slower"), [([], True), (["ReportBatchItemFailures"], False)])
def test_function_errors_lower_the_concurrency(reporting: list[str], slower: bool) -> None:
    async def handle(_event: dict[str, Any], _context: Any) -> None:
        await asyncio.sleep(1)
        raise ValueError

    sent = [Send(str(i), at=-1.0) for i in range(400)]
    settings: dict[str, Any] = {"batch_size": 1, "function_response_types": reporting}
    trace = simulate(mapping(handle, **settings), sent, queue=Queue(visibility_timeout=600), until=30.0)
    late = Trace([one for one in trace.invocations if one.started_at > 5])
    assert (most_at_once(late) <= 10) is slower


def test_a_long_handler_causes_no_duplicates() -> None:
    trace = simulate(mapping(taking(40), timeout=60), [Send("1", at=-1.0)], queue=Queue(visibility_timeout=60))
    assert sizes(trace) == [1]
    sent = [Send(str(i), group="a", at=-1.0) for i in range(3)]
    trace = simulate(mapping(taking(25), FIFO, timeout=30), sent, queue=Queue(visibility_timeout=30))
    assert sizes(trace) == [3]
    assert trace.queue.deleted == ["0", "1", "2"]


def test_a_batch_that_waits_in_a_window_stays_invisible() -> None:
    settings: dict[str, Any] = {"batch_size": 100, "maximum_batching_window_in_seconds": 120}
    trace = simulate(mapping(taking(20), timeout=30, **settings), [Send("1", at=-1.0)])
    (one,) = trace.invocations
    assert one.started_at > 119
    assert trace.queue.deleted == ["1"]
    assert any(isinstance(fact, facts.VisibilityExtended) for fact in trace.facts)


def test_an_extension_does_not_lengthen_the_wait_after_a_failure() -> None:
    async def handle(_event: dict[str, Any], _context: Any) -> None:
        await asyncio.sleep(25)
        raise ValueError

    queue = Queue(visibility_timeout=30, max_receive_count=2)
    trace = simulate(mapping(handle, timeout=30), [Send("1", at=-1.0)], queue=queue)
    first, second = trace.invocations
    assert 28 < second.started_at - first.started_at < 31


def test_message_groups_keep_their_order_side_by_side() -> None:
    failed: list[str] = []

    async def handle(event: dict[str, Any], _context: Any) -> None:
        await asyncio.sleep(2)
        first = event["Records"][0]
        if first["body"] == "a0" and not failed:
            failed.append(first["messageId"])
            raise ValueError

    sent = [Send(f"{group}{i}", group=group, at=-1.0 + i * 0.5) for i in range(8) for group in "abc"]
    trace = simulate(mapping(handle, FIFO), sent)
    seen: defaultdict[str, list[str]] = defaultdict(list)
    for one in trace.invocations:
        groups = {record["attributes"]["MessageGroupId"] for record in one.event["Records"]}
        assert len(groups) == 1
        seen[groups.pop()] += [record["body"] for record in one.event["Records"] if one.outcome == "succeeded"]
    assert dict(seen) == {group: [f"{group}{i}" for i in range(8)] for group in "abc"}
    assert most_at_once(trace) == 3
    done = {record["body"]: one.ended_at for one in trace.invocations for record in one.event["Records"]}
    assert done["b7"] < 20 < done["a0"]


def test_an_idle_queue_is_asked_by_few() -> None:
    trace = simulate(mapping(nothing), [Send("1", at=600.0)])
    assert sizes(trace) == [1]
    assert trace.invocations[0].started_at < 600.2


def test_duplicates_of_the_source_are_not_handled_at_once() -> None:
    sent = [Send(str(i), at=-1.0) for i in range(50)]
    queue = Queue(duplicates=0.3, short=0.3)
    trace = simulate(mapping(taking(2)), sent, queue=queue)
    spans: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in trace.invocations:
        for record in one.event["Records"]:
            spans[record["body"]].append((one.started_at, one.ended_at))
    assert all(later[0] >= one[1] for of in spans.values() for one, later in pairwise(of))
    assert sorted(trace.queue.deleted) == sorted(str(i) for i in range(50))


def test_a_queue_must_hide_messages_for_as_long_as_the_function_may_take() -> None:
    with pytest.raises(esm.MappingError, match="less than Function timeout: 31 seconds") as refused:
        simulate(mapping(nothing, timeout=31), [], queue=Queue(visibility_timeout=30))
    assert refused.value.code == "InvalidParameterValueException"


def test_after_a_stop_unhandled_messages_are_there_at_once() -> None:
    settings: dict[str, Any] = {"batch_size": 100, "maximum_batching_window_in_seconds": 100}
    trace = simulate(mapping(nothing, **settings), [Send("1", at=-1.0)], until=5.0)
    assert trace.invocations == []
    assert trace.queue.left == ["1"]
    assert sum(fact.messages for fact in trace.facts if isinstance(fact, facts.MessagesReturned)) == 1


@pytest.mark.parametrize("window", [0, 1])
def test_an_event_has_the_shape_that_lambda_gives_it(window: int) -> None:
    sent = [
        Send("plain", at=-1.0, trace_header="Root=1-5759e988-bd862e3fe1be46a994272793"),
        Send("more", group="fair", at=-0.5, attributes={"t": "x", "n": 7, "b": b"\x00\x01"}),
    ]
    trace = simulate(mapping(nothing, maximum_batching_window_in_seconds=window), sent)
    plain, more = (record for one in trace.invocations for record in one.event["Records"])
    assert set(plain) - {"md5OfMessageAttributes"} == {
        "messageId",
        "receiptHandle",
        "body",
        "attributes",
        "messageAttributes",
        "md5OfBody",
        "eventSource",
        "eventSourceARN",
        "awsRegion",
    }
    assert plain["messageAttributes"] == {}
    assert ("md5OfMessageAttributes" in plain) is bool(window)
    assert plain.get("md5OfMessageAttributes") is None
    assert plain["attributes"]["AWSTraceHeader"].startswith("Root=")
    assert all(isinstance(value, str) for value in plain["attributes"].values())
    assert (plain["eventSource"], plain["eventSourceARN"], plain["awsRegion"]) == ("aws:sqs", ARN, "eu-west-1")
    lists: dict[str, Any] = {"stringListValues": [], "binaryListValues": []}
    assert more["attributes"]["MessageGroupId"] == "fair"
    assert more["messageAttributes"] == {
        "t": {"stringValue": "x", "dataType": "String"} | lists,
        "n": {"stringValue": "7", "dataType": "Number"} | lists,
        "b": {"binaryValue": b64encode(b"\x00\x01").decode(), "dataType": "Binary"} | lists,
    }
    assert len(more["md5OfMessageAttributes"]) == 32


@pytest.mark.parametrize(
    ("message", "arn", "complaint"),
    [
        (Send(b"bytes"), ARN, "a message's body is text, and not empty"),  # type: ignore[arg-type]  # the caller's mistake
        (Send(""), ARN, "a message's body is text, and not empty"),
        (Send("é" * (1 << 19) + "x"), ARN, "a message has at most 1,048,576 bytes, not 1,048,577"),
        (Send("x" * (1 << 20), attributes={"n": 1}), ARN, "a message has at most 1,048,576 bytes, not 1,048,584"),
        (Send("x", attributes={f"{n}": 1 for n in range(11)}), ARN, "a message has at most 10 attributes, not 11"),
        (Send("x"), FIFO, "a message of a FIFO queue has a group"),
        (Send("x", group="a", delay=5.0), FIFO, "a message of a FIFO queue has no delay of its own"),
    ],
    ids=["bytes", "empty", "too long", "too long with its attributes", "attributes", "no group", "delay"],
)
def test_a_message_that_no_queue_takes_is_the_callers_mistake(message: Send, arn: str, complaint: str) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html

    The words are chosen.
    """
    with pytest.raises(ValueError, match=f"^{complaint}$"):
        simulate(mapping(nothing, arn), [message])


def test_a_message_of_a_mebibyte_is_taken() -> None:
    trace = simulate(mapping(nothing), [Send("x" * ((1 << 20) - 8), attributes={"n": 1})])
    assert len(trace.queue.deleted) == 1


@pytest.mark.parametrize(
    ("queue", "complaint"),
    [
        (Queue(visibility_timeout=-1), "a visibility timeout is 0 to 43,200 seconds, not -1"),
        (Queue(visibility_timeout=43_201), "a visibility timeout is 0 to 43,200 seconds, not 43,201"),
        (Queue(max_receive_count=0), "maxReceiveCount is 1 to 1,000, not 0"),
        (Queue(max_receive_count=1_001), "maxReceiveCount is 1 to 1,000, not 1,001"),
    ],
)
def test_a_queue_that_cannot_be_is_the_callers_mistake(queue: Queue, complaint: str) -> None:
    """https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html"""
    with pytest.raises(ValueError, match=f"^{complaint}$"):
        simulate(mapping(nothing), [], queue=queue)
