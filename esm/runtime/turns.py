"""What the drivers of a worker may take of the event loop at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from esm.clock import Millis

__all__ = ["TURN_MS", "Loop", "Turns"]

TURN_MS: Millis = 5
"""How long turns may go on before the event loop gets its own (chosen)."""


class Loop(Protocol):
    """What of an event loop tells its turns apart."""

    def time(self) -> float:
        """Its clock, in seconds."""
        ...

    def call_soon(self, callback: Callable[[], object], /) -> object:
        """In its next turn."""
        ...


class Turns:
    """What the drivers of a worker may take of the event loop at once, all together: `TURN_MS`.

    Belongs to the loop it is used in; `None`: the one that runs at its first use. Each does at least one thing, so that
    none waits for the others.
    """

    def __init__(self, loop: Loop | None = None) -> None:
        self._ends_at = 0.0  # in the loop's time; 0: none has begun
        self._over = False
        self._loop = loop

    def begin(self) -> None:
        """One begins: the first, or within what is left of the time."""
        self._loop = loop = self._loop or asyncio.get_running_loop()
        now = loop.time()
        if self._ends_at <= now:
            self._ends_at = now + TURN_MS / 1000

    def over(self) -> bool:
        """Whether the event loop waits for its turn. It has to be asked for the time to end."""
        if self._loop is not None and not self._over and 0 < self._ends_at <= self._loop.time():
            self.cut()
        return self._over

    def cut(self) -> None:
        """The loop has its turn as soon as what is being done now is done."""
        if self._loop is not None and not self._over:
            self._over = True
            self._loop.call_soon(self._end)

    def _end(self) -> None:
        self._over, self._ends_at = False, 0.0
