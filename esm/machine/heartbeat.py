"""When to extend the visibility of what is still wanted: at half of the time that is left, up to a bound.

Counted from the receive, whether a message waits or is handled. Not in Lambda, where a function is no longer than the
queue's visibility timeout was when the mapping was made. (chosen)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from itertools import count

from esm.clock import Millis
from esm.machine.pacing import backoff
from esm.machine.queue_batch import Held, Parcel

__all__ = ["Heartbeat"]

_SPENT_MIN = 64
"""So many parcels that need no more beats may lie among the others before they are sought out (chosen)."""


class Heartbeat:
    """Parcels by the time of their next beat. `held_max_ms`: how long after its receive a message is extended.

    `due`: when the next beat is; `None`: never.
    """

    def __init__(self, held_max_ms: Millis, jitter: Callable[[], float]) -> None:
        self.due: Millis | None = None  # asked for after every command
        self._held_max_ms, self._jitter = held_max_ms, jitter
        self._beats: list[tuple[Millis, int, Parcel]] = []
        self._number = count()
        self._spent = 0

    def begin(self, parcel: Parcel) -> None:
        """A parcel was received, some of whose messages are wanted."""
        self._push(parcel, parcel.received_at + parcel.visibility_ms // 2)

    def unwanted(self, members: Sequence[Held]) -> None:
        """These messages need no more beats; each stays with its parcel as long as another does."""
        parcel = members[0].parcel if members else None
        if parcel is not None and parcel.wanted == len(members) and parcel.members == members:
            parcel.wanted = 0  # a whole receive, handled together: the usual case
            self._spend(parcel)
            return
        for held in members:
            parcel = held.parcel
            parcel.wanted -= 1
            if not parcel.wanted:
                self._spend(parcel)

    def take(self, now: Millis) -> tuple[Parcel, list[Held], int] | None:
        """A parcel whose beat is due, its messages that are wanted, and for how many seconds more; `None`: none is."""
        while self.due is not None and self.due <= now:
            parcel = heappop(self._beats)[2]
            self._look()
            if not parcel.wanted:
                self._spent = max(0, self._spent - 1)
                continue
            seconds = self._seconds(parcel, now)
            members = [h for h in parcel.members if h.parcel is parcel and h.fate is None and not h.lost]
            members = [held for held in members if now + seconds * 1000 > held.visible_at]
            if members and seconds:
                return parcel, members, seconds
        return None

    def again(self, parcel: Parcel, at: Millis, now: Millis, *, missed: bool) -> None:
        """A beat that was sent at `at` came back; `missed`: some of the parcel were not extended, and soon are."""
        if not missed:
            parcel.failures = 0
            self._push(parcel, max(now + 1, at + parcel.visibility_ms // 2))
            return
        parcel.failures += 1
        wait = min(backoff(parcel.failures, self._jitter), max(1, parcel.visibility_ms // 4))
        self._push(parcel, now + wait)

    def _seconds(self, parcel: Parcel, now: Millis) -> int:
        left = parcel.received_at + self._held_max_ms - now
        return max(0, min(parcel.visibility_ms, left)) // 1000

    def _spend(self, parcel: Parcel) -> None:
        parcel.members.clear()
        self._spent += 1
        if self._spent > _SPENT_MIN and self._spent * 2 > len(self._beats):
            self._beats = [entry for entry in self._beats if entry[2].wanted]
            heapify(self._beats)
            self._spent = 0
            self._look()

    def _push(self, parcel: Parcel, at: Millis) -> None:
        if not parcel.wanted:
            return
        heappush(self._beats, (at, next(self._number), parcel))
        self._look()

    def _look(self) -> None:
        self.due = self._beats[0][0] if self._beats else None
