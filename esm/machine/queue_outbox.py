"""Messages that wait for a call of their own, which takes ten at a time."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from itertools import count

from esm.clock import Millis
from esm.machine.queue_batch import Held
from esm.mapping.limits import SQS_BATCH_ENTRIES

__all__ = ["Outbox"]


class Outbox:
    """In the order they came; what failed comes again at its time.

    `linger_ms`: how long one waits for others to go with it. `calls_max`: calls out at once.
    """

    def __init__(self, *, linger_ms: Millis, calls_max: int) -> None:
        self.out = 0
        self._linger_ms, self._calls_max = linger_ms, calls_max
        self._fresh: deque[tuple[Millis, Held]] = deque()
        self._again: list[tuple[Millis, int, Held]] = []
        self._number = count()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._fresh) + len(self._again)

    def add(self, held: Held, now: Millis) -> None:
        """One more."""
        self._fresh.append((now, held))

    def add_again(self, held: Held, due: Millis) -> None:
        """One that failed, to be tried again at `due`."""
        heappush(self._again, (due, next(self._number), held))

    def due(self) -> Millis | None:
        """When the next call is to be made; `None`: when something else has happened."""
        if self.out >= self._calls_max or not (self._fresh or self._again):
            return None
        times = [self._again[0][0]] if self._again else []
        if self._fresh:
            added = self._fresh[0][0]
            times.append(added if len(self._fresh) >= SQS_BATCH_ENTRIES else added + self._linger_ms)
        return min(times)

    def take(self, now: Millis) -> list[Held]:
        """Those of the next call; empty when none is due. The caller counts it back in `out`."""
        if not (self._fresh or self._again):
            return []  # the usual case, asked for after every command
        due = self.due()
        if due is None or due > now:
            return []
        taken: list[Held] = []
        while self._again and self._again[0][0] <= now and len(taken) < SQS_BATCH_ENTRIES:
            taken.append(heappop(self._again)[2])
        while self._fresh and len(taken) < SQS_BATCH_ENTRIES:
            taken.append(self._fresh.popleft()[1])
        self.out += 1
        return taken
