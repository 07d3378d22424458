"""A command that ends in good order when it is told to, and functions that print beside its output."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from esm.clock import SystemClock
from esm.runtime.program import ECHO_MS

__all__ = ["Interrupts", "stdout_kept"]

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """Counts SIGINT and SIGTERM: the first asks to stop, the second cancels, a third breaks into whatever runs."""

    def __init__(self) -> None:
        self.count = 0
        self._clock, self._first_at = SystemClock(), 0

    def stopping(self) -> bool:
        """Whether it was asked."""
        return self.count > 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine gives, on a loop of its own. Raises `KeyboardInterrupt` when it was cut short."""
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        try:
            return asyncio.run(self._run(work))
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def told(_number: int, _frame: object) -> None:
            now = self._clock.now()
            if self.count == 1 and now - self._first_at < ECHO_MS:
                return
            self.count, self._first_at = self.count + 1, now
            if self.count > 2:  # noqa: PLR2004  # as the docstring says
                raise KeyboardInterrupt
            if self.count > 1 and task is not None:
                loop.call_soon_threadsafe(task.cancel)

        for number in _SIGNALS:
            signal.signal(number, told)
        return await work


@contextmanager
def stdout_kept() -> Iterator[None]:
    """What functions print goes to stderr meanwhile, that of their processes too: stdout is for the outcome."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
