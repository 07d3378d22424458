"""A coroutine begins at once, as the task that it takes only if it has to wait."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import io
from typing import Any

import pytest

from esm.eager import EagerTasks
from tests.unit.eager_loops import LOOPS, ended, play, rest, turns

on_every_loop = pytest.mark.parametrize("loop", LOOPS)
ERRORS = [ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, BaseException]
VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


async def nothing() -> None:
    """Ends in its first step."""


async def one_turn() -> None:
    await asyncio.sleep(0)


@on_every_loop
def test_a_coroutine_that_ends_in_its_first_step_has_no_task_and_the_caller_is_itself_again(loop: str) -> None:
    seen: list[asyncio.Task[None] | None] = []

    async def begins() -> None:
        seen.append(asyncio.current_task())

    async def main(tasks: EagerTasks) -> None:
        me = asyncio.current_task()
        for _ in range(3):
            assert tasks.start(begins()) is None
            assert asyncio.current_task() is me
        assert None not in seen
        assert me not in seen
        await turns()
        assert asyncio.current_task() is me

    play(loop, main)


@on_every_loop
def test_it_may_begin_where_no_task_is(loop: str) -> None:
    seen: list[object] = []

    async def begins() -> None:
        seen.append(asyncio.current_task() is not None)
        await asyncio.sleep(0)

    async def main(tasks: EagerTasks) -> None:
        def call() -> None:
            seen.append(asyncio.current_task())
            task = tasks.start(begins())
            assert tasks.start(nothing()) is None
            seen.append(asyncio.current_task())
            through.set_result(task)

        through: asyncio.Future[asyncio.Task[None] | None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(call)
        await ended(await through)
        assert seen == [None, True, None]
        seen.clear()

    play(loop, main)


@on_every_loop
def test_the_task_it_waits_in_is_the_one_it_has_begun_in(loop: str) -> None:
    async def main(tasks: EagerTasks) -> None:
        seen: list[asyncio.Task[None] | None] = []

        async def waits() -> None:
            seen.append(asyncio.current_task())
            await asyncio.sleep(0.001)
            seen.append(asyncio.current_task())

        for _ in range(2):  # in a new task, and in one that was spare
            task = await ended(tasks.start(waits()))
            assert seen == [task, task]
            assert task.exception() is None
            seen.clear()
            await rest(tasks)

    play(loop, main)


@on_every_loop
def test_one_that_begins_another_in_its_first_step_is_itself_again(loop: str) -> None:
    async def main(tasks: EagerTasks) -> None:
        inner_tasks: list[asyncio.Task[None] | None] = []
        seen: list[asyncio.Task[None] | None] = []

        async def outer() -> None:
            for inner in (nothing, one_turn):
                seen.append(asyncio.current_task())
                inner_tasks.append(tasks.start(inner()))
                seen.append(asyncio.current_task())
            await asyncio.sleep(0)
            seen.append(asyncio.current_task())

        me = asyncio.current_task()
        task = tasks.start(outer())
        assert asyncio.current_task() is me
        await ended(task)
        assert seen == [task] * 5
        assert inner_tasks[0] is None
        assert await ended(inner_tasks[1]) is not task

    play(loop, main)


@on_every_loop
@pytest.mark.parametrize("error", ERRORS)
def test_what_it_raises_in_its_first_step_is_raised_to_whoever_began_it(loop: str, error: type[BaseException]) -> None:
    async def fails() -> None:
        raise error("why")

    async def main(tasks: EagerTasks) -> None:
        me = asyncio.current_task()
        with pytest.raises(error, match="why"):
            tasks.start(fails())
        assert asyncio.current_task() is me
        assert me is not None
        assert me.cancelling() == 0
        assert (await ended(tasks.start(one_turn()))).exception() is None

    play(loop, main)


@on_every_loop
def test_what_it_raises_later_is_its_tasks_and_that_task_is_not_used_again(loop: str) -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("why")

    async def main(tasks: EagerTasks) -> None:
        task = await ended(tasks.start(fails()))
        assert isinstance(task.exception(), ValueError)
        assert tasks.start(one_turn()) is not task
        await turns()

    play(loop, main)


@on_every_loop
def test_what_is_there_already_is_not_waited_for(loop: str) -> None:
    async def main(tasks: EagerTasks) -> None:
        seen: list[str] = []

        async def awaits(what: asyncio.Future[str]) -> None:
            seen.append(await what)

        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        future.set_result("there")
        assert tasks.start(awaits(future)) is None
        assert seen == ["there"]
        later: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = tasks.start(awaits(later))
        later.set_result("there by now")  # before its task takes a step
        assert (await ended(task)).exception() is None
        assert seen == ["there", "there by now"]

    play(loop, main)


@on_every_loop
def test_several_may_wait_for_the_same(loop: str) -> None:
    async def main(tasks: EagerTasks) -> None:
        seen: list[str] = []
        shared: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def awaits() -> None:
            seen.append(await shared)

        begun = [tasks.start(awaits()) for _ in range(3)]
        asyncio.get_running_loop().call_later(0.001, shared.set_result, "all")
        for task in begun:
            assert (await ended(task)).exception() is None
        assert seen == ["all"] * 3

    play(loop, main, spare_max=3)


@on_every_loop
def test_whoever_began_it_may_wait_for_the_same(loop: str) -> None:
    async def main(tasks: EagerTasks) -> None:
        seen: list[str] = []
        shared: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def awaits() -> None:
            seen.append(await shared)

        task = tasks.start(awaits())
        asyncio.get_running_loop().call_later(0.001, shared.set_result, "both")
        assert await shared == "both"
        assert (await ended(task)).exception() is None
        assert seen == ["both"]

    play(loop, main)


@on_every_loop
def test_variables_of_the_context_are_its_own(loop: str) -> None:
    async def main(tasks: EagerTasks) -> None:
        seen: list[str] = []

        async def sets() -> None:
            seen.append(VARIABLE.get())
            VARIABLE.set("before")
            await asyncio.sleep(0)
            seen.append(VARIABLE.get())
            VARIABLE.set("after")
            await asyncio.sleep(0)
            seen.append(VARIABLE.get())

        async def sets_at_once() -> None:
            seen.append(VARIABLE.get())
            VARIABLE.set("at once")

        VARIABLE.set("of the caller")
        assert tasks.start(sets_at_once()) is None
        await ended(tasks.start(sets()))
        assert seen == ["of the caller", "of the caller", "before", "after"]
        seen.clear()
        VARIABLE.set("of the next")
        await turns()
        await ended(tasks.start(sets()))
        assert seen == ["of the next", "before", "after"]
        assert VARIABLE.get() == "of the next"

    play(loop, main)


@on_every_loop
def test_it_runs_in_the_context_it_is_given(loop: str) -> None:
    async def main(tasks: EagerTasks) -> None:
        context = contextvars.copy_context()
        context.run(VARIABLE.set, "given")
        seen: list[str] = []

        async def sets() -> None:
            seen.append(VARIABLE.get())
            VARIABLE.set("changed")
            await asyncio.sleep(0)
            seen.append(VARIABLE.get())
            VARIABLE.set("changed twice")

        await ended(tasks.start(sets(), context=context))
        assert seen == ["given", "changed"]
        assert context[VARIABLE] == "changed twice"
        assert VARIABLE.get() == "unset"

    play(loop, main)


@on_every_loop
def test_its_task_has_the_name_it_is_given(loop: str) -> None:
    async def main(tasks: EagerTasks) -> None:
        seen: list[str] = []

        async def names() -> None:
            task = asyncio.current_task()
            assert task is not None
            seen.append(task.get_name())
            await asyncio.sleep(0)

        assert tasks.start(nothing(), name="the one before") is None
        task = await ended(tasks.start(names(), name="mine"))
        assert (seen, task.get_name()) == (["mine"], "mine")

    play(loop, main)


@on_every_loop
def test_one_that_waits_is_found_and_shows_where(loop: str) -> None:
    async def main(tasks: EagerTasks) -> None:
        async def waits() -> None:
            await asyncio.sleep(60)

        task = tasks.start(waits(), name="waits")
        await turns()
        assert task is not None
        assert task in asyncio.all_tasks()
        coroutine: Any = task.get_coro()
        assert coroutine.cr_frame.f_code is waits.__code__
        assert coroutine.cr_await is not None
        assert not coroutine.cr_running
        shown = io.StringIO()
        task.print_stack(file=shown)
        assert "await asyncio.sleep(60)" in shown.getvalue()
        assert "waits" in repr(task)
        task.cancel()
        await ended(task)

    play(loop, main)


@on_every_loop
def test_a_spare_task_can_be_looked_at(loop: str) -> None:
    async def main(tasks: EagerTasks) -> None:
        spare = await rest(tasks)
        assert spare in asyncio.all_tasks()
        shown = io.StringIO()
        spare.print_stack(file=shown)
        assert repr(spare)
        assert not hasattr(spare.get_coro(), "cr_frame")

    play(loop, main)


@pytest.mark.parametrize("loop", LOOPS[:2])
def test_those_that_nobody_has_closed_end_with_the_loop(loop: str) -> None:
    kept = EagerTasks(spare_max=2)

    async def main(_: EagerTasks) -> None:
        kept.start(nothing())
        await turns()
        kept.start(nothing())

    async def waits(_: EagerTasks) -> None:
        assert (await ended(kept.start(one_turn()))).exception() is None
        kept.start(nothing())  # in a task that the loop has not seen yet

    play(loop, main)
    play(loop, waits)  # in the next loop: those of the one before are of no use
    play(loop, main)


@on_every_loop
def test_spare_tasks_that_nobody_holds_any_more_are_not_complained_of(loop: str) -> None:
    async def main(_: EagerTasks) -> None:
        await rest(EagerTasks())
        gc.collect(1)

    play(loop, main)
