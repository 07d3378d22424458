"""The vectors of streams, played through the whole worker under virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from esm.mapping.settings import EventSourceMapping
from esm.telemetry.facts import RecordsDiscarded
from esm.testing import Invocation, Merge, Put, PutItem, Split, Trace, simulate
from esm.testing.events import StreamEvent
from tests.conformance.stream_vectors import VECTORS, Call, Failure, Vector, check, check_document, numbers, raising

KINESIS = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:failed"

both = pytest.mark.parametrize("source", [KINESIS, TABLE], ids=["kinesis", "dynamodb"])


def mapping(function: Any, source: str = KINESIS, **settings: Any) -> EventSourceMapping:
    settings.setdefault("starting_position", "TRIM_HORIZON")
    settings.setdefault("destination_config", QUEUE)
    return EventSourceMapping(event_source_arn=source, function=function, **settings)


def put(source: str, record: str, at: float) -> StreamEvent:
    """A record of one key; of a table, an item of its own, in the one shard there is."""
    return Put(record, key="a", at=at) if source == KINESIS else PutItem({"id": {"S": record}}, at=at)


def play(source: str, function: Any, records: str = "1234", *, age: float = 1.0, **settings: Any) -> Trace:
    """All records are there before the mapping starts, so that one read brings them all."""
    ages = [age, *[min(age, 1.0)] * (len(records) - 1)]
    events = [put(source, record, -age) for record, age in zip(records, ages, strict=True)]
    return simulate(mapping(function, source, **settings), events)


def invoked(trace: Trace) -> str:
    return " ".join(numbers(invocation.event) for invocation in trace.invocations)


@both
@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_a_vector(vector: Vector, source: str) -> None:
    trace = play(source, vector.function, vector.records, age=vector.age, **vector.settings)
    calls = [Call(one.event, one.request_id, one.started_at) for one in trace.invocations]
    check(vector, calls, trace.failure_documents)


@both
def test_t1_retries_of_an_unchanged_batch_count_up(source: str) -> None:
    trace = play(source, raising("2"), maximum_retry_attempts=2)
    assert [invocation.attempt for invocation in trace.invocations] == [1, 2, 3]


@both
@pytest.mark.parametrize(("retries", "count"), [(0, 1), (2, 3)])
def test_t11_an_event_over_six_megabytes_uses_up_its_attempts_without_an_invocation(
    source: str, retries: int, count: int
) -> None:
    """No item is as large as that on AWS, where a record of a table never gets into this."""
    large: StreamEvent = Put(b"x" * 5_000_000, at=-1.0)
    if source == TABLE:
        large = PutItem({"id": {"S": "1"}, "x": {"S": "x" * 6_300_000}}, at=-1.0)
    events = [large, put(source, "2", -1.0)]
    trace = simulate(mapping(raising("x"), source, maximum_retry_attempts=retries), events)
    assert invoked(trace) == "2"
    (document,) = trace.failure_documents
    check_document(document, Failure("RetryAttemptsExhausted", (count,), "1", "1", None), {})


def test_t13_children_wait_for_their_parents_and_siblings_overlap() -> None:
    async def handle(_event: dict[str, Any], _context: Any) -> None:
        await asyncio.sleep(2)

    events: list[StreamEvent] = [
        Put("p", at=-5.0, shard=0),
        Split(0, at=-4.0),
        Put("l", at=-3.0, shard=1),
        Put("r", at=-3.0, shard=2),
        Merge(1, 2, at=-2.0),
        Put("m", at=-1.0, shard=3),
    ]
    trace = simulate(mapping(handle), events)
    by_data = {numbers(invocation.event): invocation for invocation in trace.invocations}
    assert sorted(by_data) == ["l", "m", "p", "r"]
    parent, left, right, merged = (by_data[data] for data in "plrm")
    assert min(left.started_at, right.started_at) >= parent.ended_at
    assert _overlap(left, right)
    assert merged.started_at >= max(left.ended_at, right.ended_at)


def _overlap(one: Invocation, other: Invocation) -> bool:
    return one.started_at < other.ended_at and other.started_at < one.ended_at


@both
def test_after_a_discard_the_lane_goes_on_at_once(source: str) -> None:
    trace = play(source, raising("1"), "12", batch_size=1, maximum_retry_attempts=0)
    assert invoked(trace) == "1 2"
    assert trace.invocations[1].started_at - trace.invocations[0].ended_at < 0.2
    assert [fact.delivered for fact in trace.facts if isinstance(fact, RecordsDiscarded)] == [True]
