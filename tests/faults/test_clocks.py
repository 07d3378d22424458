"""Clocks that are wrong, that jump, and processes that sleep."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

import esm.clock
from esm.clock import SystemClock
from esm.telemetry import facts
from esm.testing.process import Process
from esm.testing.run import run
from tests.faults.world import HOUR, World


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_a_wall_clock_that_jumps_moves_no_deadline(monkeypatch: pytest.MonkeyPatch, jump_s: int) -> None:
    wall, monotonic = 1_700_000_000 * 10**9, 5 * 10**9
    times = SimpleNamespace(time_ns=lambda: wall, monotonic_ns=lambda: monotonic)
    monkeypatch.setattr(esm.clock, "time", times)
    clock = SystemClock()
    before = clock.now()
    wall += jump_s * 10**9
    monotonic += 250_000_000
    assert clock.now() - before == 250
    assert SystemClock().now() - before == jump_s * 1000, "who starts later sees it"


@pytest.mark.parametrize("skew_ms", [HOUR, -HOUR])
def test_a_worker_whose_clock_is_an_hour_off_reads_everything_once(skew_ms: int) -> None:
    async def main() -> None:
        world = World(shards=2, skew_ms=skew_ms)
        world.put(*"ab")
        async with world.worker(maximum_batching_window_in_seconds=1):
            world.put("c", key="key 1")
            await world.until(lambda: len(world.delivered) == 3)
        async with world.worker():
            world.put("d")
            await world.until(lambda: len(world.delivered) == 4)
        assert sorted(world.delivered) == [*"abcd"]

    run(main())


@pytest.mark.parametrize("skew_ms", [HOUR, 700, 0, -700, -HOUR])
def test_latest_after_a_restart_is_the_services_moment_whatever_the_workers_clock_says(skew_ms: int) -> None:
    async def main() -> None:
        world = World(skew_ms=skew_ms)
        world.put("long before")
        await asyncio.sleep(5)
        async with world.worker(starting_position="LATEST"):
            await asyncio.sleep(0.5)  # stopped before it has seen a record
        world.put("while nobody reads")
        await asyncio.sleep(5)
        async with world.worker(starting_position="LATEST"):
            world.put("later")
            await world.until(lambda: "later" in world.delivered)
        assert world.delivered == ["while nobody reads", "later"]

    run(main())


def test_records_from_the_future_are_of_no_age() -> None:
    async def main() -> None:
        world = World(skew_ms=-HOUR)
        world.put("a")
        async with world.worker(maximum_record_age_in_seconds=60):
            await world.until(lambda: world.delivered == ["a"])
        assert [fact.age_ms for fact in world.of(facts.InvocationStarted)] == [0]

    run(main())


def test_a_process_that_slept_for_ten_minutes_goes_on_where_it_was() -> None:
    """Its iterators have expired, and all of its timers are due at once."""

    async def main() -> None:
        world, stop = World(shards=2), asyncio.Event()

        async def life() -> None:
            async with world.worker(maximum_batching_window_in_seconds=1):
                await stop.wait()

        process = Process("sleeper", asyncio.get_running_loop())  # type: ignore[arg-type]  # a SimLoop
        process.start(life())
        for round_ in range(3):
            world.put(f"before {round_}")
            await world.until(lambda: world.delivered[-1:] == [f"before {round_}"])  # noqa: B023  # called at once
            process.pause(600)
            world.put(f"meanwhile {round_}")
            await asyncio.sleep(600)
            await world.until(lambda: world.delivered[-1:] == [f"meanwhile {round_}"])  # noqa: B023  # as above
        stop.set()
        await process.wait()
        assert world.delivered == [f"{when} {n}" for n in range(3) for when in ("before", "meanwhile")]
        assert not world.of(facts.PositionTrimmed)
        assert not world.of(facts.ShardHalted)

    run(main())
