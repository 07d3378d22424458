"""A worker on a queue: a mapping that was changed knows it as well as before, and what its status says of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from esm.errors import SourceError
from esm.management.health import scale
from esm.mapping.function import Function
from esm.runtime.budget import Budget, Share
from esm.runtime.real import queue_source
from esm.runtime.worker import Worker
from esm.telemetry import facts
from esm.testing.run import run
from esm.testing.sqs import SimulatedSqs
from tests.simulation.stand import Instead, Stand, simulated

ARN = "arn:aws:sqs:eu-west-1:123456789012:orders"


class Change:
    """A worker on a queue of which each message takes `takes` seconds."""

    def __init__(self, *, takes: float = 0.0, drain_timeout: float = 25.0, **queue: Any) -> None:
        self.stand = Stand()
        self.sqs = SimulatedSqs(self.stand.clock)
        self.queue = self.sqs.create_queue(ARN, **queue)
        self.asked: list[int] = []
        self.takes = takes
        self.calls = 0
        self.api: Any = Instead(self.sqs, receive_message=self._receive)
        self.worker = Worker(
            [
                self.stand.mapping(
                    event_source_arn=ARN, function=Function(self.handle, timeout=20.0), starting_position=None
                )
            ],
            **self.stand.options()
            | {
                "ports": self.stand.ports(open_queue=lambda mapping: queue_source(self.api, mapping)),
                "drain_timeout": drain_timeout,
            },
        )

    async def _receive(self, _n: int, real: Any, *args: Any, **named: Any) -> Any:
        self.asked.append(named["visibility_seconds"])
        return await real(*args, **named)

    async def handle(self, _event: Any, _context: Any) -> None:
        self.calls += 1
        await asyncio.sleep(self.takes)


@simulated
async def test_after_an_update_messages_are_hidden_for_as_long_as_the_queue_says() -> None:
    change = Change(visibility_timeout=120)
    async with change.worker as worker:
        await asyncio.sleep(1)
        await worker.update(worker.mappings[0].uuid, batch_size=5)
        await asyncio.sleep(1)
    assert set(change.asked) == {120}


@simulated
async def test_after_an_update_a_stop_that_cuts_a_call_off_is_not_clean() -> None:
    change = Change(takes=15, drain_timeout=3)
    async with change.worker as worker:
        await asyncio.sleep(1)
        await worker.update(worker.mappings[0].uuid, batch_size=5)
        change.queue.send("a")
        await asyncio.sleep(1)
        assert change.calls == 1
    assert not worker.clean


@simulated
async def test_an_update_while_the_queue_does_not_answer_waits_for_its_answer() -> None:
    change = Change(visibility_timeout=120)
    async with change.worker as worker:
        await asyncio.sleep(1)
        change.queue.send("a")
        await asyncio.sleep(5)
        answers = False

        async def describe(_n: int, real: Any, *args: Any) -> Any:
            if not answers:
                raise SourceError("InternalFailure", "not now")
            return await real(*args)

        change.api = Instead(change.api, get_queue_attributes=describe)
        await worker.update(worker.mappings[0].uuid, batch_size=5)
        received = len(change.asked)
        await asyncio.sleep(100)
        status = worker.get(worker.mappings[0].uuid)
        assert (status.shards[0].state, status.last_error) == ("waiting", "InternalFailure: not now")
        assert len(change.asked) == received, "nothing is received that would be hidden too short"
        answers = True
        change.queue.send("b")
        await asyncio.sleep(60)
        status = worker.get(status.uuid)
        assert (status.shards[0].state, status.last_error) == ("reading", None)
    assert change.calls == 2
    assert set(change.asked) == {120}


@simulated
async def test_a_queue_that_answers_again_has_no_error_any_more() -> None:
    change = Change()
    answers = True

    async def describe(_n: int, real: Any, *args: Any) -> Any:
        if not answers:
            raise SourceError("InternalFailure", "not now")
        return await real(*args)

    change.api = Instead(change.api, get_queue_attributes=describe)
    async with change.worker as worker:
        answers = False
        await asyncio.sleep(100)
        assert worker.list()[0].last_error == "InternalFailure: not now"
        answers = True
        await asyncio.sleep(60)
        assert worker.list()[0].last_error is None


@pytest.mark.parametrize("hangs", [True, False])
def test_a_queue_without_an_answer_holds_up_no_stop(hangs: bool) -> None:
    async def main() -> None:
        change = Change()

        async def describe(*_: Any) -> Any:
            if hangs:
                await asyncio.sleep(3600)
            raise SourceError("InternalFailure", "not now")

        async with change.worker as worker:
            await asyncio.sleep(1)
            change.api = Instead(change.api, get_queue_attributes=describe)
            await worker.update(worker.mappings[0].uuid, batch_size=5)
            await asyncio.sleep(7)
            stopping = change.stand.clock.now()
        assert change.stand.clock.now() - stopping < 1000
        assert worker.clean

    run(main())


@simulated
async def test_an_update_goes_on_where_the_function_may_now_take_longer_than_messages_are_hidden() -> None:
    """Lambda would refuse it; here what is handled is extended."""
    change = Change(takes=70, visibility_timeout=30)
    async with change.worker as worker:
        await worker.update(worker.mappings[0].uuid, function=Function(change.handle, timeout=100))
        change.queue.send("a")
        await asyncio.sleep(200)
    assert change.calls == 1
    assert worker.clean


@simulated
async def test_the_oldest_message_in_hand_is_the_lag_of_a_queue() -> None:
    """What the pods of a queue are scaled by."""
    change = Change(takes=15)
    async with change.worker as worker:
        await asyncio.sleep(1)
        assert scale(worker.status())["largest_lag_seconds"] == 0
        change.queue.send("a")
        await asyncio.sleep(10)
        change.queue.send("b")
        await asyncio.sleep(2)
        assert scale(worker.status())["work_waiting"] == 2
        assert scale(worker.status())["largest_lag_seconds"] == pytest.approx(12, abs=0.5)
        await asyncio.sleep(8)
        assert scale(worker.status())["largest_lag_seconds"] == pytest.approx(10, abs=0.5)
        await asyncio.sleep(10)
        assert worker.status().mappings[0].shards[0].oldest_age_ms is None


@simulated
async def test_a_queue_that_is_switched_off_and_changed_takes_no_part_of_memory() -> None:
    """What is made for a change and never run counts as no reader."""
    change = Change()
    with pytest.MonkeyPatch.context() as patch:
        budgets: list[Budget] = []
        share = Budget.share

        def told(self: Budget, **how: bool) -> Share:
            budgets.append(self)
            return share(self, **how)

        patch.setattr(Budget, "share", told)
        async with change.worker as worker:
            (mapping,) = worker.mappings
            for settings in ({"enabled": False}, {"batch_size": 5}, {"enabled": True}):
                await worker.update(mapping.uuid, **settings)
            (budget,) = set(budgets)
            assert (len(budgets), budget.shares) == (4, 1)
    assert (budget.shares, budget.used) == (0, 0)


@simulated
async def test_a_time_that_is_none_keeps_no_status_from_being_told_and_nothing_from_being_closed() -> None:
    """A recording may say anything."""
    change = Change(takes=15)

    async def says_anything(_n: int, real: Any, *args: Any, **named: Any) -> Any:
        messages = await real(*args, **named)
        for message in messages:
            message.attributes["SentTimestamp"] = "1" * 5000
        return messages

    change.api = Instead(change.sqs, receive_message=says_anything)
    async with change.worker as worker:
        change.queue.send("a")
        await asyncio.sleep(5)
        (shard,) = worker.status().mappings[0].shards
        assert (shard.records_held, shard.oldest_age_ms) == (1, None)
    assert change.calls == 1
    assert worker.clean


@simulated
async def test_a_fault_beside_what_is_handled_is_named_itself_and_gives_messages_back() -> None:
    """As after any end: what is done is deleted, and the rest shown at once. Then the mapping is begun anew."""
    change = Change(takes=15, visibility_timeout=600)

    async def describe(n: int, real: Any, *args: Any) -> Any:
        if n == 2:
            raise ZeroDivisionError("a bug")
        return await real(*args)

    change.api = Instead(change.api, get_queue_attributes=describe)
    async with change.worker as worker:
        await asyncio.sleep(50)
        change.queue.send("a")
        await asyncio.sleep(12)
        (failed,) = change.stand.of(facts.MappingFailed)
        assert failed.error == "ZeroDivisionError('a bug')"
        (returned,) = change.stand.of(facts.MessagesReturned)
        assert (returned.messages, returned.missed) == (1, 0)
        assert worker.status().mappings[0].shards[0].state == "reading"
