"""How long to wait: between tries of the same thing, and between reads of a shard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from esm.clock import Millis

__all__ = ["PollPacer", "backoff"]

RETRY_BASE_MS = 200
"""First wait before a batch is tried again (observed: 0.2 s, doubling)."""

RETRY_CAP_MS = 60_000
"""Longest wait before a batch is tried again (chosen; AWS documents none)."""

POLL_RETRY_CAP_MS = 30_000
"""Longest wait before a failed read is tried again (chosen)."""

A_LITTLE = 10
"""A read is a little late up to this part of the interval (chosen)."""

_JITTER = 0.1
_DOUBLINGS_MAX = 20


def backoff(failures: int, jitter: Callable[[], float], *, cap_ms: Millis = RETRY_CAP_MS) -> Millis:
    """Milliseconds to wait after so many failures in a row: 200, doubling up to the cap, each +-10 %.

    `jitter` gives a number in [0, 1).
    """
    doubled = RETRY_BASE_MS << min(failures - 1, _DOUBLINGS_MAX)
    spread = 1 - _JITTER + 2 * _JITTER * jitter()
    return max(1, round(min(doubled, cap_ms) * spread))


@dataclass(slots=True)
class PollPacer:
    """When a shard may be read next.

    At the tip, once every `interval_ms`, from when it was due: a read that is a little late does not make the next one
    later. While more is waiting, at once but for the service's limit of reads a second
    (`spacing_ms`). https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html and
    https://docs.aws.amazon.com/streams/latest/dev/service-sizes-and-limits.html
    """

    interval_ms: Millis = 1000
    spacing_ms: Millis = 200
    next_at: Millis = 0
    failures: int = 0

    def after_page(self, started: Millis, *, more: bool) -> None:
        """A read that began at `started` was answered; `more`: it ended before the tip."""
        self.failures = 0
        if more:
            self.next_at = started + self.spacing_ms
            return
        on_time = 0 <= started - self.next_at <= self.interval_ms // A_LITTLE
        self.next_at = (self.next_at if on_time else started) + self.interval_ms

    def after_failure(self, now: Millis, jitter: Callable[[], float], *, at_least_ms: Millis = 0) -> Millis:
        """A read failed; gives the time of the next one."""
        self.failures += 1
        wait = backoff(self.failures, jitter, cap_ms=POLL_RETRY_CAP_MS)
        self.next_at = now + max(wait, at_least_ms)
        return self.next_at
