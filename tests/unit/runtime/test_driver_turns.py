"""What need not wait is done, settled and followed by what is due then, in one turn of the loop, but not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from esm.errors import EsmError, InvariantError
from esm.machine.outcome import Failed, Succeeded
from esm.runtime.driver import TURN_MAX, Driver
from esm.runtime.turns import TURN_MS, Turns
from esm.testing.run import run

DONE = Succeeded()


class Clock:
    """Stands still but for what a command takes."""

    def __init__(self) -> None:
        self.ms = 1_000

    def now(self) -> int:
        return self.ms


class Timed:
    """The running loop, by that clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def call_soon(self, callback: Callable[[], object]) -> object:
        return asyncio.get_running_loop().call_soon(callback)

    def time(self) -> float:
        return self._clock.ms / 1000


class Numbers:
    """A machine that gives the numbers below `count`, `lanes` at once. `due_at`: from when on."""

    def __init__(self, count: int, lanes: int = 1, due_at: int = 0) -> None:
        self.count, self.lanes, self.due_at = count, lanes, due_at
        self.given = 0
        self.settled: list[Any] = []
        self.log: list[str] = []
        self.on_take: Callable[[], None] = lambda: None

    def demand(self) -> int:
        return 7 if self.given else 0

    def take(self, now: int) -> int | None:
        self.on_take()
        if now < self.due_at or self.given - len(self.settled) >= self.lanes or self.given >= self.count:
            return None
        self.given += 1
        self.log.append(f"take {self.given - 1}")
        return self.given - 1

    def settle(self, command: int, _report: Any, _now: int) -> None:
        self.log.append(f"settle {command}")
        self.settled.append(command)

    def wake_at(self) -> int | None:
        return self.due_at if self.given < self.count and self.given == len(self.settled) else None

    def drain(self) -> None:
        self.count = self.given

    @property
    def finished(self) -> bool:
        return len(self.settled) >= self.count

    @property
    def over(self) -> bool:
        return self.finished


def driver_of(
    machine: Numbers,
    perform: Callable[[int], Any],
    *,
    clock: Clock | None = None,
    settled: Callable[[Any, int], None] = lambda *_: None,
    together: bool = False,
) -> Driver[int, Any]:
    def ports(command: Any) -> Any:
        """What `perform` gives, and for a coroutine what gives that."""
        done = perform(command)
        return (lambda: done) if isinstance(done, Coroutine) else done

    clock = clock or Clock()
    turns = Turns(Timed(clock))
    return Driver(machine, ports, clock, settled, turns, together=together)


def log_turns(log: list[str], count: int) -> None:
    """Writes down each turn of the loop from the next one on."""
    if count:
        log.append("turn")
        asyncio.get_running_loop().call_soon(log_turns, log, count - 1)


def played(driver: Driver[int, Any], log: list[str], turns: int = 20) -> None:
    """Runs it to its end, the loop's turns in the log."""

    async def main() -> None:
        asyncio.get_running_loop().call_soon(log_turns, log, turns)
        await driver.run()

    run(main(), until=10, shuffle=False)


def test_what_need_not_wait_is_done_in_one_turn_one_after_the_other() -> None:
    machine = Numbers(3)
    played(driver_of(machine, lambda _: DONE), machine.log, 0)
    assert machine.log == ["take 0", "settle 0", "take 1", "settle 1", "take 2", "settle 2"]


@pytest.mark.parametrize("waits", [False, True])
def test_all_that_is_due_is_taken_before_the_first_of_it_is_begun(waits: bool) -> None:
    machine = Numbers(3, lanes=3)

    async def ends() -> Succeeded:
        return DONE

    def perform(command: int) -> Any:
        machine.log.append(f"begin {command}")
        return ends() if waits else DONE

    played(driver_of(machine, perform), machine.log, 0)
    begun, settled = [f"begin {n}" for n in range(3)], [f"settle {n}" for n in range(3)]
    at_once = [entry for both in zip(begun, settled, strict=True) for entry in both]
    assert machine.log == ["take 0", "take 1", "take 2", *([*begun, *settled] if waits else at_once)]


def test_a_turn_is_over_after_its_time_and_goes_on_after_the_others() -> None:
    machine, clock = Numbers(7, lanes=7), Clock()

    def perform(_: int) -> Succeeded:
        clock.ms += TURN_MS // 2
        return DONE

    played(driver_of(machine, perform, clock=clock), machine.log)
    assert machine.settled == list(range(7))
    done = [entry for entry in machine.log if not entry.startswith("take")]
    assert done[:5] == ["settle 0", "settle 1", "settle 2", "turn", "settle 3"]
    assert done[5:8] == ["settle 4", "settle 5", "turn"]


def test_a_turn_is_over_after_so_many_commands_however_quick() -> None:
    machine = Numbers(TURN_MAX + 2)
    played(driver_of(machine, lambda _: DONE), machine.log)
    done = [entry for entry in machine.log if not entry.startswith("take")]
    assert done.index("turn") == TURN_MAX
    assert machine.settled == list(range(TURN_MAX + 2))


