from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from esm.errors import HandlerExhaustedError
from esm.handlers.context import LambdaContext
from esm.handlers.invoke import FunctionInvoker
from esm.handlers.invoker import Raised, Returned
from esm.mapping.function import Function, Isolation
from tests.unit.handlers.manual_loop import ManualLoop, run, until

ARN = "arn:aws:lambda:eu-west-1:123456789012:function:orders"
EVENT: dict[str, Any] = {"Records": []}
TIMED_OUT = Raised("Sandbox.Timedout", "Task timed out after 3.00 seconds")


def invoker(
    handler: Callable[..., Any],
    loop: ManualLoop,
    isolation: Isolation = "auto",
    **options: Any,
) -> FunctionInvoker:
    return FunctionInvoker(Function(handler, name="orders", isolation=isolation), arn=ARN, clock=loop, **options)


class Gate:
    """A plain handler that stays in its thread until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, event: Any, context: Any) -> str:
        self.entered.set()
        self.open.wait(30)
        return "through"


def test_a_plain_function_runs_in_a_daemon_thread_that_is_used_again() -> None:
    threads: list[threading.Thread] = []

    def handler(event: Any, context: LambdaContext) -> str:
        threads.append(threading.current_thread())
        return context.aws_request_id

    async def main(loop: ManualLoop) -> None:
        calls = invoker(handler, loop)
        assert [await calls.invoke(EVENT, str(n)) for n in range(5)] == [Returned(str(n)) for n in range(5)]
        assert len(set(threads)) == 1
        assert threads[0].daemon
        assert threads[0].name == "esm-orders-1"
        assert threads[0] is not threading.main_thread()
        await calls.close(0)
        threads[0].join(10)
        assert not threads[0].is_alive()

    run(main)


def test_calls_at_once_have_a_thread_each_and_the_last_idle_is_next() -> None:
    barrier = threading.Barrier(3)
    names: list[str] = []

    def handler(event: Any, context: Any) -> str:
        if event.get("meet"):
            barrier.wait(30)
        names.append(threading.current_thread().name)
        return names[-1]

    async def main(loop: ManualLoop) -> None:
        calls = invoker(handler, loop)
        outcomes = await asyncio.gather(*(calls.invoke({"meet": True}, "r") for _ in range(3)))
        assert {outcome.value for outcome in outcomes if isinstance(outcome, Returned)} == {
            "esm-orders-1",
            "esm-orders-2",
            "esm-orders-3",
        }
        warm = await calls.invoke({}, "r")
        for _ in range(3):
            assert await calls.invoke({}, "r") == warm
        await calls.close(0)

    run(main)


def test_inline_there_is_no_thread() -> None:
    def handler(event: Any, context: Any) -> str:
        return threading.current_thread().name

    async def main(loop: ManualLoop) -> None:
        here = threading.current_thread().name
        assert await invoker(handler, loop, sync_inline=True).invoke(EVENT, "r") == Returned(here)

    run(main)


@pytest.mark.parametrize("inline", [True, False])
def test_what_a_plain_function_gives_to_await_is_awaited_in_the_loop(inline: bool) -> None:
    async def later() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    class Awaitable:
        def __await__(self) -> Any:
            return later().__await__()

    async def main(loop: ManualLoop) -> None:
        for handler in (lambda e, c: later(), lambda e, c: Awaitable()):
            calls = invoker(handler, loop, sync_inline=inline)
            assert await calls.invoke(EVENT, "r") == Returned(threading.current_thread().name)
            await calls.close(0)

    run(main)


@pytest.mark.parametrize("inline", [True, False])
def test_what_it_gives_to_await_is_cancelled_at_the_timeout(inline: bool) -> None:
    async def main(loop: ManualLoop) -> None:
        started = asyncio.Event()

        async def later() -> None:
            started.set()
            await asyncio.sleep(60)

        calls = invoker(lambda event, context: later(), loop, sync_inline=inline)
        call = asyncio.create_task(calls.invoke(EVENT, "r"))
        await until(started.is_set)
        await loop.advance(3)
        assert call.done()
        assert await call == TIMED_OUT
        await calls.close(0)

    run(main)


def test_a_thread_past_its_timeout_gets_five_seconds_to_end_and_then_no_overlap_is_left() -> None:
    async def main(loop: ManualLoop) -> None:
        gate = Gate()
        calls = invoker(gate, loop)
        call = asyncio.create_task(calls.invoke(EVENT, "r"))
        await until(gate.entered.is_set)
        await loop.advance(3)
        assert not call.done(), "the batch is not tried again while its first try still runs"
        gate.open.set()
        await until(call.done)
        assert await call == TIMED_OUT
        assert calls.abandoned == 0
        await calls.close(0)

    run(main)


def test_a_hung_thread_is_given_up_and_comes_back_when_it_ends() -> None:
    told: list[tuple[str, int]] = []

    async def main(loop: ManualLoop) -> None:
        gate = Gate()
        calls = invoker(gate, loop, abandoned_max=0, on_abandoned=lambda request_id, n: told.append((request_id, n)))
        call = asyncio.create_task(calls.invoke(EVENT, "r"))
        await until(gate.entered.is_set)
        await loop.advance(3)
        await loop.advance(5)
        assert await call == TIMED_OUT
        assert told == [("r", 1)]
        with pytest.raises(HandlerExhaustedError):
            await calls.invoke(EVENT, "r")
        gate.open.set()
        await until(lambda: calls.abandoned == 0)
        assert await calls.invoke(EVENT, "r") == Returned("through")
        await calls.close(0)

    run(main)


def test_a_coroutine_that_comes_too_late_is_closed_and_not_awaited() -> None:
    steps: list[str] = []

    async def later() -> None:
        steps.append("awaited")

    class Stubborn:
        def __await__(self) -> Any:
            steps.append("awaited")
            yield

        def close(self) -> None:
            raise SystemExit

    async def main(loop: ManualLoop) -> None:
        for make in (later, Stubborn):
            gate = Gate()

            def handler(event: Any, context: Any, gate: Gate = gate, make: Callable[[], Any] = make) -> Any:
                gate(event, context)
                return make()

            calls = invoker(handler, loop)
            call = asyncio.create_task(calls.invoke(EVENT, "r"))
            await until(gate.entered.is_set)
            await loop.advance(3)
            gate.open.set()
            await until(call.done)
            assert await call == TIMED_OUT
            await calls.close(0)
        assert steps == []

    run(main)


def test_a_cancelled_caller_leaves_its_thread_and_close_gives_it_up_after_the_grace() -> None:
    async def main(loop: ManualLoop) -> None:
        gate = Gate()
        calls = invoker(gate, loop)
        call = asyncio.create_task(calls.invoke(EVENT, "r"))
        await until(gate.entered.is_set)
        call.cancel()
        await loop.advance(0)
        assert call.cancelled()
        closing = asyncio.create_task(calls.close(2000))
        await loop.advance(0)
        assert not closing.done()
        await loop.advance(2)
        assert closing.done()
        assert calls.abandoned == 1
        with pytest.raises(HandlerExhaustedError, match="no thread"):
            await calls.invoke(EVENT, "r")
        gate.open.set()
        await until(lambda: calls.abandoned == 0)

    run(main)


def test_no_thread_to_be_had_halts_and_is_no_function_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main(loop: ManualLoop) -> None:
        calls = invoker(lambda event, context: None, loop)
        monkeypatch.setattr(threading.Thread, "start", start)
        with pytest.raises(HandlerExhaustedError, match="can't start new thread"):
            await calls.invoke(EVENT, "r")
        await calls.close(60_000)

    run(main)


def test_an_idle_thread_holds_nothing_of_the_last_call() -> None:
    class Big:
        alive: ClassVar[int] = 0

        def __init__(self) -> None:
            Big.alive += 1

        def __del__(self) -> None:
            Big.alive -= 1

    async def main(loop: ManualLoop) -> None:
        calls = invoker(lambda event, context: None, loop)
        assert await calls.invoke({"big": Big()}, "r") == Returned(None)
        await until(lambda: Big.alive == 0)
        await calls.close(0)

    run(main)


def test_an_async_function_can_have_a_thread_and_a_loop_of_its_own() -> None:
    async def handler(event: Any, context: Any) -> list[Any]:
        await asyncio.sleep(0)
        return [threading.current_thread().name, isinstance(asyncio.get_running_loop(), ManualLoop)]

    async def main(loop: ManualLoop) -> None:
        calls = invoker(handler, loop, isolation="thread")
        assert await calls.invoke(EVENT, "r") == Returned(["esm-orders-1", False])
        await calls.close(0)

    run(main)


HUNG = """
import asyncio, threading
from esm.clock import SystemClock
from esm.handlers.invoke import FunctionInvoker
from esm.mapping.function import Function

entered = threading.Event()

def plain(event, context):
    entered.set()
    threading.Event().wait()

async def swallows(event, context):
    while True:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            continue

async def main():
    for handler in (plain, swallows):
        calls = FunctionInvoker(Function(handler), arn="f", clock=SystemClock())
        call = asyncio.create_task(calls.invoke({}, "r"))
        while handler is plain and not entered.is_set():
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        call.cancel()
        try:
            await call
        except asyncio.CancelledError:
            pass
        await calls.close(10)
        print(calls.abandoned)

asyncio.run(main())
"""


def test_a_process_ends_while_handlers_hang() -> None:
    done = subprocess.run([sys.executable, "-c", HUNG], capture_output=True, timeout=30, check=False, text=True)
    assert (done.returncode, done.stdout) == (0, "1\n1\n"), done.stderr
