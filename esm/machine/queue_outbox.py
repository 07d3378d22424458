"""Messages that wait for a call of their own, which takes ten at a time."""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from itertools import count

from esm.clock import Millis
from esm.machine.queue_batch import Held
from esm.mapping.limits import SQS_BATCH_ENTRIES

__all__ = ["Outbox", "earlier"]


class Outbox:
    """In the order they came; what failed comes again at its time. `waiting`: how many there are. `out`: calls out.

    `linger_ms`: how long one waits for others to go with it. `calls_max`: calls out at once.
    """

    def __init__(self, *, linger_ms: Millis, calls_max: int) -> None:
        self.waiting = self.out = 0
        self._linger_ms, self._calls_max = linger_ms, calls_max
        self._fresh: deque[tuple[Millis, list[Held]]] = deque()  # what came together, ten at the most
        self._fresh_count = 0
        self._again: list[tuple[Millis, int, Held]] = []
        self._number = count()

    def add(self, members: list[Held], now: Millis) -> None:
        """Some more."""
        if not members:
            return
        if len(members) <= SQS_BATCH_ENTRIES:
            self._fresh.append((now, members))  # the usual case
        else:
            tens = range(0, len(members), SQS_BATCH_ENTRIES)
            self._fresh.extend((now, members[first : first + SQS_BATCH_ENTRIES]) for first in tens)
        self._fresh_count += len(members)
        self.waiting += len(members)

    def add_again(self, held: Held, due: Millis) -> None:
        """One that failed, to be tried again at `due`."""
        heappush(self._again, (due, next(self._number), held))
        self.waiting += 1

    def due(self) -> Millis | None:
        """When the next call is to be made; `None`: when something else has happened."""
        if not self.waiting or self.out >= self._calls_max:
            return None
        return earlier(self._again[0][0] if self._again else None, self._fresh_due())

    def take(self, now: Millis) -> list[Held]:
        """Those of the next call; empty when none is due. The caller counts it back in `out`."""
        if not self.waiting or self.out >= self._calls_max:
            return []  # the usual case, asked for after every command
        again, fresh_due = self._again, self._fresh_due()
        if (fresh_due is None or fresh_due > now) and not (again and again[0][0] <= now):
            return []
        taken: list[Held] = []
        while again and again[0][0] <= now and len(taken) < SQS_BATCH_ENTRIES:
            taken.append(heappop(again)[2])
        taken += self._take_fresh(SQS_BATCH_ENTRIES - len(taken))
        self.waiting -= len(taken)
        self.out += 1
        return taken

    def _fresh_due(self) -> Millis | None:
        if not self._fresh:
            return None
        return self._fresh[0][0] + (0 if self._fresh_count >= SQS_BATCH_ENTRIES else self._linger_ms)

    def _take_fresh(self, most: int) -> list[Held]:
        fresh = self._fresh
        if fresh and len(fresh[0][1]) == most:
            self._fresh_count -= most
            return fresh.popleft()[1]  # the usual case
        taken: list[Held] = []
        while fresh and len(taken) < most:
            added, members = fresh.popleft()
            taken = taken + members
            if len(taken) > most:
                fresh.appendleft((added, taken[most:]))
        taken = taken[:most]
        self._fresh_count -= len(taken)
        return taken


def earlier(one: Millis | None, other: Millis | None) -> Millis | None:
    """The earlier of two times; `None` is never."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)
