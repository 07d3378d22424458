"""Threads for plain functions: daemons of our own, so that one that hangs never keeps the process alive.

The standard library's executors join their threads at exit; a hung handler would hold the process for ever. (observed)
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from itertools import count
from queue import SimpleQueue
from typing import Any

__all__ = ["HandlerThreads"]

JOIN_S = 0.5
"""How long an idle thread may take to end before it is left to itself: it has only to wake up (chosen)."""

_Job = tuple[asyncio.AbstractEventLoop, Callable[[], Any], Callable[[Any], object]]


class HandlerThreads:
    """Threads that take one piece of work at a time. The one idle for the shortest time is next: it is warm.

    There are as many as there were pieces of work at once; a thread that hangs is simply not there any more, and a new
    one stands in for it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.idle: list[_Thread] = []  # appended to by the threads, popped by the loop: both atomic
        self.closed = False
        self._numbers = count(1)

    def run(self, loop: asyncio.AbstractEventLoop, work: Callable[[], Any], done: Callable[[Any], object]) -> None:
        """Has a thread do `work`, which never raises, then calls `done` with its result in the loop.

        Raises `RuntimeError` when the system gives no thread, and after `close`.
        """
        if self.closed:
            msg = "closed"
            raise RuntimeError(msg)
        try:
            thread = self.idle.pop()
        except IndexError:
            thread = _Thread(self, f"{self.name}-{next(self._numbers)}")
        thread.jobs.put((loop, work, done))

    def close(self) -> None:
        """Ends the idle threads; a busy one ends when its work is done."""
        self.closed = True
        ending = []
        while self.idle:
            thread = self.idle.pop()
            thread.jobs.put(None)
            ending.append(thread)
        for thread in ending:
            thread.join()


class _Thread:
    def __init__(self, pool: HandlerThreads, name: str) -> None:
        self.jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._pool = pool
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Waits for the moment that an idle thread takes to end."""
        self._thread.join(JOIN_S)

    def _main(self) -> None:
        while (job := self.jobs.get()) is not None:
            self._do(*job)
            del job  # an idle thread holds no event
            if self._pool.closed:
                return

    def _do(self, loop: asyncio.AbstractEventLoop, work: Callable[[], Any], done: Callable[[Any], object]) -> None:
        result = work()
        # Idle before the loop hears of it, so that its next piece of work finds this thread.
        self._pool.idle.append(self)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to hear of it
            loop.call_soon_threadsafe(done, result)
