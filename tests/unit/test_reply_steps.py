"""What each layer makes of a reply, what is done about its errors, and who is told without a task."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any

import pytest

from esm.errors import SourceError, SourceThrottledError
from esm.reply import Reply, reply_of
from tests.unit.replies import Play, in_no_task, reply, tell

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


def failed_with(error: Exception) -> Reply[str]:
    answer = reply()
    answer.set_exception(error)
    return answer


def test_each_makes_something_of_what_the_one_before_it_made(play: Play) -> None:
    async def main() -> None:
        asked = reply()
        answer = asked.then(len).then(lambda count: [count] * 2, lambda _: [])
        tell(asked, "four")
        assert await answer == [4, 4]

    play(main)


def test_of_a_refusal_the_first_that_knows_what_it_means_makes_something(play: Play) -> None:
    async def main() -> None:
        refused = failed_with(SourceThrottledError("Throttling", "slower"))
        answer = refused.then(len).then(str, lambda error: error.code).then(str.lower, lambda _: "never")
        assert await answer == "throttling"

    play(main)


@pytest.mark.parametrize("at", [0, 1])
def test_what_a_step_raises_is_the_next_ones_error(play: Play, at: int) -> None:
    def raises(_: str) -> str:
        raise SourceError("ChecksumMismatch", "damaged")

    async def main() -> None:
        answer = reply()
        for number in range(2):
            answer = answer.then(raises if number == at else str)
        tell(answer, "")
        assert await answer.then(str, lambda error: error.code) == "ChecksumMismatch"

    play(main)


def test_what_is_no_refusal_is_nobodys_to_make_something_of(play: Play) -> None:
    async def main() -> None:
        answer = failed_with(ValueError("a bug")).then(str, lambda _: "hidden")
        with pytest.raises(ValueError, match="a bug"):
            await answer
        cancelled = reply().then(str, lambda _: "hidden")
        assert cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            cancelled.take()

    play(main)


def test_who_is_told_by_a_call_goes_on_at_once_in_its_own_context_and_in_no_task(play: Play) -> None:
    seen: list[object] = []

    async def main() -> None:
        answer, context = reply(), contextvars.copy_context()
        context.run(VARIABLE.set, "of the command")

        def told(by: Reply[str]) -> None:
            seen.extend([by.take(), VARIABLE.get(), asyncio.current_task()])

        answer.add_done_callback(told, context=context)

        def answers() -> None:
            tell(answer, "there")
            seen.append("told")

        await in_no_task(answers)

    play(main)
    assert seen == ["there", "of the command", None, "told"]


def test_of_an_error_one_is_told_a_turn_later(play: Play) -> None:
    seen: list[str] = []

    async def main() -> None:
        answer = reply()

        def told(by: Reply[str]) -> None:
            with pytest.raises(ValueError, match="no"):
                by.take()
            seen.append("told")

        answer.add_done_callback(told, context=contextvars.copy_context())

        def fails() -> None:
            answer.set_exception(ValueError("no"))
            answer.wake()
            seen.append("said")

        await in_no_task(fails)
        await asyncio.sleep(0)

    play(main)
    assert seen == ["said", "told"]


def test_nobody_is_woken_before_it_is_done(play: Play) -> None:
    async def main() -> None:
        answer = reply()
        waiting = asyncio.create_task(of(answer))
        await asyncio.sleep(0)
        await in_no_task(answer.wake)
        assert not waiting.done()
        tell(answer, "now")
        assert await waiting == "now"

    play(main)


async def of(answer: Reply[str]) -> str:
    return await answer


# -- what is done about an error ---------------------------------------------------------------------------------------


async def second_try(value: str) -> str:
    await asyncio.sleep(0)
    return value


def test_a_second_try_brings_the_reply_in_the_context_of_who_asked(play: Play) -> None:
    asked: list[BaseException] = []
    seen: list[str] = []

    async def tries() -> str:
        seen.append(VARIABLE.get())
        return await second_try("second")

    def rescue(error: BaseException) -> Coroutine[Any, Any, str]:
        asked.append(error)
        return tries()

    async def main() -> None:
        answer = reply()
        answer.rescue = rescue

        async def asks() -> str:
            VARIABLE.set("of who asked")
            return await answer

        waiting = asyncio.create_task(asks())
        await asyncio.sleep(0)

        def fails() -> None:
            answer.set_exception(ValueError("first"))
            answer.wake()

        await in_no_task(fails)
        assert not waiting.done()
        assert await waiting == "second"

    play(main)
    assert [str(error) for error in asked] == ["first"]
    assert seen == ["of who asked"]


def test_it_is_asked_once_and_what_its_coroutine_raises_is_the_error(play: Play) -> None:
    asked: list[BaseException] = []

    async def fails() -> str:
        raise SourceError("Second", "no")

    def rescue(error: BaseException) -> Coroutine[Any, Any, str]:
        asked.append(error)
        return fails()

    async def main() -> None:
        answer = reply()
        answer.rescue = rescue
        answer.set_exception(ValueError("first"))
        assert await answer.then(str, lambda error: error.code) == "Second"

    play(main)
    assert len(asked) == 1


def test_an_error_about_which_nothing_can_be_done_is_the_reply(play: Play) -> None:
    async def main() -> None:
        answer = reply()
        answer.rescue = lambda _: None
        answer.set_exception(ValueError("first"))
        with pytest.raises(ValueError, match="first"):
            await answer

    play(main)


# -- who is cancelled --------------------------------------------------------------------------------------------------


def test_what_would_bring_it_is_dropped_before_whoever_waits_is_told(play: Play) -> None:
    seen: list[str] = []

    async def main() -> None:
        answer: Reply[str] = Reply(asyncio.get_running_loop(), lambda: seen.append("dropped"))

        async def asks() -> None:
            try:
                await answer
            finally:
                seen.append("told")

        waiting = asyncio.create_task(asks())
        await asyncio.sleep(0)
        waiting.cancel()
        assert seen == ["dropped"]
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert not answer.cancel()

    play(main)
    assert seen == ["dropped", "told"]


@pytest.mark.parametrize("pardons", [False, True])
def test_a_coroutine_that_would_bring_it_ends_first(play: Play, pardons: bool) -> None:
    seen: list[str] = []

    async def slow() -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            seen.append("ended")
            if not pardons:
                raise
        return "all the same"

    async def main() -> None:
        answer = reply_of(slow())

        async def asks() -> None:
            try:
                seen.append(await answer)
            except asyncio.CancelledError as error:
                seen.append(f"cancelled: {error}")

        waiting = asyncio.create_task(asks())
        await asyncio.sleep(0)
        waiting.cancel("enough")
        await asyncio.wait([waiting], timeout=5)

    play(main)
    assert seen[0] == "ended"
    assert seen[1] == "all the same" if pardons else seen[1].startswith("cancelled")


def test_a_coroutine_that_is_cancelled_before_its_first_step_is_no_warning(
    play: Play, recwarn: pytest.WarningsRecorder
) -> None:
    async def main() -> None:
        answer = reply_of(second_try("never"))
        assert answer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answer

    play(main)
    assert not recwarn.list


def test_who_is_closed_while_it_waits_gives_it_up(play: Play) -> None:
    seen: list[str] = []

    async def main() -> None:
        answer: Reply[str] = Reply(asyncio.get_running_loop(), lambda: seen.append("dropped"))
        asks = of(answer)
        asks.send(None)
        asks.close()
        assert answer.done()

    play(main)
    assert seen == ["dropped"]


@pytest.mark.parametrize("by", ["a step", "an error"])
def test_a_stop_iteration_is_no_value(play: Play, by: str) -> None:
    def stops(_: str) -> str:
        raise StopIteration("not a value")

    async def main() -> None:
        answer = reply()
        if by == "a step":
            tell(answer.then(stops), "")
        else:
            answer.set_exception(StopIteration("not a value"))
        with pytest.raises(RuntimeError, match="raised StopIteration"):
            await answer

    play(main)


def test_a_reply_is_its_own(play: Play) -> None:
    async def main() -> None:
        answer = reply()
        assert reply_of(answer) is answer

    play(main)
