"""Plain tasks that end with their owner.

A task group of anyio's takes eight kilobytes and costs five times as much a task (measured), which counts where each of
ten thousand shards would have one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable
from typing import Any, TypeVar

import anyio

__all__ = ["Tasks", "end_all", "run_whole", "together"]

T = TypeVar("T")

AGAIN_S = 5.0
"""How long a task has to end before it is cancelled again: what it awaited may have swallowed the first (chosen).

Longer than the last write of a position may take."""


class Tasks:
    """Those of one owner. `failed`: is called when one of them raised something."""

    __slots__ = ("_error", "_failed", "_running")

    def __init__(self, failed: Callable[[], None]) -> None:
        self._failed = failed
        self._error: BaseException | None = None
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """One more."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def wait(self) -> None:
        """Returns when none runs any more. Raises what the first that failed has raised."""
        while self._running:
            await asyncio.wait(self._running)
        if self._error is not None:
            raise self._error

    def cancel(self) -> None:
        """Cancels all."""
        for task in self._running:
            task.cancel()

    async def end(self) -> None:
        """As `end_all` of them."""
        await end_all(self._running)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._error = self._error or error
            self._failed()


async def end_all(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancels them and returns when all have ended, however often this is cancelled itself meanwhile."""
    cancelled = None
    with anyio.CancelScope(shield=True):  # a cancelled scope of anyio's would cancel the wait again at every turn
        left, again = set(tasks), True
        while left:
            if again:
                for task in left:
                    task.cancel()
            try:
                _, left = await asyncio.wait(left, timeout=AGAIN_S)
                again = True
            except asyncio.CancelledError as error:
                cancelled, again = error, False
    if cancelled is not None:
        raise cancelled


async def together(calls: Iterable[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    """Makes the calls at once; returns when all have ended. The first that fails cancels the others; raises its error.

    Its error itself, and no group of one: that is what is told.
    """
    try:
        async with anyio.create_task_group() as tasks:
            for call in calls:
                tasks.start_soon(call)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


def run_whole(loop: asyncio.AbstractEventLoop, task: asyncio.Task[T]) -> T:
    """What the loop's task gives, also when another task that a function began calls `sys.exit`.

    asyncio lets that end the whole loop; here it is that task's alone, and a failure of the call that waits for it.
    """
    while True:
        try:
            return loop.run_until_complete(task)
        except SystemExit:
            if task.done():
                raise
