"""What comes of an asked question, for whoever goes on in the very turn of the event loop in which it came.

    asked --value, `wake`-------------------------> told
      |---error, and nothing can be done about it-> told, a turn later
      |---error, `rescue` has a coroutine---------> asked anew, in a task
      +---cancelled, once `drop` is done----------> told, a turn later

Whoever awaits a future of asyncio's is woken in the turn after, which costs a twelfth of a poll that brings nothing
(measured); and what the answer was decoded to waits for that turn in the processor's cache, or does not. And whoever
goes on with a reply by `add_done_callback` and `take` needs no task for it, which with its first turn of the loop is a
twentieth of what a message of a queue costs (measured).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context
from typing import Any, Generic, Self, TypeVar, cast

from esm.errors import SourceError

__all__ = ["Reply", "reply_of"]

T = TypeVar("T")
U = TypeVar("U")


class Reply(Generic[T]):
    """As a future, for one task to await, or one callback. It does what tasks ask of one: see `asyncio.isfuture`.

    `drop`: ends what would bring it, when it is cancelled. `rescue`: is asked once, of an error: what it gives brings
    the reply instead; `None`: the error is the reply. `get_loop`, `add_done_callback`, `result` and `cancel` are for
    that task.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_context",
        "_done",
        "_drop",
        "_error",
        "_future",
        "_loop",
        "_steps",
        "_value",
        "_woken",
        "rescue",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, drop: Callable[[], object] | None = None) -> None:
        self._asyncio_future_blocking = False
        self._loop, self._drop = loop, drop
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None
        self._steps: tuple[tuple[Callable[[Any], Any], Callable[[SourceError], Any] | None], ...] = ()
        self._future: asyncio.Future[T] | None = None  # what brings it
        self._woken: Callable[[Reply[T]], object] | None = None
        self._context: Context | None = None
        self.rescue: Callable[[BaseException], Coroutine[Any, Any, T] | None] | None = None

    # -- for who asks ----------------------------------------------------------------------------------------------

    def done(self) -> bool:
        """Whether it has a value or an error, or was cancelled."""
        return self._done

    def then(self, made: Callable[[T], U], failed: Callable[[SourceError], U] | None = None) -> Reply[U]:
        """Adds a step to this reply, and gives it: what `made` makes of the value, or `failed` of a `SourceError`.

        The steps are taken when it is. `None`: the error stays what it is. What a step raises is the next one's error.
        """
        self._steps += ((made, failed),)
        return cast("Reply[U]", self)

    def take(self) -> T:
        """The value, or raises the error, of a reply that is done: once, as neither is kept.

        What a page holds goes as it is handled; and an error that is kept knows the frame that keeps it.
        """
        value, self._value = self._value, None
        error, self._error = self._error, None
        for made, failed in self._steps:
            try:
                if error is None:
                    value = made(value)
                elif failed is not None and isinstance(error, SourceError):
                    value, error = failed(error), None
            except Exception as raised:  # noqa: BLE001  # it is the next one's
                error = raised
        if error is not None:
            try:
                if isinstance(error, StopIteration):  # which would be taken for a value
                    raise RuntimeError("a call raised StopIteration")  # noqa: TRY004  # as of a coroutine
                raise error
            finally:
                del error
        return cast("T", value)

    def cancel(self, msg: Any | None = None) -> bool:
        """Whether it was not done before. Whoever waits for it is told so, in the next turn of the loop or later."""
        if self._done:
            return False
        if self._future is not None:
            return self._future.cancel(msg)
        if self._drop is not None:
            self._drop()
        self._fail(asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg))
        return True

    def add_done_callback(self, woken: Callable[[Reply[T]], object], *, context: Context) -> None:
        """`woken` is called in `context` when it is done."""
        self._woken, self._context = woken, context
        if self._done:
            self._wake_soon()

    def __await__(self) -> Generator[Any, None, T]:
        """Waits, and gives what `take` gives."""
        return _Wait(self)  # type: ignore[return-value]  # an iterator is enough

    def result(self) -> None:
        """Nothing: a task asks for it before it goes on, and has the value or the error where it awaits."""

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop it belongs to."""
        return self._loop

    # -- for who answers -------------------------------------------------------------------------------------------

    def set_result(self, value: T) -> None:
        """The value, of which nobody is told before `wake`."""
        self._done, self._value = True, value

    def wake(self) -> None:
        """Whoever waits for it goes on before this returns, unless another task is in the midst of something.

        Nothing, as long as it is not done.
        """
        if not self._done:
            return None
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
        """It is raised where this is awaited or taken, in the next turn of the loop; or something is done about it."""
        coroutine = None if self.rescue is None else self.rescue(error)
        if coroutine is None:
            self._fail(error)
        else:
            self.come_from(self._loop.create_task(coroutine, context=self._context))

    def come_from(self, future: asyncio.Future[T]) -> None:
        """It is what the future comes to."""
        self._drop, self._future = None, future
        future.add_done_callback(self._ended)

    def _ended(self, future: asyncio.Future[T]) -> None:
        self._future = None
        try:
            value = future.result()
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is whose the reply is
            self._fail(error)
        else:
            self.set_result(value)
            self.wake()

    def _fail(self, error: BaseException) -> None:
        self._done, self._error = True, error
        self._wake_soon()

    def _wake_soon(self) -> None:
        woken, context = self._let_go()
        if woken is not None:
            self._loop.call_soon(woken, self, context=context)

    def _let_go(self) -> tuple[Callable[[Reply[T]], object] | None, Context | None]:
        """Whom to wake: a task holds the error it ended with, which knows this, and would hold itself by it."""
        woken, self._woken = self._woken, None
        context, self._context = self._context, None
        return woken, context


class _Wait(Generic[T]):
    """What a task goes through while it awaits a reply: no generator, so that it can be compiled."""

    __slots__ = ("_reply",)

    def __init__(self, reply: Reply[T]) -> None:
        self._reply = reply

    def __iter__(self) -> Self:
        return self

    def close(self) -> None:
        """Whoever awaits it is closed: nobody waits any more."""
        self._reply.cancel()

    def __next__(self) -> Reply[T]:
        """The reply, for the task to be told by; then it is done."""
        reply = self._reply
        if reply.done():
            raise StopIteration(reply.take())
        reply._asyncio_future_blocking = True  # noqa: SLF001  # as a future's own iterator does
        return reply


def reply_of(awaitable: Awaitable[T]) -> Reply[T]:
    """It itself, where it is a reply; else what it comes to, awaited in a task from the next turn of the loop on."""
    if isinstance(awaitable, Reply):
        return awaitable
    reply: Reply[T] = Reply(asyncio.get_running_loop())
    reply.come_from(asyncio.ensure_future(awaitable))
    return reply


def _raise(error: BaseException) -> None:
    raise error