def test_what_is_told_in_the_middle_of_a_turn_is_done_in_it_and_not_inside_of_it() -> None:
    machine = Numbers(4, lanes=2)
    depth = deepest = 0

    def perform(_: int) -> Succeeded:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        driver.pump()
        depth -= 1
        return DONE

    driver = driver_of(machine, perform, settled=lambda *_: driver.pump())
    played(driver, machine.log)
    assert (deepest, machine.settled) == (1, [0, 1, 2, 3])


def test_what_comes_in_while_the_machine_is_asked_is_asked_for_once_more() -> None:
    class Late(Numbers):
        def take(self, now: int) -> int | None:
            command = super().take(now)
            if not self.lanes:
                self.lanes = 1
                driver.pump()
            return command

    machine = Late(1, lanes=0)
    driver = driver_of(machine, lambda _: DONE)
    run(driver.run(), until=10)
    assert machine.settled == [0]


def test_it_goes_on_soon_in_the_next_turn_and_once() -> None:
    machine = Numbers(1, due_at=2_000)
    clock = Clock()
    driver = driver_of(machine, lambda _: DONE, clock=clock)

    async def main() -> None:
        running = asyncio.create_task(driver.run())
        await asyncio.sleep(0.01)
        asked: list[int] = []
        machine.on_take = lambda: asked.append(1)
        for _ in range(3):
            driver.pump_soon()
        assert asked == []
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert asked == [1]
        clock.ms = 2_000
        driver.pump_soon()
        await running

    run(main(), until=0.9)
    assert machine.settled == [0]


@pytest.mark.parametrize("together", [False, True])
def test_what_comes_back_in_one_turn_is_settled_before_more_is_asked_for_where_that_is_said(together: bool) -> None:
    machine = Numbers(4, lanes=2)

    async def main() -> None:
        back: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        async def waits() -> Succeeded:
            await asyncio.shield(back)
            return DONE

        driver = driver_of(machine, lambda _: waits(), together=together)
        asyncio.get_running_loop().call_later(0.01, back.set_result, None)
        await driver.run()

    run(main(), until=10, shuffle=False)
    apart = ["settle 0", "take 2", "settle 1", "take 3"]
    one = ["settle 0", "settle 1", "take 2", "take 3"]
    assert machine.log[:6] == ["take 0", "take 1", *(one if together else apart)]


def test_it_wakes_when_something_is_due() -> None:
    machine, clock = Numbers(1, due_at=1_500), Clock()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        driver = driver_of(machine, lambda _: DONE, clock=clock)
        loop.call_later(0.4999, setattr, clock, "ms", 1_500)
        await driver.run()
        assert 0.5 <= loop.time() < 0.51

    run(main(), until=10)
    assert machine.settled == [0]


def test_what_is_due_sooner_than_was_said_wakes_it_sooner_and_what_is_later_leaves_it() -> None:
    machine, clock = Numbers(1, due_at=9_000), Clock()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        driver = driver_of(machine, lambda _: DONE, clock=clock)
        running = asyncio.create_task(driver.run())
        await asyncio.sleep(0.01)
        for machine.due_at in (1_500, 5_000):
            driver.pump()
        clock.ms = 1_500
        machine.due_at = 1_700  # as it is seen when it wakes
        await asyncio.sleep(0.5)
        clock.ms = 1_700
        await running
        assert 0.7 <= loop.time() < 0.72

    run(main(), until=10)


def test_a_machine_that_says_something_is_due_and_gives_nothing_is_at_fault() -> None:
    with pytest.raises(InvariantError, match="gives nothing"):
        run(driver_of(Numbers(1, lanes=0), lambda _: DONE).run(), until=10)


def test_whoever_waits_for_room_is_told_in_the_turn_that_makes_some() -> None:
    machine, clock = Numbers(2, due_at=1_500), Clock()

    async def main() -> None:
        driver = driver_of(machine, lambda _: asyncio.sleep(1, DONE), clock=clock)
        running = asyncio.create_task(driver.run())
        room = asyncio.create_task(driver.room())
        await asyncio.sleep(0.1)
        assert not room.done()
        clock.ms = 1_500
        driver.pump()
        assert await room == 7
        await running
        assert await driver.room() == 0
        assert driver.at_rest

    run(main(), until=10)


def test_those_that_are_out_are_known_with_the_time_they_are_out_since() -> None:
    machine, clock = Numbers(2, lanes=2), Clock()
    seen: list[dict[Any, int]] = []
    told: list[tuple[Any, int]] = []

    def perform(command: int) -> Failed:
        clock.ms += 1
        seen.append(dict(driver.out))
        return Failed("E", "m")

    driver = driver_of(machine, perform, clock=clock, settled=lambda command, now: told.append((command, now)))
    run(driver.run(), until=10)
    assert seen == [{0: 1_000, 1: 1_000}, {1: 1_000}]
    assert (told, driver.out) == ([(0, 1_001), (1, 1_002)], {})


def test_a_cancellation_that_nobody_meant_is_an_error_of_its_own() -> None:
    async def gives(first: float) -> Succeeded:
        if first:
            await asyncio.sleep(first)
        raise asyncio.CancelledError

    for first in (0.0, 0.1):
        with pytest.raises(EsmError, match="gave a cancellation"):
            run(driver_of(Numbers(1), lambda _, first=first: gives(first)).run(), until=10)  # type: ignore[misc]  # a lambda with a default
