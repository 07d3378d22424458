"""How many batches of a queue may be handled at once, and how many receives wait for them: from what was observed.

Starts with five, grows by 300 a minute while receives come back full, shrinks when they come back empty and when the
function fails. https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html (the figures for growing; how it
shrinks is chosen, for AWS publishes no curve)
"""

from __future__ import annotations

from esm.clock import Millis
from esm.machine.queue_rules import QueueRules

__all__ = ["Pollers"]

CONCURRENCY_MIN = 2
"""Failures lower the concurrency no further than this (chosen)."""

_MINUTE: Millis = 60_000
_QUARTER = 4


class Pollers:
    """`concurrency`: batches that may be received, waiting or handled at once.

    `polls`: receives that may be out at once, fewer for each that came back empty in a row.
    """

    def __init__(self, rules: QueueRules) -> None:
        self._bound(rules)
        self._added = rules.concurrency_added_a_minute
        self._polls_min = rules.polls_min
        self._polls_max = rules.receives_max
        self._slots_a_poll = rules.slots_a_poll
        self._idle = 0
        self._seen_at: Millis | None = None
        self._scale(self._start * _MINUTE)

    def limit(self, rules: QueueRules) -> None:
        """Another `concurrency_max`: no more than that at once, and no fewer than a start begins with."""
        self._bound(rules)
        self._scale(max(self._start * _MINUTE, min(self._scaled, self._max * _MINUTE)))

    def received(self, asked: int, got: int, now: Millis) -> None:
        """A receive of up to `asked` messages gave `got`."""
        elapsed = 0 if self._seen_at is None else min(max(0, now - self._seen_at), _MINUTE)
        self._seen_at = now
        if got == 0:
            self._idle = min(self._idle + 1, self._polls_max)
            self._lower(self._start)
            return
        was_idle, self._idle = self._idle, 0
        grows = got >= asked or self.concurrency < self._start
        scaled = min(self._scaled + self._added * elapsed, self._max * _MINUTE) if grows else self._scaled
        if was_idle or scaled != self._scaled:
            self._scale(scaled)

    def failed(self) -> None:
        """An invocation failed."""
        self._lower(self._floor)

    def _bound(self, rules: QueueRules) -> None:
        self._max = rules.concurrency_max
        self._start = min(rules.concurrency_at_start, self._max)
        self._floor = min(CONCURRENCY_MIN, self._max)

    def _lower(self, least: int) -> None:
        """A quarter less, and not below `least`, unless it is there already."""
        concurrency = self.concurrency
        lower = max(least, concurrency - max(1, concurrency // _QUARTER)) * _MINUTE
        self._scale(lower if concurrency > least else self._scaled)

    def _scale(self, scaled: int) -> None:
        """Both figures are asked for after every command, and change after few."""
        self._scaled = scaled
        self.concurrency = scaled // _MINUTE
        full = -(-self.concurrency // self._slots_a_poll)
        self.polls = min(self._polls_max, max(full - self._idle, min(self._polls_min, full)))
