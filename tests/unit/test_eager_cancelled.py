"""A task that was begun in is cancelled, and runs out of time, as any other: new or spare, at any time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from esm.eager import EagerTasks
from tests.unit.eager_loops import LOOPS, ended, play, rest, turns

on_every_loop = pytest.mark.parametrize("loop", LOOPS)
new_or_spare = pytest.mark.parametrize("spare", [False, True], ids=["new", "spare"])
soon_or_later = pytest.mark.parametrize("turns_before", [0, 1, 3])


def me() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None
    return task


async def begin(tasks: EagerTasks, coroutine: Coroutine[Any, Any, None], *, spare: bool) -> asyncio.Task[None]:
    """Its task: a new one, or one that was spare and at rest."""
    was = await rest(tasks) if spare else None
    task = tasks.start(coroutine)
    assert task is not None
    assert was in (None, task)
    return task


@on_every_loop
@new_or_spare
@soon_or_later
def test_a_cancellation_arrives_where_it_waits_and_cancels_what_it_waits_for(
    loop: str, turns_before: int, spare: bool
) -> None:
    async def main(tasks: EagerTasks) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        seen: list[object] = []

        async def waits() -> None:
            try:
                await future
            except asyncio.CancelledError:
                seen.append((me(), me().cancelling(), future.cancelled()))
                raise

        task = await begin(tasks, waits(), spare=spare)
        await turns(turns_before)
        assert task.cancel()
        assert (await ended(task)).cancelled()
        assert seen == [(task, 1, True)]

    play(loop, main)


@on_every_loop
@new_or_spare
@soon_or_later
def test_a_task_that_it_waits_for_ends_before_it_does(loop: str, turns_before: int, spare: bool) -> None:
    async def main(tasks: EagerTasks) -> None:
        ends: list[str] = []

        async def child() -> None:
            there.set()
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0)
                ends.append("child")

        async def parent() -> None:
            inner = asyncio.create_task(child())
            try:
                await inner
            finally:
                ends.append("parent")

        there = asyncio.Event()
        task = await begin(tasks, parent(), spare=spare)
        await asyncio.wait_for(there.wait(), 10)
        await turns(turns_before)
        task.cancel()
        assert (await ended(task)).cancelled()
        assert ends == ["child", "parent"]

    play(loop, main)


@on_every_loop
@new_or_spare
def test_a_task_that_has_begun_before_ends_before_it_does_too(loop: str, spare: bool) -> None:
    async def main(tasks: EagerTasks) -> None:
        ends: list[str] = []

        async def other() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                await asyncio.sleep(0.001)
                ends.append("other")

        async def waits() -> None:
            try:
                await waited_for
            finally:
                ends.append("waits")

        waited_for = asyncio.create_task(other())
        await turns()
        task = await begin(tasks, waits(), spare=spare)
        task.cancel()
        assert (await ended(task)).cancelled()
        assert ends == ["other", "waits"]

    play(loop, main)


@on_every_loop
@new_or_spare
@soon_or_later
def test_a_cancellation_may_be_swallowed(loop: str, turns_before: int, spare: bool) -> None:
    async def main(tasks: EagerTasks) -> None:
        seen: list[str] = []

        async def swallows() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen.append("cancelled")
            await asyncio.sleep(0)
            seen.append("goes on")

        task = await begin(tasks, swallows(), spare=spare)
        await turns(turns_before)
        task.cancel()
        await ended(task)
        assert (task.cancelled(), task.cancelling()) == (False, 1)
        assert seen == ["cancelled", "goes on"]

    play(loop, main)


@on_every_loop
@new_or_spare
def test_it_is_cancelled_though_what_it_waits_for_is_there(loop: str, spare: bool) -> None:
    async def main(tasks: EagerTasks) -> None:
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        async def waits() -> None:
            await future

        task = await begin(tasks, waits(), spare=spare)
        future.set_result("there")
        task.cancel()
        assert (await ended(task)).cancelled()
        assert future.result() == "there"

    play(loop, main)


@on_every_loop
@new_or_spare
def test_it_is_cancelled_where_it_waits_for_nothing_but_its_turn(loop: str, spare: bool) -> None:
    async def main(tasks: EagerTasks) -> None:
        seen: list[str] = []

        async def waits() -> None:
            try:
                await asyncio.sleep(0)
            finally:
                seen.append("ends")
            seen.append("goes on")

        task = await begin(tasks, waits(), spare=spare)
        task.cancel()
        assert (await ended(task)).cancelled()
        assert seen == ["ends"]

    play(loop, main)


@on_every_loop
@new_or_spare
@soon_or_later
def test_the_words_of_a_cancellation_arrive_with_it(loop: str, turns_before: int, spare: bool) -> None:
    async def main(tasks: EagerTasks) -> None:
        seen: list[object] = []

        async def waits() -> None:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError as error:
                seen.append(error.args)
                raise

        task = await begin(tasks, waits(), spare=spare)
        await turns(turns_before)
        task.cancel("these words")
        await ended(task)
        assert seen == [("these words",)]

    play(loop, main)


@on_every_loop
@new_or_spare
def test_one_that_cancels_itself_and_ends_has_ended_and_the_next_one_is_not_cancelled(loop: str, spare: bool) -> None:
    async def main(tasks: EagerTasks) -> None:
        async def cancels() -> None:
            seen.append(me())
            me().cancel()

        async def waits() -> None:
            await asyncio.sleep(0)

        seen: list[object] = []
        if spare:
            await rest(tasks)
        assert tasks.start(cancels()) is None
        task = await ended(tasks.start(waits()))
        assert not task.cancelled()
        assert seen != [task]
        assert me().cancelling() == 0

    play(loop, main)


@on_every_loop
@new_or_spare
def test_one_that_cancels_itself_and_waits_is_cancelled_there(loop: str, spare: bool) -> None:
    async def main(tasks: EagerTasks) -> None:
        seen: list[str] = []

        async def cancels() -> None:
            me().cancel()
            seen.append("goes on")
            try:
                await asyncio.sleep(60)
            finally:
                seen.append("ends")

        task = await begin(tasks, cancels(), spare=spare)
        assert (await ended(task)).cancelled()
        assert seen == ["goes on", "ends"]

    play(loop, main)


async def timeout() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.sleep(60)


async def timeout_at_once() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.sleep(60)


async def timeout_that_is_not_needed() -> None:
    async with asyncio.timeout(60):
        await asyncio.sleep(0)


async def group_that_fails() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError

    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fails())
            await asyncio.sleep(60)

    with pytest.raises(ExceptionGroup):
        await group()


async def group_that_is_waited_for() -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(asyncio.sleep(0, "done"))
    assert task.result() == "done"


async def fail_after() -> None:
    with pytest.raises(TimeoutError), anyio.fail_after(0.001):
        await anyio.sleep(60)


async def move_on_after() -> None:
    with anyio.move_on_after(0.001) as scope:
        await anyio.sleep(60)
    assert scope.cancelled_caught


async def move_on_at_once() -> None:
    with anyio.move_on_after(0) as scope:
        await anyio.sleep(60)
    assert scope.cancelled_caught


async def scope_cancelled_at_once() -> None:
    with anyio.CancelScope() as outer:
        with anyio.CancelScope() as inner:
            inner.cancel()
            await anyio.sleep(60)
        assert inner.cancelled_caught
    assert not outer.cancelled_caught


async def anyio_group() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 60)
        await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert group.cancel_scope.cancel_called


async def anyio_group_that_is_cancelled_at_once() -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.sleep, 60)
        group.cancel_scope.cancel()
    assert group.cancel_scope.cancel_called


SCOPES = [
    timeout,
    timeout_at_once,
    timeout_that_is_not_needed,
    group_that_fails,
    group_that_is_waited_for,
    fail_after,
    move_on_after,
    move_on_at_once,
    scope_cancelled_at_once,
    anyio_group,
    anyio_group_that_is_cancelled_at_once,
]


@on_every_loop
@new_or_spare
@pytest.mark.parametrize("scope", SCOPES, ids=lambda scope: scope.__name__)
def test_a_scope_of_its_first_step_expires_and_is_left(
    loop: str, scope: Callable[[], Coroutine[Any, Any, None]], spare: bool
) -> None:
    async def main(tasks: EagerTasks) -> None:
        through: list[int] = []

        async def waits() -> None:
            await scope()
            await asyncio.sleep(0.001)
            through.append(me().cancelling())

        task = await begin(tasks, waits(), spare=spare)
        await ended(task)
        assert not task.cancelled()
        assert task.exception() is None
        assert through == [0]

    play(loop, main)


@on_every_loop
@new_or_spare
@soon_or_later
def test_a_scope_is_cancelled_by_another_and_catches_that(loop: str, turns_before: int, spare: bool) -> None:
    async def main(tasks: EagerTasks) -> None:
        scopes: list[anyio.CancelScope] = []
        through: list[object] = []

        async def waits() -> None:
            with anyio.CancelScope() as scope:
                scopes.append(scope)
                await anyio.sleep(60)
            await asyncio.sleep(0.001)
            through.append((scope.cancelled_caught, me().cancelling()))

        task = await begin(tasks, waits(), spare=spare)
        await turns(turns_before)
        scopes[0].cancel()
        await ended(task)
        assert through == [(True, 0)]

    play(loop, main)
