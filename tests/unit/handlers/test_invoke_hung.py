from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from esm.eager import EagerTasks
from esm.errors import HandlerExhaustedError
from esm.handlers.call import Call, Calls
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


def test_a_call_that_swallows_its_cancellation_is_given_up_five_seconds_later() -> None:
    told: list[tuple[str, int]] = []
    release = asyncio.Event()

    async def handler(event: Any, context: Any) -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    async def main(loop: ManualLoop) -> None:
        calls = invoker(handler, loop, on_abandoned=lambda request_id, n: told.append((request_id, n)))
        call = asyncio.create_task(calls.invoke(EVENT, "r"))
        await loop.advance(0)
        await loop.advance(3)
        await loop.advance(4.9)
        assert not call.done()
        await loop.advance(0.1)
        assert call.done()
        assert await call == TIMED_OUT
        assert told == [("r", 1)]
        assert calls.abandoned == 1
        release.set()
        await loop.advance(0)
        assert calls.abandoned == 0, "it ended after all: its slot is free, what it returned is not heard"

    run(main)


def test_too_many_hung_calls_exhaust_the_function() -> None:
    started: list[str] = []
    release = asyncio.Event()

    async def handler(event: Any, context: LambdaContext) -> None:
        started.append(context.aws_request_id)
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async def main(loop: ManualLoop) -> None:
        calls = invoker(handler, loop, abandoned_max=1)
        for request_id in ("a", "b"):
            call = asyncio.create_task(calls.invoke(EVENT, request_id))
            await loop.advance(0)
            await loop.advance(3)
            await loop.advance(5)
            assert await call == TIMED_OUT
        with pytest.raises(
            HandlerExhaustedError, match=r"2 calls of .*orders:7 hang, 1 may; give what .* timeout.* restart"
        ):
            await calls.invoke(EVENT, "c")
        assert started == ["a", "b"]
        release.set()
        await loop.advance(0)
        assert await calls.invoke(EVENT, "d") == Returned(None)

    run(main)


def test_the_event_loop_ends_without_waiting_for_a_hung_call() -> None:
    state = {"ended": False}

    async def handler(event: Any, context: Any) -> None:
        while not state["ended"]:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                continue

    async def main(loop: ManualLoop) -> asyncio.Task[Any]:
        calls = invoker(handler, loop)
        call = asyncio.create_task(calls.invoke(EVENT, "hung"))
        await loop.advance(0)
        (task,) = [task for task in asyncio.all_tasks() if task.get_name() == "hung"]
        await loop.advance(3)
        await loop.advance(5)
        await call
        assert task not in asyncio.all_tasks()
        return task

    task = run(main)
    assert not task.done()
    state["ended"] = True  # or the interpreter could not take its coroutine down either


def test_a_cancelled_caller_is_not_held_up_and_the_call_is_cancelled() -> None:
    ended: list[str] = []

    async def handler(event: Any, context: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("cancelled")

    async def main(loop: ManualLoop) -> None:
        calls = invoker(handler, loop)
        call = asyncio.create_task(calls.invoke(EVENT, "r"))
        await loop.advance(0)
        call.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert ended == ["cancelled"]
        assert call.cancelled()
        await calls.close(0)
        assert calls.abandoned == 0

    run(main)


def test_a_cancelled_caller_does_not_wait_for_a_call_that_swallows_it() -> None:
    told: list[tuple[str, int]] = []
    release = asyncio.Event()

    async def handler(event: Any, context: Any) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async def main(loop: ManualLoop) -> None:
        calls = invoker(handler, loop, on_abandoned=lambda request_id, n: told.append((request_id, n)))
        call = asyncio.create_task(calls.invoke(EVENT, "r"))
        await loop.advance(0)
        call.cancel()
        await loop.advance(0)
        assert call.cancelled()
        assert told == []
        await loop.advance(5)
        assert told == [("r", 1)], "the worker may live on: the hung call counts"
        release.set()
        await loop.advance(0)
        assert calls.abandoned == 0

    run(main)


def test_a_call_told_to_stop_in_its_first_step_ends() -> None:
    steps: list[str] = []

    async def step(call: Call) -> None:
        call.stop()
        call.stop()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            steps.append("cancelled")
        call.finish(Returned())

    async def main(loop: ManualLoop) -> None:
        calls = Calls(loop, TIMED_OUT)
        call = Call(calls, "r", loop.now(), loop, loop.time() + 3)
        call.start(EagerTasks(), step(call))
        assert await call.wait() == TIMED_OUT
        assert steps == ["cancelled"]
        assert calls.running == {}

    run(main)


def test_close_waits_its_grace_for_calls_left_behind_and_no_longer() -> None:
    release = asyncio.Event()

    async def slow(event: Any, context: Any) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(1)

    async def hung(event: Any, context: Any) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async def main(loop: ManualLoop) -> None:
        for handler, abandoned in ((slow, 0), (hung, 1)):
            calls = invoker(handler, loop)
            call = asyncio.create_task(calls.invoke(EVENT, "r"))
            await loop.advance(0)
            call.cancel()
            await loop.advance(0)
            closing = asyncio.create_task(calls.close(2000))
            await loop.advance(0)
            await loop.advance(1)
            assert closing.done() is (handler is slow)
            await loop.advance(1)
            assert closing.done()
            assert calls.abandoned == abandoned
        release.set()
        await loop.advance(0)

    run(main)


def test_a_call_cut_short_by_close_has_no_outcome() -> None:
    async def handler(event: Any, context: Any) -> None:
        await asyncio.sleep(60)

    async def main(loop: ManualLoop) -> None:
        calls = invoker(handler, loop)
        call = asyncio.create_task(calls.invoke(EVENT, "r"))
        await loop.advance(0)
        await calls.close(1000)
        await loop.advance(0)
        assert call.cancelled()

    run(main)


def test_a_caller_cancelled_in_the_turn_its_call_ends_leaves_nothing_behind() -> None:
    told: list[tuple[str, int]] = []
    ends = asyncio.Event()

    async def handler(event: Any, context: Any) -> None:
        await ends.wait()

    async def main(loop: ManualLoop) -> None:
        calls = invoker(handler, loop, on_abandoned=lambda request_id, n: told.append((request_id, n)))
        call = asyncio.create_task(calls.invoke(EVENT, "r"))
        await loop.advance(0)
        ends.set()
        await asyncio.sleep(0)
        call.cancel()
        await loop.advance(0)
        assert call.cancelled()
        await loop.advance(5)
        assert (told, calls.abandoned) == ([], 0)

    run(main)


def test_a_caller_cancelled_in_the_turn_its_thread_ends_leaves_nothing_behind() -> None:
    told: list[tuple[str, int]] = []

    async def main(loop: ManualLoop) -> None:
        calls = Calls(loop, TIMED_OUT, lambda request_id, n: told.append((request_id, n)))
        call = Call(calls, "r", loop.now() + 3000, loop, loop.time() + 3)
        waiting = asyncio.create_task(call.wait())
        await loop.advance(0)
        call.finish(Returned())
        waiting.cancel()
        await loop.advance(0)
        assert waiting.cancelled()
        await loop.advance(5)
        assert told == []
        assert (calls.running, calls.hung) == ({}, set())

    run(main)
