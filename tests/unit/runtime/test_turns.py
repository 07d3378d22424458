"""What the drivers of a worker share: the time they may take of a turn of the loop, and nothing of their contexts."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

from esm.machine.outcome import Succeeded
from esm.runtime.driver import Driver
from esm.runtime.turns import TURN_MS, Turns
from esm.testing.run import run
from tests.unit.runtime.test_driver_turns import DONE, Clock, Numbers, Timed, driver_of, log_turns


@pytest.mark.parametrize(
    ("takes_ms", "expected"),
    [
        (TURN_MS, [["a", "b", "c"]] * 3),
        # The first has done all it has to when the time is over: the others learn of it all the same.
        (TURN_MS // 3 + 1, [["a", "a", "a", "b", "c"], ["b", "b", "c"], ["c"]]),
    ],
)
def test_drivers_that_are_busy_have_the_time_together(takes_ms: int, expected: list[list[str]]) -> None:
    clock, log = Clock(), list[str]()
    turns = Turns(Timed(clock))

    def begun(name: str) -> Driver[int, Succeeded]:
        def perform(_command: int) -> Succeeded:
            log.append(name)
            clock.ms += takes_ms
            return DONE

        return Driver(Numbers(3), perform, clock, lambda *_: None, turns)

    async def main() -> None:
        drivers = [begun(name) for name in "abc"]
        asyncio.get_running_loop().call_soon(log_turns, log, 8)
        await asyncio.gather(*(driver.run() for driver in drivers))

    run(main(), until=10, shuffle=False)
    each = "".join(entry[0] for entry in log).strip("t").split("t")
    assert [sorted(names) for names in each if names] == expected


def test_the_turns_end_with_the_turn_of_the_loop() -> None:
    async def main() -> None:
        turns, loop = Turns(), asyncio.get_running_loop()
        over = [turns.over()]
        turns.begin()
        began = loop.time()
        over.append(turns.over())
        while loop.time() < began + TURN_MS / 1000:
            pass
        over.append(turns.over())
        turns.begin()  # another does not make it longer
        over.append(turns.over())
        await asyncio.sleep(0)
        assert [*over, turns.over()] == [False, False, True, True, False]

    asyncio.run(main())


def test_time_that_has_begun_goes_on_in_the_next_turn_of_the_loop() -> None:
    """Where nobody has to learn of the end of a turn, the loop is not asked for one."""

    async def main() -> None:
        turns = Turns()
        turns.begin()
        await asyncio.sleep(0.6 * TURN_MS / 1000)
        turns.begin()
        assert not turns.over()
        await asyncio.sleep(0.6 * TURN_MS / 1000)
        assert turns.over()
        turns.begin()  # nothing begins anew before the loop had its turn
        assert turns.over()
        await asyncio.sleep(0)
        turns.begin()
        assert not turns.over()

    run(main(), until=10, shuffle=False)


def test_a_turn_that_is_cut_ends_with_what_is_being_done() -> None:
    machine, log = Numbers(6), list[str]()
    turns = Turns()

    def perform(command: int) -> Succeeded:
        log.append(str(command))
        if command == 2:
            turns.cut()
        return DONE

    async def main() -> None:
        of: Any = perform
        driver = Driver(machine, of, Clock(), lambda *_: None, turns)
        asyncio.get_running_loop().call_soon(log_turns, log, 3)
        await driver.run()

    run(main(), until=10, shuffle=False)
    assert "".join(entry[0] for entry in log).startswith("012t345")


def test_who_waits_for_room_is_told_when_a_turn_is_cut() -> None:
    machine, clock = Numbers(50), Clock()
    told: list[int] = []

    def perform(_command: int) -> Succeeded:
        clock.ms += TURN_MS
        return DONE

    driver = driver_of(machine, perform, clock=clock)

    async def waits() -> None:
        await driver.room()
        told.append(len(machine.settled))

    async def main() -> None:
        waiting = asyncio.create_task(waits())
        await asyncio.sleep(0)
        await driver.run()
        await waiting

    run(main(), until=10, shuffle=False)
    assert told[0] < 5


@pytest.mark.parametrize("waits", [False, True])
def test_what_a_command_sets_is_seen_by_all_of_it_and_by_nothing_else(waits: bool) -> None:
    variable = ContextVar("variable", default="unset")
    seen: list[str] = []

    async def goes_on(command: int) -> Succeeded:
        await asyncio.sleep(0.01)
        seen.append(variable.get())
        variable.set("later")
        return DONE

    def perform(command: int) -> Any:
        assert variable.get() == "unset"
        variable.set(f"of {command}")
        return goes_on(command) if waits else DONE

    async def main() -> None:
        await driver_of(Numbers(3), perform).run()
        assert variable.get() == "unset"

    run(main(), until=10)
    assert seen == (["of 0", "of 1", "of 2"] if waits else [])
