"""The one reader of the system's clocks: whole epoch milliseconds on a timeline that never runs back.

Wall time is anchored once and carried on by the monotonic clock, so a stepped wall clock moves neither a backoff nor a
batching window. Everything that decides is given `now`; nothing else imports `time`.
"""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "Millis", "SystemClock"]

Millis = int
"""Epoch milliseconds, or a span of milliseconds."""


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> Millis:
        """Epoch milliseconds; never less than what an earlier call gave."""
        ...


class SystemClock:
    """The machine's time: the wall clock as it stood when this object was made, carried on by the monotonic clock."""

    def __init__(self) -> None:
        self._anchor_ns = time.time_ns() - time.monotonic_ns()

    def now(self) -> Millis:
        """Epoch milliseconds."""
        return (self._anchor_ns + time.monotonic_ns()) // 1_000_000
