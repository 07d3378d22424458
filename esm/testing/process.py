"""A simulated process: it can be killed as by SIGKILL and frozen as by SIGSTOP, between any two of its steps.

What belongs to a process is told by a context variable: every task, timer and callback inherits the context it was
made in. The loop keeps the steps of a stopped process aside instead of running them, so nothing in it, no `finally`
block either, goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context, ContextVar, copy_context
from typing import Any, Protocol

__all__ = ["CURRENT_PROCESS", "Process"]

CURRENT_PROCESS: ContextVar[Process | None] = ContextVar("esm_simulated_process", default=None)
"""The process that the running step belongs to; `None`: the world outside."""


class _Stopper(Protocol):
    """What a process asks of the loop it runs on."""

    def halt(self, process: Process) -> None:
        """From now on, its steps are kept aside."""
        ...

    def resume(self, process: Process) -> None:
        """Steps that were kept aside run now."""
        ...


class Process:
    """One life of a program, from `start` to its end or a kill.

    `alive`: started or not, it has neither ended nor been killed. `paused`: frozen for a while. `kept`, `held`: while
    it is stopped, its steps to come, and its tasks among others.
    """

    def __init__(self, name: str, loop: _Stopper) -> None:
        self.name = name
        self.alive = True
        self.paused = False
        self.killed = False
        self.kept: list[asyncio.Handle] = []
        self.held: set[asyncio.Task[Any]] = set()
        self._loop = loop
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, main: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs `main` as this process; to be called from outside of it, in the running loop."""
        context = copy_context()
        context.run(CURRENT_PROCESS.set, self)
        task = asyncio.get_running_loop().create_task(main, name=self.name, context=context)
        task.add_done_callback(self._end, context=Context())
        return task

    def kill(self) -> None:
        """Stops it for ever, at this instant. A step of it that runs right now runs on to its next `await`."""
        if not self.alive:
            return
        self.killed = True
        self._loop.halt(self)
        self._end()

    def pause(self, seconds: float) -> None:
        """Freezes it. Its timers that come due are late, as those of a stopped process are."""
        if not self.alive or self.paused:
            return
        self.paused = True
        self._loop.halt(self)
        asyncio.get_running_loop().call_later(seconds, self._resume, context=Context())

    async def wait(self) -> None:
        """Returns once it has ended or was killed."""
        await asyncio.shield(self._ended)

    def _resume(self) -> None:
        self.paused = False
        if not self.killed:
            self._loop.resume(self)

    def _end(self, _task: asyncio.Task[Any] | None = None) -> None:
        self.alive = False
        if not self._ended.done():
            self._ended.set_result(None)
