"""What a caller awaits of an answer, and goes on with in the very turn of the event loop in which it came.

Whoever awaits a future of asyncio's is woken in the turn after, which costs a twelfth of a poll that brings nothing
(measured); and what the answer was decoded to waits for that turn in the processor's cache, or does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any, Generic, TypeVar, cast

__all__ = ["Reply"]

T = TypeVar("T")


class Reply(Generic[T]):
    """As a future, for one task to await. It does what tasks ask of one: see `asyncio.isfuture`.

    `get_loop`, `add_done_callback`, `result` and `cancel` are for that task.
    """

    __slots__ = ("_asyncio_future_blocking", "_context", "_done", "_error", "_loop", "_value", "_woken")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._asyncio_future_blocking = False
        self._loop = loop
        self._done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._woken: Callable[[Reply[T]], object] | None = None
        self._context: Context | None = None

    def done(self) -> bool:
        """Whether it has a value or an error, or was cancelled."""
        return self._done

    def set_result(self, value: T) -> None:
        """The value, of which nobody is told before `wake`."""
        self._done, self._value = True, value

    def wake(self) -> None:
        """Whoever awaits it goes on before this returns, unless another task is in the midst of something."""
        if asyncio.current_task(self._loop) is not None:
            return self._wake_soon()
        woken, context = self._let_go()
        if woken is not None:
            try:
                cast("Context", context).run(woken, self)
            except (SystemExit, KeyboardInterrupt) as error:  # a transport of uvloop's would keep it to itself
                self._loop.call_soon(_raise, error)
        return None

    def set_exception(self, error: BaseException) -> None:
        """It is raised where this is awaited, in the next turn of the loop."""
        self._done, self._error = True, error
        self._wake_soon()

    def cancel(self, msg: Any | None = None) -> bool:
        """Whether it was not done before; then whoever awaits it is cancelled in the next turn of the loop."""
        if self._done:
            return False
        self.set_exception(asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg))
        return True

    def result(self) -> None:
        """Raises the error, once: kept, each would hold the other until garbage is looked for."""
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop it belongs to."""
        return self._loop

    def add_done_callback(self, woken: Callable[[Reply[T]], object], *, context: Context) -> None:
        """`woken` is called in `context` when it is done."""
        self._woken, self._context = woken, context
        if self._done:
            self._wake_soon()

    def __await__(self) -> Generator[Any, None, T]:
        """Waits, and gives the value, which is then the caller's alone: what a page holds goes as it is handled."""
        if not self._done:
            self._asyncio_future_blocking = True
            yield self
        self.result()
        value, self._value = self._value, None
        return cast("T", value)

    def _wake_soon(self) -> None:
        woken, context = self._let_go()
        if woken is not None:
            self._loop.call_soon(woken, self, context=context)

    def _let_go(self) -> tuple[Callable[[Reply[T]], object] | None, Context | None]:
        """Whom to wake: a task holds the error it ended with, which knows this, and would hold itself by it."""
        woken, self._woken = self._woken, None
        context, self._context = self._context, None
        return woken, context


def _raise(error: BaseException) -> None:
    raise error
