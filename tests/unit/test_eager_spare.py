"""Tasks of which nothing was needed stay for the next coroutine."""

from __future__ import annotations

import asyncio
import weakref
from typing import Any

import pytest

from esm.eager import EagerTasks
from tests.unit.eager_loops import LOOPS, ended, play, rest, turns

on_every_loop = pytest.mark.parametrize("loop", LOOPS)


async def nothing() -> None:
    """Ends in its first step."""


async def one_turn() -> None:
    await asyncio.sleep(0)


def others() -> set[asyncio.Task[Any]]:
    """All tasks but the one that asks."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def both(tasks: EagerTasks) -> tuple[asyncio.Task[None] | None, asyncio.Task[None] | None]:
    """The tasks of two coroutines, the second of which begins when the first has waited and ended."""
    first = tasks.start(one_turn())
    await turns()
    second = tasks.start(one_turn())
    await turns()
    return first, second


@on_every_loop
@pytest.mark.parametrize("turns_between", [0, 1, 3])
def test_a_task_that_was_not_needed_is_the_next_ones(loop: str, turns_between: int) -> None:
    async def main(tasks: EagerTasks) -> None:
        for _ in range(5):
            tasks.start(nothing())
            await turns(turns_between)
        spare = others()
        assert len(spare) == 1
        task = await ended(tasks.start(one_turn()))
        assert spare == {task}
        assert task.exception() is None

    play(loop, main)


@on_every_loop
@pytest.mark.parametrize("fails", [False, True])
def test_one_whose_coroutine_raised_in_its_first_step_is_kept_too(loop: str, fails: bool) -> None:
    async def begins() -> None:
        if fails:
            raise ValueError

    async def main(tasks: EagerTasks) -> None:
        for _ in range(3):
            try:
                tasks.start(begins())
            except ValueError:
                assert fails
            await turns()
        assert len(others()) == 1

    play(loop, main)


@on_every_loop
def test_a_task_that_was_waited_in_ends_with_its_coroutine(loop: str) -> None:
    async def main(tasks: EagerTasks) -> None:
        first, second = await both(tasks)
        assert first is not None
        assert second is not None
        assert first is not second
        assert first.done()
        assert second.done()
        assert first.result() is None
        assert others() == set()

    play(loop, main)


@on_every_loop
@pytest.mark.parametrize("spare_max", [0, 1, 2])
def test_no_more_are_kept_than_may_be(loop: str, spare_max: int) -> None:
    async def main(tasks: EagerTasks) -> None:
        async def nested(depth: int) -> None:
            if depth:
                tasks.start(nested(depth - 1))

        tasks.start(nested(4))
        await turns()
        assert len(others()) == spare_max
        tasks.start(nothing())
        await turns()
        assert len(others()) == spare_max

    play(loop, main, spare_max=spare_max)


@on_every_loop
@pytest.mark.parametrize("spare_max", [0, 1, 2])
def test_those_that_end_in_nested_first_steps_are_kept_as_far_as_they_may_be(loop: str, spare_max: int) -> None:
    async def main(tasks: EagerTasks) -> None:
        async def outer() -> None:
            tasks.start(nothing())

        tasks.start(outer())
        await turns()
        assert len(others()) == spare_max

    play(loop, main, spare_max=spare_max)


@on_every_loop
@pytest.mark.parametrize("turns_before", [0, 3], ids=["not seen by the loop yet", "at rest"])
def test_spare_tasks_end_in_the_turn_after_the_close(loop: str, turns_before: int) -> None:
    async def main(tasks: EagerTasks) -> None:
        async def outer() -> None:
            tasks.start(nothing())

        tasks.start(outer())
        await turns(turns_before)
        spare = others()
        assert len(spare) == 2
        tasks.close()
        await turns(2)
        assert [task.done() and task.exception() is None for task in spare] == [True, True]

    play(loop, main, spare_max=2)


@on_every_loop
def test_after_the_close_what_begins_is_done_and_no_task_is_kept(loop: str) -> None:
    async def main(tasks: EagerTasks) -> None:
        waiting = tasks.start(one_turn())
        tasks.close()
        assert tasks.start(nothing()) is None
        assert (await ended(waiting)).exception() is None
        assert (await ended(tasks.start(one_turn()))).exception() is None
        await turns()
        assert others() == set()

    play(loop, main)


@on_every_loop
@pytest.mark.parametrize("turns_after", [0, 1, 3])
@pytest.mark.parametrize("turns_before", [0, 3], ids=["not seen by the loop yet", "at rest"])
def test_a_spare_task_that_somebody_cancelled_is_not_used_again(loop: str, turns_before: int, turns_after: int) -> None:
    async def main(tasks: EagerTasks) -> None:
        tasks.start(nothing())
        await turns(turns_before)
        (spare,) = others()
        spare.cancel()
        await turns(turns_after)
        task = await ended(tasks.start(one_turn()))
        assert task is not spare
        assert not task.cancelled()
        assert (await ended(spare)).cancelled()

    play(loop, main)


@on_every_loop
def test_a_spare_task_that_was_cancelled_and_pardoned_is_not_used_again(loop: str) -> None:
    async def main(tasks: EagerTasks) -> None:
        spare = await rest(tasks)
        spare.cancel()
        spare.uncancel()
        task = await ended(tasks.start(one_turn()))
        assert task is not spare
        assert not task.cancelled()

    play(loop, main)


@on_every_loop
def test_a_task_that_its_coroutine_has_cancelled_and_pardoned_harms_nobody(loop: str) -> None:
    async def pardons() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        task.uncancel()

    async def main(tasks: EagerTasks) -> None:
        assert tasks.start(pardons()) is None
        assert not (await ended(tasks.start(one_turn()))).cancelled()

    play(loop, main)


@on_every_loop
@pytest.mark.parametrize("how", ["callback", "kept", "kept weakly", "timer"])
def test_a_task_that_a_coroutine_left_something_on_is_no_others(loop: str, how: str) -> None:
    async def leaves(left: list[Any]) -> None:
        task = asyncio.current_task()
        assert task is not None
        if how == "callback":
            task.add_done_callback(lambda _: left.append("ended"))
        elif how == "kept":
            left.append(task)
        elif how == "kept weakly":
            left.append(weakref.ref(task))
        else:
            asyncio.get_running_loop().call_later(0.01, task.cancel)

    async def main(tasks: EagerTasks) -> None:
        left: list[Any] = []
        for _ in range(3):
            tasks.start(leaves(left))
            await turns()
        assert len(left) == (0 if how == "timer" else 3)
        await ended(tasks.start(asyncio.sleep(0.05)))

    play(loop, main)


@on_every_loop
@pytest.mark.parametrize("swallows", [False, True])
def test_a_task_that_was_cancelled_while_its_coroutine_waited_is_not_used_again(loop: str, swallows: bool) -> None:
    async def waits() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if not swallows:
                raise

    async def main(tasks: EagerTasks) -> None:
        task = tasks.start(waits())
        await turns()
        assert task is not None
        task.cancel()
        assert (await ended(task)).cancelled() is not swallows
        next_task = tasks.start(one_turn())
        assert next_task is not task
        await turns()

    play(loop, main)


def test_a_spare_task_of_another_loop_is_not_used() -> None:
    tasks = EagerTasks()

    async def leaves_one() -> None:
        await rest(tasks)

    async def waits() -> None:
        task = await ended(tasks.start(one_turn()))
        assert task.get_loop() is asyncio.get_running_loop()

    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(leaves_one())
        second.run(waits())
        assert len(asyncio.all_tasks(first.get_loop())) == 1
