"""A driver that fails, is drained or is cut off in the middle of a turn begins nothing after that."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest

from esm.errors import InvariantError
from esm.machine.outcome import Succeeded
from esm.runtime.turns import TURN_MS
from esm.testing.run import run
from tests.unit.runtime.test_driver_turns import DONE, Clock, Numbers, driver_of


async def fails(after: float) -> Succeeded:
    if after:
        await asyncio.sleep(after)
    raise ValueError("why")


def fails_now() -> Succeeded:
    raise ValueError("why")


@pytest.mark.parametrize("when", ["at once", "in its first step", "later"])
def test_what_a_command_raises_ends_the_run_and_leaves_the_machine_as_it_is(when: str) -> None:
    machine, begun = Numbers(5, lanes=3), []

    def perform(command: int) -> Any:
        begun.append(command)
        return fails_now() if when == "at once" else fails(0.1 if when == "later" else 0)

    async def main() -> None:
        driver = driver_of(machine, perform)
        with pytest.raises(ValueError, match="why"):
            await driver.run()
        assert not driver.at_rest
        assert driver.wanted == 0
        assert not driver.waiting

    run(main(), until=10)
    assert begun == ([0] if when == "at once" else [0, 1, 2])
    assert machine.settled == []


def test_those_that_wait_are_cancelled_when_another_fails_and_nothing_is_settled() -> None:
    machine = Numbers(3, lanes=3)
    ends: list[int] = []

    async def waits(command: int) -> Succeeded:
        try:
            await asyncio.sleep(60)
        finally:
            ends.append(command)
        return DONE

    async def main() -> None:
        with pytest.raises(ValueError, match="why"):
            await driver_of(machine, lambda n: fails(0.1) if n == 1 else waits(n)).run()
        assert sorted(ends) == [0, 2]

    run(main(), until=10)
    assert machine.settled == []


def test_what_the_machine_raises_ends_the_run() -> None:
    class Refuses(Numbers):
        def settle(self, command: int, _report: Any, _now: int) -> None:
            raise InvariantError("not out")

    for report in (lambda: DONE, lambda: asyncio.sleep(0, DONE), lambda: asyncio.sleep(0.1, DONE)):
        with pytest.raises(InvariantError, match="not out"):
            run(driver_of(Refuses(1), lambda _, report=report: report()).run(), until=10)  # type: ignore[misc]  # a lambda with a default


def test_one_that_is_failed_in_the_middle_of_a_turn_begins_nothing_more() -> None:
    machine, begun = Numbers(3, lanes=3), []

    def perform(command: int) -> Succeeded:
        begun.append(command)
        driver.fail(ValueError("the first"))
        driver.fail(ValueError("the second"))
        return DONE

    driver = driver_of(machine, perform)
    with pytest.raises(ValueError, match="the first"):
        run(driver.run(), until=10)
    assert (begun, machine.settled) == ([0], [0])


def test_one_that_is_drained_in_the_middle_of_a_turn_ends_what_is_out_and_takes_nothing_more() -> None:
    machine = Numbers(9, lanes=3)

    def perform(command: int) -> Any:
        if command == 0:
            driver.drain()
        return asyncio.sleep(0.1, DONE) if command == 2 else DONE

    driver = driver_of(machine, perform)
    run(driver.run(), until=10)
    assert machine.settled == [0, 1, 2]
    assert driver.at_rest


def test_one_that_is_cut_off_between_the_parts_of_a_turn_does_not_go_on() -> None:
    machine, clock, begun = Numbers(9, lanes=3), Clock(), []
    there = asyncio.Event()

    def perform(command: int) -> Succeeded:
        begun.append(command)
        there.set()
        clock.ms += TURN_MS
        return DONE

    async def main() -> None:
        driver = driver_of(machine, perform, clock=clock)
        running = asyncio.create_task(driver.run())
        await there.wait()
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        so_far = list(begun)
        driver.pump()
        await asyncio.sleep(1)
        assert begun == so_far
        assert len(begun) < 9

    run(main(), until=10, shuffle=False)


def test_one_that_does_not_run_yet_does_nothing_when_it_is_told_of_something() -> None:
    machine = Numbers(1)

    async def main() -> None:
        driver = driver_of(machine, lambda _: DONE)
        driver.pump()
        driver.pump_soon()
        await asyncio.sleep(0.1)
        assert machine.log == []
        await driver.run()
        assert machine.settled == [0]

    run(main(), until=10)


def test_no_timer_is_left_when_it_is_cut_off() -> None:
    machine = Numbers(1, due_at=1_500)

    async def main() -> None:
        driver = driver_of(machine, lambda _: DONE)
        running = asyncio.create_task(driver.run())
        await asyncio.sleep(0.1)
        timer = driver._timer
        assert timer is not None
        running.cancel()
        await asyncio.wait([running])
        assert timer.cancelled()

    run(main(), until=10)


def test_one_that_is_cut_off_ends_though_a_call_pardons_its_cancellation() -> None:
    machine = Numbers(1)

    async def pardons() -> Succeeded:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            assert task is not None
            task.uncancel()
        return DONE

    async def main() -> None:
        running = asyncio.create_task(driver_of(machine, lambda _: pardons()).run())
        await asyncio.sleep(0.1)
        running.cancel()
        done, _ = await asyncio.wait([running], timeout=5)
        assert done, "it waits for ever"
        assert machine.settled == [0]

    run(main(), until=100)


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_what_was_begun_when_it_is_cut_off_learns_of_it(turns: int) -> None:
    machine, told = Numbers(2, lanes=2), list[str]()

    async def waits() -> Succeeded:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            told.append("cancelled")
            raise
        return DONE

    async def main() -> None:
        running = asyncio.create_task(driver_of(machine, lambda _: waits()).run())
        for _ in range(1 + turns):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()

    run(main(), until=10)
    assert told == ["cancelled", "cancelled"]
    assert machine.settled == []


@pytest.mark.parametrize("turns", [0, 1, 5])
def test_one_in_a_scope_that_is_cancelled_ends_though_that_cancels_at_every_turn(turns: int) -> None:
    machine = Numbers(3, lanes=3)

    async def waits() -> Succeeded:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
        return DONE

    async def main() -> None:
        with anyio.CancelScope() as scope:
            for delay in range(turns):
                asyncio.get_running_loop().call_later(delay / 1000, scope.cancel)
            asyncio.get_running_loop().call_soon(scope.cancel)
            await driver_of(machine, lambda _: waits()).run()
        assert scope.cancelled_caught

    run(main(), until=10, shuffle=False)
    assert machine.settled == []
