"""Messages that wait for a call of their own, which takes ten at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import count

from esm.clock import Millis
from esm.machine.queue_batch import Held
from esm.mapping.limits import SQS_BATCH_ENTRIES

__all__ = ["Outbox", "earlier"]


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

    def __bool__(self) -> bool:
        """Whether any waits."""
        return bool(self._fresh or self._again)

    def add(self, members: Iterable[Held], now: Millis) -> None:
        """Some more."""
        self._fresh.extend([(now, held) for held in members])

    def add_again(self, held: Held, due: Millis) -> None:
        """One that failed, to be tried again at `due`."""
        heappush(self._again, (due, next(self._number), held))

    def due(self) -> Millis | None:
        """When the next call is to be made; `None`: when something else has happened."""
        if self.out >= self._calls_max or not (self._fresh or self._again):
            return None
        again = self._again[0][0] if self._again else None
        if not self._fresh:
            return again
        due = self._fresh[0][0] + (0 if len(self._fresh) >= SQS_BATCH_ENTRIES else self._linger_ms)
        return due if again is None else min(again, due)

    def take(self, now: Millis) -> list[Held]:
        """Those of the next call; empty when none is due. The caller counts it back in `out`."""
        fresh, again = self._fresh, self._again
        if not (fresh or again) or self.out >= self._calls_max:
            return []  # the usual case, asked for after every command
        waited = fresh and (len(fresh) >= SQS_BATCH_ENTRIES or fresh[0][0] + self._linger_ms <= now)
        if not (waited or (again and again[0][0] <= now)):
            return []
        taken: list[Held] = []
        while again and again[0][0] <= now and len(taken) < SQS_BATCH_ENTRIES:
            taken.append(heappop(again)[2])
        taken += [fresh.popleft()[1] for _ in range(min(len(fresh), SQS_BATCH_ENTRIES - len(taken)))]
        self.out += 1
        return taken


def earlier(one: Millis | None, other: Millis | None) -> Millis | None:
    """The earlier of two times; `None` is never."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
