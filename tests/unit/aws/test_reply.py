"""Who awaits a reply goes on in the turn in which it came, and is a task like any other in all else."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest
import uvloop

from esm.aws.reply import Reply

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


class PythonTask(asyncio.tasks._PyTask):  # type: ignore[name-defined,misc]  # what has no C has these
    """A task as asyncio has them without its accelerator."""


@pytest.fixture(params=[*LOOPS, "tasks of python"])
def play(request: pytest.FixtureRequest) -> Callable[[Callable[[], Coroutine[Any, Any, None]]], None]:
    """Runs it on each kind of loop, and fails for what a loop would only have logged."""

    def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        told: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=LOOPS.get(request.param, asyncio.new_event_loop)) as runner:
            loop = runner.get_loop()
            loop.set_exception_handler(lambda _, context: told.append(context))
            if request.param not in LOOPS:
                loop.set_task_factory(lambda loop, coro, **named: PythonTask(coro, loop=loop, **named))
            runner.run(main())
        assert told == []

    return run


async def in_no_task(call: Callable[[], object]) -> None:
    """Calls it as a transport would, and returns in the turn after that."""
    asyncio.get_running_loop().call_soon(call)
    await asyncio.sleep(0)


def reply() -> Reply[str]:
    return Reply(asyncio.get_running_loop())


def test_who_awaits_goes_on_before_the_one_who_answers(play: Any) -> None:
    seen: list[str] = []

    async def main() -> None:
        answer = reply()

        async def asks() -> None:
            seen.append(await answer)
            assert asyncio.current_task() is task

        def answers() -> None:
            answer.set_result("answer")
            seen.append("told")
            assert asyncio.current_task() is None

        task = asyncio.create_task(asks())
        await asyncio.sleep(0)
        await in_no_task(answers)
        assert task.done()
        await task

    play(main)
    assert seen == ["answer", "told"]


def test_what_is_there_already_is_not_waited_for(play: Any) -> None:
    async def main() -> None:
        answer = reply()
        answer.set_result("there")
        assert answer.done()
        assert await answer == "there"

    play(main)


def test_within_another_task_it_is_told_in_the_next_turn(play: Any) -> None:
    async def main() -> None:
        answer = reply()

        async def asks() -> str:
            return await answer

        task = asyncio.create_task(asks())
        await asyncio.sleep(0)
        answer.set_result("answer")
        assert not task.done()
        assert await task == "answer"

    play(main)


def test_each_goes_on_in_its_own_context(play: Any) -> None:
    seen: list[str] = []

    async def main() -> None:
        answer = reply()

        async def asks() -> None:
            VARIABLE.set("of the task")
            await answer
            seen.append(VARIABLE.get())
            VARIABLE.set("of the task still")

        def answers() -> None:
            answer.set_result("")
            seen.append(VARIABLE.get())

        task = asyncio.create_task(asks())
        await asyncio.sleep(0)
        await in_no_task(answers)
        await task

    play(main)
    assert seen == ["of the task", "unset"]


def test_an_error_is_raised_where_it_is_awaited(play: Any) -> None:
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


def test_what_is_raised_after_it_stays_in_the_task(play: Any) -> None:
    async def main() -> None:
        answer = reply()

        async def asks() -> None:
            await answer
            raise ValueError("its own")

        task = asyncio.create_task(asks())
        await asyncio.sleep(0)
        await in_no_task(lambda: answer.set_result(""))
        with pytest.raises(ValueError, match="its own"):
            await task

    play(main)


def test_the_one_who_asks_may_ask_again_at_once(play: Any) -> None:
    seen: list[str] = []

    async def main() -> None:
        answers = [reply(), reply()]

        async def asks() -> None:
            seen.append(await answers[0])
            seen.append(await answers[1])

        task = asyncio.create_task(asks())
        await asyncio.sleep(0)
        await in_no_task(lambda: answers[0].set_result("first"))
        assert seen == ["first"]
        await in_no_task(lambda: answers[1].set_result("second"))
        await task

    play(main)
    assert seen == ["first", "second"]


def test_a_cancelled_task_is_cancelled_in_it_with_its_message(play: Any) -> None:
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


def test_a_task_that_is_cancelled_before_it_awaits_is_so_in_it(play: Any) -> None:
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


def test_a_cancellation_in_the_turn_of_the_answer_comes_after_it(play: Any) -> None:
    seen: list[str] = []

    async def main() -> None:
        answer = reply()

        async def asks() -> None:
            seen.append(await answer)
            await asyncio.sleep(10)

        task = asyncio.create_task(asks())
        await asyncio.sleep(0)

        def both() -> None:
            answer.set_result("answer")
            task.cancel()

        await in_no_task(both)
        with pytest.raises(asyncio.CancelledError):
            await task

    play(main)
    assert seen == ["answer"]


def test_time_limits_and_scopes_end_it(play: Any) -> None:
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


def test_a_task_of_another_loop_may_not_await_it(play: Any) -> None:
    other = asyncio.new_event_loop()

    async def main() -> None:
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            await Reply[str](other)

    play(main)
    other.close()
