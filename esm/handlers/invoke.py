"""Calls a Python function the way Lambda does, and never raises for what it does.

An `async def` begins at once. Where it has to wait, it does so in a task of its own, so that it can be given up when it
swallows its cancellation. A plain `def` runs in a daemon thread. https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from typing import Any

from esm.clock import Clock, Millis
from esm.eager import EagerTasks
from esm.errors import HandlerExhaustedError
from esm.handlers.answer import Awaited, answer, attempt, raised
from esm.handlers.call import Call, Calls
from esm.handlers.context import FunctionFacts, LambdaContext
from esm.handlers.invoker import Event, Invocation, Raised
from esm.handlers.resolve import resolve
from esm.handlers.threads import HandlerThreads
from esm.mapping.function import Function

__all__ = ["ABANDONED_MAX", "FunctionInvoker"]

ABANDONED_MAX = 16
"""Calls of one function that may hang before no more are made. (chosen: a thread each, and a lane each)"""

_WHAT_TO_DO = "give what the function waits for a timeout below its own, then restart this process"


class FunctionInvoker:
    """An `Invoker` of one function, in this process.

    An `async def` under the isolation `thread` has an event loop of its own there, and can only be waited for, as a
    `def`. `on_abandoned(request_id, n)`: a call did not end within 5 s of being told to; `n` hang now. `sync_inline`:
    a plain `def` is called in the event loop's thread, without a timeout: under virtual time a thread would be out of
    step. `in_thread`: whether each call takes a thread.
    Raises `HandlerNotFoundError`.
    """

    def __init__(
        self,
        function: Function,
        *,
        arn: str,
        clock: Clock,
        abandoned_max: int = ABANDONED_MAX,
        on_abandoned: Callable[[str, int], None] | None = None,
        sync_inline: bool = False,
    ) -> None:
        self._handler = resolve(function.handler)
        if function.isolation == "thread" and _is_async(self._handler):
            self._handler = _in_own_loop(self._handler)
        self._timeout = function.timeout
        self._timeout_ms = round(function.timeout * 1000)
        self._clock = clock
        self._abandoned_max = abandoned_max
        self._facts = FunctionFacts.of(arn, function.memory_size, clock.now())
        timed_out = Raised("Sandbox.Timedout", f"Task timed out after {function.timeout:.2f} seconds")
        self._calls = Calls(clock, timed_out, on_abandoned)
        self._tasks = EagerTasks()
        self._threads = HandlerThreads(f"esm-{self._facts.function_name}")
        inline = self._start_inline if sync_inline else self._start_thread
        self._start = self._start_async if _is_async(self._handler) else inline
        self.in_thread = not sync_inline and not _is_async(self._handler)

    @property
    def function_arn(self) -> str:
        """What failure records and the context name as the function."""
        return self._facts.invoked_function_arn

    @property
    def abandoned(self) -> int:
        """Calls given up that still hang."""
        return len(self._calls.hung)

    def request_of(self, task: asyncio.Task[Any]) -> str | None:
        """The request id of the call whose task it is; `None`: of none that has not ended."""
        calls = (*self._calls.running, *self._calls.hung)
        name = task.get_name()  # all that is known of a call in its first step
        return next((call.request_id for call in calls if call.task is task or call.request_id == name), None)

    async def invoke(self, event: Event, request_id: str) -> Invocation:
        """What became of one call: see `Invoker.invoke`."""
        begun = self.begin(event, request_id)
        return begun if isinstance(begun, Invocation) else await begun()

    def begin(self, event: Event, request_id: str) -> Invocation | Callable[[], Coroutine[Any, Any, Invocation]]:
        """The same, without a wait where the function does not: see `PromptInvoker.begin`."""
        if len(self._calls.hung) > self._abandoned_max:
            hung = f"{len(self._calls.hung)} calls of {self.function_arn} hang, {self._abandoned_max} may"
            raise HandlerExhaustedError(f"{hung}; {_WHAT_TO_DO}")
        now, loop = self._clock.now, asyncio.get_running_loop()
        deadline = now() + self._timeout_ms
        call = Call(self._calls, request_id, deadline, loop, loop.time() + self._timeout)
        self._start(call, event, LambdaContext(self._facts, request_id, deadline, now))
        return call.wait if call.outcome is None else call.outcome

    async def close(self, grace: Millis) -> None:
        """Ends what it holds within `grace` milliseconds: idle threads are let go, hung ones abandoned.

        Whoever still waits in `invoke` is cancelled: a call cut short has neither succeeded nor failed.
        """
        self._tasks.close()
        try:
            for call in list(self._calls.running):
                call.send_away()
            await asyncio.sleep(0)
            for call in list(self._calls.running):
                call.stop()
            if self._calls.running:
                await asyncio.wait([call.ending() for call in self._calls.running], timeout=grace / 1000)
        finally:
            for call in list(self._calls.running):
                call.abandon()
            self._calls.close()
            self._threads.close()

    def _start_async(self, call: Call, event: Event, context: LambdaContext) -> None:
        call.start(self._tasks, self._run(call, event, context))

    async def _run(self, call: Call, event: Event, context: LambdaContext) -> None:
        try:
            outcome = answer(await self._handler(_built(event), context))
        except BaseException as error:  # noqa: BLE001  # SystemExit and KeyboardInterrupt of a handler are not obeyed
            outcome = raised(error)
        call.finish(outcome)

    def _start_inline(self, call: Call, event: Event, context: LambdaContext) -> None:
        variables, loop, built = copy_context(), asyncio.get_running_loop(), _built(event)
        # As in a thread, no loop is running there: the function may use `asyncio.run`.
        asyncio._set_running_loop(None)  # noqa: SLF001  # documented, for whoever runs loops
        try:
            result = variables.run(attempt, self._handler, built, context)
        finally:
            asyncio._set_running_loop(loop)  # noqa: SLF001  # as above
        self._go_on(call, variables, result)

    def _start_thread(self, call: Call, event: Event, context: LambdaContext) -> None:
        variables = copy_context()
        work = functools.partial(variables.run, attempt, self._handler, _built(event), context)
        done = functools.partial(self._go_on, call, variables)
        try:
            self._threads.run(asyncio.get_running_loop(), work, done)
        except RuntimeError as error:
            self._calls.running.pop(call, None)
            msg = f"no thread for a call of {self.function_arn}: {error}"
            raise HandlerExhaustedError(msg) from error

    def _go_on(self, call: Call, variables: Context, result: Invocation | Awaited) -> None:
        """The plain function is through: with its answer, or with something to await for it."""
        if not isinstance(result, Awaited):
            call.finish(result)
        elif call.stopping:
            call.finish(_dropped(result.awaitable))
        else:
            call.start(self._tasks, _await(call, result.awaitable), variables)


def _built(event: Event) -> dict[str, Any]:
    return event() if callable(event) else event


async def _await(call: Call, awaitable: Any) -> None:
    try:
        outcome = answer(await awaitable)
    except BaseException as error:  # noqa: BLE001  # as _run
        outcome = raised(error)
    call.finish(outcome)


def _dropped(awaitable: Any) -> Invocation:
    """Closes what came too late to be awaited, a coroutine above all; what is said of the call then is not heard."""
    try:
        awaitable.close()
    except BaseException as error:  # noqa: BLE001  # not every awaitable can be closed, and one may do anything
        return raised(error)
    return answer(None)


def _in_own_loop(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The same handler as a plain function, for a thread."""

    async def run(event: Any, context: Any) -> Any:
        return await handler(event, context)

    return lambda event, context: asyncio.run(run(event, context))


def _is_async(handler: Any) -> bool:
    """Whether calling it gives a coroutine: an `async def`, a partial of one, an object whose `__call__` is one."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)
