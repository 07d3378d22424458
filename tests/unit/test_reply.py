"""Who awaits a reply goes on in the turn in which it came, and is a task like any other in all else."""

from __future__ import annotations

import asyncio
import contextvars
import weakref

import pytest

from esm.eager import EagerTasks
from esm.reply import Reply
from tests.unit.replies import Play, in_no_task, reply, tell

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


def test_who_awaits_goes_on_before_the_one_who_answers(play: Play) -> None:
    seen: list[str] = []

    async def main() -> None:
        answer = reply()

        async def asks() -> None:
            seen.append(await answer)
            assert asyncio.current_task() is task

        def answers() -> None:
            tell(answer, "answer")
            seen.append("told")
            assert asyncio.current_task() is None

        task = asyncio.create_task(asks())
        await asyncio.sleep(0)
        await in_no_task(answers)
        assert task.done()
        await task

    play(main)
    assert seen == ["answer", "told"]


def test_what_is_there_already_is_not_waited_for(play: Play) -> None:
    async def main() -> None:
        answer, seen = reply(), list[str]()
        tell(answer, "there")
        assert answer.done()
        asyncio.get_running_loop().call_soon(seen.append, "the next turn")
        assert await answer == "there"
        assert seen == []

    play(main)


def test_within_another_task_it_is_told_in_the_next_turn(play: Play) -> None:
    async def main() -> None:
        answer = reply()

        async def asks() -> str:
            return await answer

        task = asyncio.create_task(asks())
        await asyncio.sleep(0)
        tell(answer, "answer")
        assert not task.done()
        assert await task == "answer"

    play(main)


@pytest.mark.parametrize("at_once", [True, False])
def test_each_goes_on_in_its_own_context(play: Play, at_once: bool) -> None:
    seen: list[str] = []

    async def main() -> None:
        answer = reply()

        async def asks() -> None:
            VARIABLE.set("of the task")
            await answer
            seen.append(VARIABLE.get())
            VARIABLE.set("of the task still")

        def answers() -> None:
            tell(answer, "")
            seen.append(VARIABLE.get())

        task = asyncio.create_task(asks())
        await asyncio.sleep(0)
        if at_once:
            await in_no_task(answers)
        else:
            answers()
        await task

    play(main)
    assert seen == (["of the task", "unset"] if at_once else ["unset", "of the task"])


def test_its_value_is_whose_it_was_awaited_for(play: Play) -> None:
    """It is large, and goes while it is handled."""
    left: list[bool] = []

    async def main() -> None:
        answer: Reply[set[int]] = Reply(asyncio.get_running_loop())

        async def asks() -> None:
            value = await answer
            kept = weakref.ref(value)
            del value
            left.append(kept() is not None)

        def answers() -> None:
            answer.set_result({1})
            answer.wake()

        task = asyncio.create_task(asks())
        await asyncio.sleep(0)
        await in_no_task(answers)
        await task

    play(main)
    assert left == [False]


def test_a_coroutine_that_began_at_once_is_woken_by_what_came_in_the_same_turn(play: Play) -> None:
    """What stands on a task awaits it once before the task does."""
    seen: list[str] = []

    async def main() -> None:
        answer, tasks = reply(), EagerTasks()

        async def asks() -> None:
            seen.append(await answer)

        def begins() -> None:
            tasks.start(asks())
            tell(answer, "answer")

        await in_no_task(begins)
        for _ in range(3):
            await asyncio.sleep(0)
        assert seen == ["answer"]
        tasks.close()

    play(main)


def test_the_one_who_asks_may_ask_again_at_once(play: Play) -> None:
    seen: list[str] = []

    async def main() -> None:
        answers = [reply(), reply()]

        async def asks() -> None:
            seen.append(await answers[0])
            seen.append(await answers[1])

        task = asyncio.create_task(asks())
        await asyncio.sleep(0)
        await in_no_task(lambda: tell(answers[0], "first"))
        assert seen == ["first"]
        await in_no_task(lambda: tell(answers[1], "second"))
        await task

    play(main)
    assert seen == ["first", "second"]


def test_a_task_of_another_loop_may_not_await_it(play: Play) -> None:
    other = asyncio.new_event_loop()

    async def main() -> None:
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            await Reply[str](other)

    play(main)
    other.close()
