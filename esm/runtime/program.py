"""`esm.run`: a program whose main work is a worker. It owns the process: signals, and the end.

SIGTERM or SIGINT: drain. A second one: stop now. Whatever handlers do, the process is gone `GRACE_S` after the drain
time is over: a hung thread or a swallowed cancellation would otherwise keep Python alive for ever.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from esm.mapping.settings import EventSourceMapping
from esm.runtime.worker import CLOSE_S, Worker

__all__ = ["EXIT_FORCED", "run"]

EXIT_FORCED = 70
"""The process's exit code when it had to be ended by force: something that was out did not end by itself."""

GRACE_S = CLOSE_S + 0.3
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


async def run(mappings: Iterable[EventSourceMapping], **options: Any) -> bool:
    """Runs a worker until a signal, or until it is done. Takes `Worker`'s options.

    Gives whether it ended clean: everything that was out ended by itself. Must be called in the main thread. Raises
    what `Worker` raises.
    """
    worker = Worker(mappings, **options)
    ending = _Ending(worker)
    with _signals(ending.on_signal):
        async with worker:
            ending.loop = asyncio.get_running_loop()
            await worker.join()
    ending.over(clean=worker.clean)
    return worker.clean


class _Ending:
    """What signals do, and the watchdog that ends the process when the loop or a thread does not."""

    def __init__(self, worker: Worker) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self._worker = worker
        self._watchdog: threading.Timer | None = None
        self._signals = 0

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """The first: drain; a second: stop now. Runs between two bytecodes of whatever the main thread is doing."""
        self._signals += 1
        now = self._signals > 1
        if self.loop is None:  # still starting: nothing is out
            raise KeyboardInterrupt
        self.loop.call_soon_threadsafe(lambda: self._worker.stop(now=now))
        self._watch(GRACE_S if now else self._worker.drain_timeout + GRACE_S)

    def over(self, *, clean: bool) -> None:
        """The worker is stopped; the watchdog stays if something did not end by itself."""
        if clean and self._watchdog is not None:
            self._watchdog.cancel()
        elif not clean:
            self._watch(GRACE_S)

    def _watch(self, seconds: float) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
        self._watchdog = threading.Timer(seconds, os._exit, [EXIT_FORCED])
        self._watchdog.daemon = True
        self._watchdog.start()


@contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
