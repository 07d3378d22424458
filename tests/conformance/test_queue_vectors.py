"""The vectors of queues, played through the whole worker under virtual time.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

from typing import Any

import pytest

import esm
from esm.telemetry import facts
from esm.testing import Queue, Send, Trace, simulate
from tests.conformance.queue_vectors import ANSWERS, VECTORS, Answer, Played, QueueVector, Seen, check, raising

ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"
FIFO = ARN + ".fifo"
VISIBILITY = 60


def mapping(function: Any, arn: str = ARN, **settings: Any) -> esm.EventSourceMapping:
    return esm.EventSourceMapping(event_source_arn=arn, function=function, **settings)


def play(vector: QueueVector) -> Trace:
    arn = FIFO if vector.group else ARN
    sent = [Send(body, group=vector.group, at=-1.0) for body in vector.sent]
    queue = Queue(visibility_timeout=VISIBILITY, max_receive_count=vector.receives)
    return simulate(mapping(vector.function(), arn, **vector.settings), sent, queue=queue)


def played(trace: Trace) -> Played:
    calls = [
        Seen(
            tuple(record["body"] for record in one.event["Records"]),
            tuple(int(record["attributes"]["ApproximateReceiveCount"]) for record in one.event["Records"]),
            one.started_at,
            one.ended_at,
        )
        for one in trace.invocations
    ]
    queue = trace.queue
    return Played(calls, sorted(queue.deleted), sorted(queue.left), sorted(queue.dead_letters))


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_a_vector(vector: QueueVector) -> None:
    check(vector, played(play(vector)), visibility=VISIBILITY, late=0.5)


def test_u1_a_failure_changes_no_visibility() -> None:
    trace = play(VECTORS[0])
    assert not any(isinstance(fact, facts.MessagesReturned | facts.VisibilityExtended) for fact in trace.facts)


def test_u2_the_others_are_deleted_at_once() -> None:
    trace = play(VECTORS[1])
    deleted = [fact for fact in trace.facts if isinstance(fact, facts.MessagesDeleted)]
    assert [fact.messages for fact in deleted] == [3]
    assert deleted[0].at - next(f.at for f in trace.facts if isinstance(f, facts.InvocationEnded)) < 100


def test_u4_what_the_filter_drops_is_counted() -> None:
    assert sum(fact.filtered for fact in play(VECTORS[3]).facts if isinstance(fact, facts.Polled)) == 2


def test_u7_a_large_batch_needs_a_window() -> None:
    with pytest.raises(esm.MappingError, match="Maximum batch window in seconds must be greater than 0") as refused:
        mapping(raising(), batch_size=11)
    assert refused.value.code == "InvalidParameterValueException"


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)
@pytest.mark.parametrize("arn", [ARN, FIFO])
def test_an_answer(answer: Answer, arn: str) -> None:
    sent = [Send(body, group="a" if arn == FIFO else None, at=-1.0) for body in "12"]
    trace = simulate(mapping(answer.function(), arn, **answer.settings), sent, until=20.0)
    assert sorted(trace.queue.deleted) == list(answer.deleted)
    assert len(trace.invocations) == 1
