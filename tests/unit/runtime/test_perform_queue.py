"""A queue that never answers, or not always: its calls end all the same, and nothing is taken for done."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from esm.aws.sqs_api import CALL_TIMEOUT_S, BatchOutput
from esm.errors import SourceError, SourceNotFoundError, SourceThrottledError
from esm.machine.queue_commands import (
    Changed,
    ChangeVisibility,
    Delete,
    EntryResult,
    QueueCommand,
    Receive,
    ReceiveFailed,
)
from esm.mapping.settings import EventSourceMapping
from esm.records.sqs import SqsMessage
from esm.reply import Reply
from esm.runtime.budget import Budget
from esm.runtime.home import Home
from esm.runtime.perform import MappingContext
from esm.runtime.perform_queue import QueuePerformer
from esm.runtime.rounds import Rounds
from esm.runtime.turns import Turns
from esm.sources.sqs import SqsSource
from esm.telemetry.facts import Fact, PollFailed
from esm.telemetry.observer import Observers
from esm.testing.loop import SimClock
from esm.testing.run import run

QUEUE = "arn:aws:sqs:eu-west-1:123456789012:silent"
RECORDS = [SqsMessage("a", "1"), SqsMessage("b", "2")]
NOTHING_KNOWN = Changed(dict.fromkeys(("a", "b"), EntryResult.FAILED))


def handler(_event: Any, _context: Any) -> None: ...


class Silent:
    """A queue that never answers."""

    async def receive_message(self, *_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    delete_message_batch = change_message_visibility_batch = receive_message


class Told:
    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def notice(self, fact: Fact) -> None:
        self.facts.append(fact)


def performer(told: Told, api: Any = None) -> QueuePerformer:
    clock = SimClock()
    nothing: Any = None
    context = MappingContext(
        mapping=EventSourceMapping(event_source_arn=QUEUE, function=handler),
        ports=cast("Any", SimpleNamespace(clock=clock)),
        store=nothing,
        invoker=cast("Any", SimpleNamespace(invoke=handler)),
        destination=None,
        criteria=None,
        observers=Observers([told]),
        slots=(),
        budget=Budget(1),
        rounds=Rounds(clock),
        turns=Turns(),
        home=Home(),
    )
    source = SqsSource(api or cast("Any", Silent()), queue_arn=QUEUE, region="eu-west-1", windowed=False)
    return QueuePerformer(context, source, {"mapping": "m", "shard": "q"})


async def performed(of: QueuePerformer, command: QueueCommand) -> Any:
    report = of.perform(command)
    assert isinstance(report, Reply), "a call to the queue is begun at once"
    return await report


def test_a_receive_that_is_never_answered_has_failed() -> None:
    told = Told()

    async def receive() -> None:
        clock, of = SimClock(), performer(told)
        began = clock.now()
        assert await performed(of, Receive(10, 20, 30, began)) == ReceiveFailed(0)
        assert clock.now() - began == CALL_TIMEOUT_S * 1000
        assert of.last_error == "TimeoutError: no answer within 65 s"

    run(receive())
    (fact,) = told.facts
    assert isinstance(fact, PollFailed)
    assert fact.code == "TimeoutError"


def test_of_a_batch_call_that_is_never_answered_nothing_is_known() -> None:
    async def change() -> None:
        of = performer(Told())
        commands: list[QueueCommand] = [Delete(RECORDS), ChangeVisibility(RECORDS, [0, 0], extends=False, at=0)]
        reports = await asyncio.gather(*(performed(of, command) for command in commands))
        for command, report in zip(commands, reports, strict=True):
            assert report == NOTHING_KNOWN, command
        assert of.extended == 0

    run(change())


def test_a_stop_is_no_answer_that_is_missing() -> None:
    async def receive() -> None:
        task = asyncio.create_task(performed(performer(Told()), Receive(10, 20, 30, 0)))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()

    run(receive())


class Unsteady:
    """A queue that refuses every first call of a kind, and does what it is asked the second time."""

    def __init__(self, refusal: SourceError) -> None:
        self._refusal = refusal
        self._asked = 0

    def _may_refuse(self) -> None:
        self._asked += 1
        if self._asked % 2:
            raise self._refusal

    async def receive_message(self, *_: Any, **__: Any) -> list[SqsMessage]:
        self._may_refuse()
        return []

    async def delete_message_batch(self, *_: Any) -> BatchOutput:
        self._may_refuse()
        return BatchOutput(frozenset(range(len(RECORDS))))

    change_message_visibility_batch = delete_message_batch


@pytest.mark.parametrize(
    "command",
    [
        Receive(10, 20, 30, 0),
        Delete(RECORDS),
        ChangeVisibility(RECORDS, [0, 0], extends=False, at=0),
    ],
    ids=lambda command: type(command).__name__,
)
def test_what_the_queue_refused_is_its_error_until_it_works_again(command: QueueCommand) -> None:
    async def twice() -> None:
        of = performer(Told(), Unsteady(SourceThrottledError("Throttling", "slower")))
        await performed(of, command)
        assert of.last_error == "Throttling: slower"
        await performed(of, command)
        assert of.last_error is None

    run(twice())


@pytest.mark.parametrize(
    ("refusal", "result"),
    [
        (SourceThrottledError("Throttling", "slower"), EntryResult.FAILED),
        (SourceNotFoundError("QueueDoesNotExist", "gone"), EntryResult.STALE),
    ],
)
def test_of_a_queue_that_is_gone_all_messages_are_gone(refusal: SourceError, result: EntryResult) -> None:
    async def delete() -> None:
        of = performer(Told(), Unsteady(refusal))
        assert await performed(of, Delete(RECORDS)) == Changed(dict.fromkeys(("a", "b"), result))

    run(delete())
