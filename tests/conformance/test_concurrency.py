"""Reserved concurrency: a call that finds no room waits, and uses up no attempt and no receive.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html and
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html (throttling)
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import esm
from esm.telemetry import facts
from esm.testing import Put, PutConcurrency, Queue, Send, simulate
from esm.testing.events import SourceEvent

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
FAILED = "arn:aws:sqs:eu-west-1:123456789012:failed"


class Gauge:
    """A function that says how many of its calls there were at once."""

    def __init__(self, seconds: float = 1.0) -> None:
        self.running = self.most = 0
        self._seconds = seconds

    async def handle(self, _event: Any, _context: Any) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(self._seconds)
        self.running -= 1


def stream(function: esm.Function, **settings: Any) -> esm.EventSourceMapping:
    given = {"starting_position": "TRIM_HORIZON", **settings}
    return esm.EventSourceMapping(event_source_arn=STREAM, function=function, **given)


def queue(function: esm.Function, **settings: Any) -> esm.EventSourceMapping:
    return esm.EventSourceMapping(event_source_arn=QUEUE, function=function, **settings)


def receive_counts(trace: Any) -> list[int]:
    records = [record for call in trace.invocations for record in call.event["Records"]]
    return [int(record["attributes"]["ApproximateReceiveCount"]) for record in records]


def test_u5_no_room_for_a_moment_burns_no_receive() -> None:
    """U5: a message that is here while the function has no room is handed over later, received once."""
    gauge = Gauge()
    sent = [Send(str(n), at=1.0) for n in range(3)]
    events: list[SourceEvent] = [*sent, PutConcurrency(0, at=0.5), PutConcurrency(None, at=200.0)]
    trace = simulate(queue(esm.Function(gauge.handle), batch_size=1), events, queue=Queue(max_receive_count=1))
    assert sorted(trace.queue.deleted) == ["0", "1", "2"]
    assert trace.queue.dead_letters == []
    assert receive_counts(trace) == [1, 1, 1]
    assert min(call.started_at for call in trace.invocations) >= 200.0


def test_u5_a_message_that_was_received_before_waits_hidden() -> None:
    """Ten messages are received together, one may be handled at a time: none is received twice, none is lost."""
    gauge = Gauge(seconds=20.0)
    sent = [Send(str(n), at=0.0) for n in range(10)]
    function = esm.Function(gauge.handle, timeout=25.0, reserved_concurrency=1)
    settings = Queue(visibility_timeout=30, max_receive_count=1)
    trace = simulate(queue(function, batch_size=1), sent, queue=settings)
    assert (gauge.most, len(trace.queue.deleted), trace.queue.dead_letters) == (1, 10, [])
    assert receive_counts(trace) == [1] * 10


def test_u5_nothing_is_handed_over_with_no_concurrency_at_all() -> None:
    function = esm.Function(Gauge().handle, reserved_concurrency=0)
    trace = simulate(queue(function), [Send("1")], until=600.0)
    assert (trace.invocations, trace.queue.left) == ([], ["1"])


@pytest.mark.parametrize("reserved", [1, 3])
def test_a_stream_has_no_more_calls_at_once(reserved: int) -> None:
    gauge = Gauge()
    function = esm.Function(gauge.handle, reserved_concurrency=reserved)
    puts = [Put(str(n), key=str(n), at=-1.0) for n in range(40)]
    trace = simulate(stream(function, parallelization_factor=10, batch_size=1), puts, shards=2)
    assert gauge.most == reserved
    assert len(trace.invocations) == 40
    assert {call.attempt for call in trace.invocations} == {1}


def test_u5_of_a_stream_waiting_uses_up_no_attempt_and_keeps_the_order() -> None:
    """The stream's twin: throttled for minutes with a single attempt allowed, and nothing is given up."""
    gauge = Gauge(seconds=0.1)
    puts = [Put(str(n), key="a", at=1.0 + n / 10) for n in range(5)]
    events: list[SourceEvent] = [*puts, PutConcurrency(0, at=0.5), PutConcurrency(2, at=300.0)]
    mapping = stream(esm.Function(gauge.handle), batch_size=1, maximum_retry_attempts=0, destination_config=FAILED)
    trace = simulate(mapping, events)
    numbers = [int(call.event["Records"][0]["kinesis"]["sequenceNumber"]) for call in trace.invocations]
    assert numbers == sorted(numbers)
    assert [call.outcome for call in trace.invocations] == ["succeeded"] * 5
    assert trace.failure_documents == []
    throttled = [fact for fact in trace.facts if isinstance(fact, facts.FunctionThrottled)]
    assert [(fact.function, fact.records) for fact in throttled] == [("handle", 1)]


def test_a_record_that_gets_too_old_while_it_waits_is_given_up_in_time() -> None:
    function = esm.Function(Gauge().handle, reserved_concurrency=0)
    mapping = stream(function, maximum_record_age_in_seconds=60, destination_config=FAILED)
    trace = simulate(mapping, [Put("1", at=1.0)])
    assert trace.invocations == []
    assert [document["requestContext"]["condition"] for document in trace.failure_documents] == ["RecordAgeExceeded"]
    (discarded,) = [fact for fact in trace.facts if isinstance(fact, facts.RecordsDiscarded)]
    (began,) = [fact for fact in trace.facts if isinstance(fact, facts.FunctionThrottled)]
    assert 55_000 <= discarded.at - began.at <= 61_000


def test_a_concurrency_before_the_start_is_the_functions_own() -> None:
    with pytest.raises(ValueError, match="before the start"):
        simulate(stream(esm.Function(Gauge().handle)), [PutConcurrency(1, at=-1.0)])
