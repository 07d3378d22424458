"""A large answer of a shard comes in parts: none is lost, none comes twice, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import Any

import pytest

from esm.telemetry import facts
from esm.testing.kinesis import SimulatedKinesis, _Rest
from tests.simulation.stand import Stand, shards, simulated, until

RECORDS = 40


def filled(stand: Stand) -> list[str]:
    """The sequence numbers of so many records."""
    return [stand.stream.put(b"data", f"key-{i}")[1].sequence_number for i in range(RECORDS)]


def held_parts() -> set[int]:
    """What gives the parts of answers, and is not let go."""
    gc.collect()
    return {id(held) for held in gc.get_objects() if isinstance(held, _Rest)}


@simulated
async def test_batches_are_those_of_the_whole_answer() -> None:
    stand = Stand(part_records=3)
    numbers, sizes = filled(stand), []

    async def handle(event: dict[str, Any], _context: Any) -> None:
        sizes.append(len(event["Records"]))
        stand.seen.extend(record["kinesis"]["sequenceNumber"] for record in event["Records"])

    async with stand.worker(function=handle, batch_size=7):
        await until(lambda: len(stand.seen) == RECORDS)
    assert stand.seen == numbers
    assert sizes == [7, 7, 7, 7, 7, 5]
    polls = [fact for fact in stand.of(facts.Polled) if fact.records]
    assert [fact.part for fact in polls] == list(range(14))
    assert sum(fact.records for fact in polls) == RECORDS


@simulated
async def test_a_part_of_no_records_is_a_failed_read_and_what_stood_before_it_is_kept() -> None:
    stand = Stand(part_records=3)
    numbers = filled(stand)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimulatedKinesis, "_torn_at", lambda _self, count: 16 if count == RECORDS else count)
        async with stand.worker(batch_size=10) as worker:
            await until(lambda: bool(stand.of(facts.PollFailed)))
            await asyncio.sleep(0.05)
            assert stand.seen == numbers[:15], "what is less than a batch does not wait for the next read"
            assert shards(worker)[0].last_error == "UnparsableAnswer: a part of it is no records"
            await until(lambda: len(stand.seen) == RECORDS)
    assert stand.seen == numbers
    assert len(stand.of(facts.PollFailed)) == 1


@simulated
async def test_a_stop_between_two_parts_begins_nothing_more_and_repeats_nothing() -> None:
    stand = Stand(part_records=3)
    numbers = filled(stand)

    async def handle(event: dict[str, Any], context: Any) -> None:
        await stand.handle(event, context)
        if len(stand.seen) == 9:
            worker.stop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("esm.runtime.driver.TURN_MAX", 1)
        worker = stand.worker(function=handle, batch_size=3)
        async with worker:
            await asyncio.sleep(1)
    assert 9 <= len(stand.seen) < RECORDS
    assert worker.clean
    async with stand.worker(batch_size=3):
        await until(lambda: len(stand.seen) == RECORDS)
    assert stand.seen == numbers


@simulated
async def test_what_is_not_taken_in_yet_counts_for_the_memory_of_the_worker() -> None:
    stand = Stand(part_records=3)
    filled(stand)
    held = []

    async def handle(_event: dict[str, Any], _context: Any) -> None:
        held.append(worker._shift.budget.held)  # type: ignore[union-attr]  # it runs

    worker = stand.worker(function=handle, batch_size=3)
    async with worker:
        await until(lambda: len(held) == RECORDS // 3 + 1)
    assert held[0] > 2 * held[-1]


@simulated
async def test_what_was_taken_in_is_held_by_nobody_while_the_next_read_is_waited_for() -> None:
    """The memory of an answer is reached through what gives its parts."""
    stand, before = Stand(part_records=3), held_parts()
    filled(stand)
    async with stand.worker(batch_size=7):
        await until(lambda: len(stand.seen) == RECORDS)
        await asyncio.sleep(0.05)
        assert held_parts() == before


@simulated
async def test_a_function_is_not_called_while_a_torn_part_is_handled() -> None:
    stand, handled = Stand(part_records=3), []
    filled(stand)

    async def handle(event: dict[str, Any], context: Any) -> None:
        handled.append(sys.exc_info()[0])
        await stand.handle(event, context)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimulatedKinesis, "_torn_at", lambda _self, count: 16 if count == RECORDS else count)
        async with stand.worker(function=handle, batch_size=4, parallelization_factor=3):
            await until(lambda: len(stand.seen) == RECORDS)
    assert set(handled) == {None}
