from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from typing import Any

import pytest

from esm.handlers.context import LambdaContext
from esm.handlers.invoke import FunctionInvoker
from esm.handlers.invoker import Raised, Returned
from esm.mapping.function import Function
from tests.unit.handlers.manual_loop import ManualLoop, run

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders:7"
EVENT: dict[str, Any] = {"Records": []}
TIMED_OUT = Raised("Sandbox.Timedout", "Task timed out after 3.00 seconds")


def invoker(handler: Callable[..., Any], loop: ManualLoop, **options: Any) -> FunctionInvoker:
    return FunctionInvoker(Function(handler, name="orders"), arn=ARN, clock=loop, **options)


def test_an_async_function_is_awaited_with_the_event_and_a_context() -> None:
    seen: list[Any] = []

    async def handler(event: Any, context: LambdaContext) -> dict[str, Any]:
        await asyncio.sleep(0)
        seen.extend([event, context])
        return {"ok": True}

    async def main(loop: ManualLoop) -> None:
        calls = invoker(handler, loop)
        assert await calls.invoke(EVENT, "id-1") == Returned({"ok": True})
        assert calls.function_arn == ARN
        assert seen[0] is EVENT
        assert seen[1].aws_request_id == "id-1"
        assert seen[1].get_remaining_time_in_millis() == 3000
        await calls.close(0)

    run(main)


def test_everything_that_is_awaitable_when_called_is_awaited_without_a_thread() -> None:
    threads: list[str] = []

    async def handler(prefix: str, event: Any, context: Any) -> str:
        threads.append(asyncio.current_task().get_name())  # type: ignore[union-attr]  # there is one
        return prefix + "done"

    class Callee:
        async def __call__(self, event: Any, context: Any) -> str:
            return "called"

        async def method(self, event: Any, context: Any) -> str:
            return "method"

    async def main(loop: ManualLoop) -> None:
        assert await invoker(functools.partial(handler, "all "), loop).invoke(EVENT, "r") == Returned("all done")
        assert await invoker(Callee(), loop).invoke(EVENT, "r") == Returned("called")
        assert await invoker(functools.partial(Callee()), loop).invoke(EVENT, "r") == Returned("called")
        assert await invoker(Callee().method, loop).invoke(EVENT, "r") == Returned("method")
        assert threads == ["r"]

    run(main)


@pytest.mark.parametrize(
    "error",
    [
        ValueError,
        SystemExit,
        KeyboardInterrupt,
        GeneratorExit,
        asyncio.CancelledError,
        StopAsyncIteration,
        BaseException,
    ],
)
@pytest.mark.parametrize("kind", ["async", "inline", "thread", "awaitable"])
def test_whatever_is_raised_is_a_function_error_and_is_not_obeyed(error: type[BaseException], kind: str) -> None:
    async def coroutine(event: Any, context: Any) -> None:
        raise error("why")

    def plain(event: Any, context: Any) -> None:
        raise error("why")

    def awaitable(event: Any, context: Any) -> Any:
        return coroutine(event, context)

    handlers = {"async": coroutine, "awaitable": awaitable}

    async def main(loop: ManualLoop) -> None:
        calls = invoker(handlers.get(kind, plain), loop, sync_inline=kind == "inline")
        outcome = await calls.invoke(EVENT, "r")
        assert isinstance(outcome, Raised)
        assert outcome.error_type == error.__name__
        assert outcome.message == "why"
        assert outcome.trace is not None
        assert "raise error(" in outcome.trace
        assert "esm/handlers" not in outcome.trace
        await calls.close(0)

    run(main)


def test_a_function_that_succeeds_and_then_raises_in_its_clean_up_has_failed() -> None:
    async def handler(event: Any, context: Any) -> str:
        try:
            return "done"
        finally:
            raise OSError("cannot close")

    async def main(loop: ManualLoop) -> None:
        outcome = await invoker(handler, loop).invoke(EVENT, "r")
        assert isinstance(outcome, Raised)
        assert outcome.error_type == "OSError"

    run(main)


def test_a_call_is_cancelled_at_its_timeout() -> None:
    ended: list[str] = []

    async def handler(event: Any, context: LambdaContext) -> str:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(f"{context.get_remaining_time_in_millis()} left")
        return "never"

    async def main(loop: ManualLoop) -> None:
        calls = invoker(handler, loop)
        call = asyncio.create_task(calls.invoke(EVENT, "r"))
        await loop.advance(0)
        await loop.advance(2.9)
        assert not call.done()
        await loop.advance(0.1)
        assert call.done()
        assert await call == TIMED_OUT
        assert ended == ["0 left"]
        assert calls.abandoned == 0

    run(main)


def test_what_it_returns_or_raises_after_its_cancellation_does_not_count() -> None:
    async def returns(event: Any, context: Any) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(4)
        return "late"

    async def raises(event: Any, context: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            raise ValueError

    async def main(loop: ManualLoop) -> None:
        for handler, seconds in ((returns, 4), (raises, 0)):
            call = asyncio.create_task(invoker(handler, loop).invoke(EVENT, "r"))
            await loop.advance(0)
            await loop.advance(3)
            await loop.advance(seconds)
            assert call.done()
            assert await call == TIMED_OUT

    run(main)


def test_a_call_that_blocked_the_loop_past_its_deadline_is_timed_out() -> None:
    async def main(loop: ManualLoop) -> None:
        async def handler(event: Any, context: Any) -> str:
            loop._seconds += 3.5
            return "done"

        assert await invoker(handler, loop).invoke(EVENT, "r") == TIMED_OUT

    run(main)


def test_variables_of_the_context_are_seen_and_their_changes_are_not_kept() -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    async def coroutine(event: Any, context: Any) -> str:
        was = variable.get()
        variable.set("changed")
        return was

    def plain(event: Any, context: Any) -> str:
        was = variable.get()
        variable.set("changed")
        return was

    def mixed(event: Any, context: Any) -> Any:
        variable.set("of the call")
        return coroutine(event, context)

    async def main(loop: ManualLoop) -> None:
        variable.set("set")
        for inline in (True, False):
            for handler, seen in ((coroutine, "set"), (plain, "set"), (mixed, "of the call")):
                calls = invoker(handler, loop, sync_inline=inline)
                assert await calls.invoke(EVENT, "r") == Returned(seen)
                assert variable.get() == "set"
                await calls.close(0)

    run(main)


def test_many_calls_at_once_keep_their_answers_apart() -> None:
    async def handler(event: dict[str, Any], context: LambdaContext) -> list[Any]:
        await asyncio.sleep(0)
        return [event["n"], context.aws_request_id]

    async def main(loop: ManualLoop) -> None:
        calls = invoker(handler, loop)
        outcomes = await asyncio.gather(*(calls.invoke({"n": n}, f"id-{n}") for n in range(200)))
        assert outcomes == [Returned([n, f"id-{n}"]) for n in range(200)]

    run(main)
