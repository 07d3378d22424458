"""What becomes of a task by the error or the cancellation that it has instead of a reply, or after it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
import pytest

from esm.reply import Reply
from tests.unit.replies import Play, in_no_task, reply, tell


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_whoever_ends_the_program_ends_the_loop(play: Play, error: type[BaseException]) -> None:
    """Also where what calls keeps errors to itself, as a transport does."""

    async def main() -> None:
        answer = reply()

        async def asks() -> None:
            await answer
            raise error

        def answers() -> None:
            with suppress(SystemExit, KeyboardInterrupt):
                tell(answer, "")

        task = asyncio.create_task(asks())
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(answers)
        await asyncio.sleep(10)
        raise AssertionError(task)

    with pytest.raises(error):
        play(main)


@pytest.mark.parametrize("end", ["error", "cancelled"])
def test_a_task_that_ends_by_it_is_gone_without_a_look_for_garbage(play: Play, end: str) -> None:
    """Unless a task of this kind holds itself after asyncio's own future, too: those not in C do, from 3.12 on."""
    anyhow = leaves_garbage(play, lambda: asyncio.get_running_loop().create_future(), "cancelled")
    assert anyhow or not leaves_garbage(play, reply, end)


def leaves_garbage(play: Play, make: Callable[[], Any], end: str) -> bool:
    """Whether what a task held is there after it ended by what it awaited."""

    class Local:
        """What the task holds."""

    kept: list[weakref.ref[Local]] = []

    async def asks(answer: Any) -> None:
        local = Local()
        kept.append(weakref.ref(local))
        await answer

    async def main() -> None:
        answer = make()
        task = asyncio.create_task(asks(answer))
        await asyncio.sleep(0)
        if end == "error":
            answer.set_exception(ValueError("no"))
        else:
            task.cancel()
        del answer
        await asyncio.wait([task])
        if end == "error":
            task.exception()

    gc.disable()
    try:
        play(main)
        return [local() for local in kept] != [None]
    finally:
        gc.enable()


def test_an_error_is_raised_where_it_is_awaited(play: Play) -> None:
    async def main() -> None:
        answer = reply()

        async def asks() -> None:
            with pytest.raises(ValueError, match="no"):
                await answer

        task = asyncio.create_task(asks())
        await asyncio.sleep(0)
        await in_no_task(lambda: answer.set_exception(ValueError("no")))
        await task

    play(main)


def test_what_is_raised_after_it_stays_in_the_task(play: Play) -> None:
    async def main() -> None:
        answer = reply()

        async def asks() -> None:
            await answer
            raise ValueError("its own")

        task = asyncio.create_task(asks())
        await asyncio.sleep(0)
        await in_no_task(lambda: tell(answer, ""))
        with pytest.raises(ValueError, match="its own"):
            await task

    play(main)


def test_a_cancelled_task_is_cancelled_in_it_with_its_message(play: Play) -> None:
    async def main() -> None:
        answer = reply()

        async def asks() -> None:
            await answer

        task = asyncio.create_task(asks())
        await asyncio.sleep(0)
        task.cancel("enough")
        assert answer.done()
        assert not answer.cancel()
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
        assert task.cancelled()

    play(main)


def test_a_task_that_is_cancelled_before_it_awaits_is_so_in_it(play: Play) -> None:
    async def main() -> None:
        answer = reply()

        async def asks() -> None:
            me.cancel()
            await answer

        me = asyncio.create_task(asks())
        with pytest.raises(asyncio.CancelledError):
            await me
        assert answer.done()

    play(main)


def test_a_cancellation_in_the_turn_of_the_answer_comes_after_it(play: Play) -> None:
    seen: list[str] = []

    async def main() -> None:
        answer = reply()

        async def asks() -> None:
            seen.append(await answer)
            await asyncio.sleep(10)

        task = asyncio.create_task(asks())
        await asyncio.sleep(0)

        def both() -> None:
            tell(answer, "answer")
            task.cancel()

        await in_no_task(both)
        with pytest.raises(asyncio.CancelledError):
            await task

    play(main)
    assert seen == ["answer"]


def test_time_limits_and_scopes_end_it(play: Play) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await reply()
        with anyio.move_on_after(0.001) as scope:
            await reply()
        assert scope.cancelled_caught
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(_of(reply()), 0.001)

    play(main)


async def _of(answer: Reply[str]) -> str:
    return await answer
