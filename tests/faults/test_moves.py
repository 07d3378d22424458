"""Positions moved by hand while a worker reads: it lets go in order, and goes on from the new place."""

from __future__ import annotations

from typing import Any

from esm.errors import LeaseLostError
from esm.leasing.lease import Lease
from esm.leasing.moves import Move, after, at_end, beginning_at, passed_over
from esm.records.position import Checkpoint, Position
from esm.runtime.status import ShardStatus
from esm.runtime.worker import Worker
from esm.telemetry import facts
from esm.testing.run import run
from tests.faults.world import HOUR, World


async def move(world: World, worker: Worker, checkpoint: Checkpoint) -> Lease:
    """By force, as `esm positions --force` does."""
    while True:
        (lease,) = await world.store.load(worker.mappings[0].uuid)
        try:
            (new,) = await world.store.move([Move.of(lease, checkpoint)], at=0, who="ann@host", command="set")
        except LeaseLostError:
            continue
        return new


def number(world: World, value: str) -> str:
    """Puts a record; its sequence number."""
    _, record = world.stream.put(value.encode(), "a")
    return record.sequence_number


def shard(worker: Worker) -> ShardStatus:
    (found,) = worker.status().mappings[0].shards
    return found


async def checkpoint(world: World, worker: Worker) -> Checkpoint:
    (lease,) = await world.store.load(worker.mappings[0].uuid)
    return lease.checkpoint


def test_a_shard_that_was_moved_back_while_nothing_comes_is_read_again() -> None:
    async def main() -> None:
        world = World()
        world.put(*"abc")
        async with world.worker(batch_size=1) as worker:
            await world.until(lambda: world.delivered == [*"abc"])
            await world.until(lambda: shard(worker).position is not None)
            moved = await move(world, worker, beginning_at(Position.trim_horizon()))
            assert await world.until(lambda: world.delivered == [*"abcabc"]) < 45
            assert shard(worker).state == "reading"
            assert len(world.of(facts.LeaseLost)) == 1
            assert [fact.epoch for fact in world.of(facts.LeaseTaken)] == [1, moved.epoch + 1]
            world.put("d")
            await world.until(lambda: world.delivered == [*"abcabcd"])

    run(main())


def test_a_lane_that_writes_learns_at_once_that_its_shard_was_moved() -> None:
    """What it has out may end; nothing of it is settled, and it is read from the new place."""

    async def main() -> None:
        world = World()
        first = number(world, "a")
        world.put(*"bcdef")

        async def handle(event: dict[str, Any], context: Any) -> None:
            await world.handle(event, context)
            if world.delivered == ["a", "b"]:
                await move(world, worker, after(await checkpoint(world, worker), first))

        async with world.worker(function=handle, batch_size=1) as worker:
            await world.until(lambda: world.delivered[-1:] == ["f"])
        assert world.delivered == [*"abbcdef"]

    run(main())


def test_a_poison_pill_that_is_passed_over_is_not_called_again() -> None:
    async def main() -> None:
        world = World()

        async def handle(event: dict[str, Any], context: Any) -> None:
            await world.handle(event, context)
            if "pill" in world.delivered[-1:]:
                raise ValueError

        world.put("a")
        pill = number(world, "pill")
        world.put("b")
        async with world.worker(function=handle, batch_size=1, parallelization_factor=4) as worker:
            await world.until(lambda: world.delivered.count("pill") > 3)
            await move(world, worker, passed_over(await checkpoint(world, worker), pill))
            await world.until(lambda: world.delivered[-1:] == ["b"])
            tries = world.delivered.count("pill")
            await world.until(lambda: shard(worker).records_held == 0)
            assert world.delivered.count("pill") == tries

    run(main())


def test_a_shard_that_was_halted_is_begun_anew_where_it_was_moved_to() -> None:
    async def main() -> None:
        world = World()
        world.put(*"ab")
        async with world.worker(batch_size=1) as worker:
            await world.until(lambda: world.delivered == [*"ab"])
            runner = worker_runner(worker)
            runner._driver.fail(ValueError("a fault of ours"))
            await world.until(lambda: shard(worker).state == "halted")
            await move(world, worker, beginning_at(Position.trim_horizon()))
            await world.until(lambda: world.delivered == [*"abab"])
            assert shard(worker).state == "reading"

    run(main())


def worker_runner(worker: Worker) -> Any:
    assert worker._shift is not None
    (life,) = worker._shift.mappings.lives.values()
    ((_, runner),) = life.runner._runners.items()  # type: ignore[union-attr]  # a stream's
    return runner


def test_a_shard_that_was_moved_to_its_end_is_read_no_more_and_its_children_are() -> None:
    async def main() -> None:
        world = World()

        async def handle(event: dict[str, Any], context: Any) -> None:
            await world.handle(event, context)
            if "stuck" in world.delivered:
                raise ValueError

        world.put("stuck")
        async with world.worker(function=handle) as worker:
            await world.until(lambda: "stuck" in world.delivered)
            world.stream.split(0)
            world.put("child")
            (lease,) = [one for one in await world.store.load(worker.mappings[0].uuid) if not one.parents]
            world.delivered.clear()
            await world.store.move([Move.of(lease, at_end(lease.checkpoint))], at=0, who="", command="set end")
            await world.until(lambda: "child" in world.delivered, seconds=HOUR / 1000)

    run(main())
