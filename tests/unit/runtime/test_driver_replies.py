"""Commands that are a reply's: settled without a task, and at the end cancelled and waited for like all others."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

import pytest

from esm.errors import EsmError, InvariantError
from esm.machine.outcome import Succeeded
from esm.reply import Reply, reply_of
from esm.testing.run import run
from tests.unit.runtime.test_driver_turns import DONE, Numbers, driver_of

VARIABLE = ContextVar("VARIABLE", default="unset")


class Asked:
    """Gives replies, and tells them. `dropped`: those that nobody waits for any more."""

    def __init__(self) -> None:
        self.replies: dict[int, Reply[Any]] = {}
        self.dropped: list[int] = []

    def __call__(self, command: int) -> Reply[Any]:
        self.replies[command] = Reply(asyncio.get_running_loop(), lambda: self.dropped.append(command))
        return self.replies[command]

    def tell(self, command: int, report: Any = DONE) -> None:
        """As a transport does: outside of every task."""

        def answers() -> None:
            self.replies[command].set_result(report)
            self.replies[command].wake()

        asyncio.get_running_loop().call_soon(answers)


def test_it_is_settled_and_what_is_due_then_is_begun_in_the_turn_in_which_it_is_told() -> None:
    machine, asked = Numbers(2), Asked()

    async def main() -> None:
        running = asyncio.create_task(driver_of(machine, asked).run())
        await asyncio.sleep(0)
        before = asyncio.all_tasks()
        asked.tell(0)
        await asyncio.sleep(0)
        assert machine.log == ["take 0", "settle 0", "take 1"]
        assert asyncio.all_tasks() == before
        asked.tell(1)
        await running

    run(main(), until=10, shuffle=False)
    assert machine.settled == [0, 1]
    assert asked.dropped == []


def test_what_is_made_of_it_sees_what_its_command_set_and_no_other() -> None:
    machine, asked, seen = Numbers(2, lanes=2), Asked(), list[str]()

    def look(report: Succeeded) -> Succeeded:
        seen.append(VARIABLE.get())
        return report

    def perform(command: int) -> Reply[Any]:
        VARIABLE.set(f"of {command}")
        return asked(command).then(look)

    async def main() -> None:
        running = asyncio.create_task(driver_of(machine, perform).run())
        await asyncio.sleep(0)
        asked.tell(1)
        asked.tell(0)
        await running

    run(main(), until=10, shuffle=False)
    assert seen == ["of 1", "of 0"]


def test_its_error_ends_the_run_and_the_others_are_dropped() -> None:
    machine, asked = Numbers(3, lanes=3), Asked()

    async def main() -> None:
        driver = driver_of(machine, asked)
        running = asyncio.create_task(driver.run())
        await asyncio.sleep(0)
        asked.replies[1].set_exception(ValueError("why"))
        with pytest.raises(ValueError, match="why"):
            await running
        assert not driver.asked

    run(main(), until=10)
    assert (machine.settled, sorted(asked.dropped)) == ([], [0, 2])


def test_what_the_machine_says_of_it_ends_the_run() -> None:
    class Refuses(Numbers):
        def settle(self, command: int, _report: Any, _now: int) -> None:
            raise InvariantError("not out")

    async def main() -> None:
        asked = Asked()
        running = asyncio.create_task(driver_of(Refuses(1), asked).run())
        await asyncio.sleep(0)
        asked.tell(0)
        with pytest.raises(InvariantError, match="not out"):
            await running

    run(main(), until=10)


def test_a_cancellation_that_nobody_asked_for_ends_the_run() -> None:
    async def cancels_itself() -> Succeeded:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)
        return DONE

    async def main() -> None:
        driver = driver_of(Numbers(1), lambda _: reply_of(cancels_itself()))
        with pytest.raises(EsmError, match="gave a cancellation instead of an answer"):
            await driver.run()

    run(main(), until=10)


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_one_that_is_cut_off_drops_them(turns: int) -> None:
    machine, asked = Numbers(2, lanes=2), Asked()

    async def main() -> None:
        driver = driver_of(machine, asked)
        running = asyncio.create_task(driver.run())
        await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.wait([running], timeout=5)
        assert running.cancelled()
        assert not driver.asked
        assert driver.error is None

    run(main(), until=10, shuffle=False)
    assert (machine.settled, asked.dropped) == ([], [0, 1])


@pytest.mark.parametrize("pardons", [False, True])
def test_one_that_is_cut_off_waits_for_those_that_take_their_time_to_end(pardons: bool) -> None:
    """Behind one that was answered, and beside one in a task; who has an answer all the same is settled with it."""
    machine, ended = Numbers(3, lanes=2), list[int]()

    async def slow(command: int) -> Succeeded:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(command)
            ended.append(command)
            if not pardons:
                raise
        return DONE

    async def quick() -> Succeeded:
        return DONE

    def perform(command: int) -> Any:
        match command:
            case 0:
                return reply_of(quick())
            case 1:
                return slow(command)
            case _:
                return reply_of(slow(command))

    async def main() -> None:
        running = asyncio.create_task(driver_of(machine, perform).run())
        await asyncio.sleep(0.1)
        running.cancel()
        await asyncio.sleep(0.1)
        running.cancel()
        await asyncio.wait([running], timeout=30)
        assert running.cancelled()
        assert ended == [1, 2]

    run(main(), until=100)
    assert machine.settled == ([0, 1, 2] if pardons else [0])


def test_one_that_is_drained_waits_for_their_answers() -> None:
    machine, asked = Numbers(5, lanes=2), Asked()

    async def main() -> None:
        driver = driver_of(machine, asked)
        running = asyncio.create_task(driver.run())
        await asyncio.sleep(0)
        driver.drain()
        asked.tell(1)
        await asyncio.sleep(0.1)
        assert not running.done()
        asked.tell(0)
        await running

    run(main(), until=10)
    assert (machine.settled, asked.dropped) == ([1, 0], [])
