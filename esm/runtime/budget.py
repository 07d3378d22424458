"""Bytes in flight: one budget for everything that a worker reads, shared fairly.

    room --reserve--> on their way --accepted--> held --settled--> room

Whoever reads reserves first what the answer may bring, so answers that come together do not add up to more than there
is. Where there are many readers each is given a part of what is free, so that hundreds can ask at once. A share may
hold, with what it asks for, no more than the others leave free: so a source whose records nobody takes fills its share
and never all of it, however many such sources there are. And a share that holds nothing may always ask for one record,
one such share at a time, or it might wait for ever. What is held is therefore the budget at the most, plus one answer;
and a record for each share, where the budget is less than that. Polls of queues are an exception where there are more
than a few: they are out all the time and cannot ask for less, so each reserves its part, and what it brings beyond
that is counted when it is there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Budget", "Share"]

PARTS = 64
"""Into so many parts room is shared out, where there are so many readers. Each is given a part of what those before it
left, so some three hundred can ask at once, more than there are connections (chosen: with 8, half of the polls of 8,000
idle shards stood in line, for up to half a second)."""

POLLS = 8
"""Polls of a reader that may be out for long, about: an idle queue begins with five (chosen)."""

FEW = 8
"""Readers that need not think of each other's polls (chosen)."""

LITTLE = 64 << 10
"""Bytes that are worth a read (chosen)."""

SQUEEZED = 1
"""Bytes that are said to be there when there is no room: enough for one record, whatever it takes."""


@dataclass(frozen=True, eq=False)
class _Waiter:
    """`size`: bytes it will ask for."""

    share: Share
    size: int
    told: Callable[[], None]


class Budget:
    """`limit`: bytes. `used`: held, or on their way."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.held = 0
        self.shares = 0
        self.squeezed: Share | None = None
        self._waiting: deque[Callable[[], None]] = deque()
        self._sized: deque[_Waiter] = deque()
        self._told = False

    def share(self, *, polls: bool = False) -> Share:
        """For one that reads.

        `polls`: it cannot ask for less, and its answers may be long in coming, so it keeps nobody else from asking.
        """
        self.shares += 1
        return Share(self, polls=polls)

    def part(self, free: int) -> int:
        """Bytes that one read may be given of so many that are free."""
        return max(LITTLE, free // min(PARTS, max(1, self.shares)))

    @property
    def free(self) -> int:
        """Bytes that are neither; less than nothing when an answer was larger than was thought."""
        return self.limit - self.used

    def wait(self, share: Share, size: int, told: Callable[[], None]) -> None:
        """Calls `told` once, when there may be room; who waits longest is told first. `size` 0: it is not known."""
        if size:
            self._sized.append(_Waiter(share, size, told))
        else:
            self._waiting.append(told)

    @property
    def in_line(self) -> bool:
        """Whether any wait who know how much they want."""
        return bool(self._sized)

    def changed(self) -> None:
        """There may be room: those who wait are told, once for all that happens in a turn of the loop."""
        if (self._waiting or self._sized) and not self._told:
            self._told = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._told = False
        waiting, self._waiting = self._waiting, deque()
        for told in waiting:
            told()
        if self._tell_sized():  # some of them may want none any more: two turns later it is seen what they left
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self.changed)

    def _tell_sized(self) -> bool:
        """Whether any was told: no more than there is room for, or room for one would be told to a thousand."""
        left, kept, any_told = self.free, list[_Waiter](), False
        for _ in range(len(self._sized)):
            if left < LITTLE and (any_told or self.limit - self.held >= LITTLE):
                break
            waiter = self._sized.popleft()
            if waiter.share.has_room(waiter.size):
                left -= min(waiter.size, self.part(left), max(left, 0))
                any_told = True
                waiter.told()
            else:
                kept.append(waiter)  # in its place
        self._sized.extendleft(reversed(kept))
        return any_told


class Share:
    """What one reader has of the budget. `held`: bytes. `waiting`: it was refused, and was not told of room since."""

    __slots__ = ("_budget", "_closed", "_polls", "_reserved", "_turn", "held", "waiting")

    def __init__(self, budget: Budget, *, polls: bool) -> None:
        self._budget, self._polls = budget, polls
        self.held = 0
        self.waiting = False
        self._closed = self._turn = False
        self._reserved = 0

    def has_room(self, size: int) -> bool:
        """Whether `reserve` would give something."""
        return self._allowed(size) > 0

    def fair(self, size: int) -> int:
        """What of `size` a poll may count on, so that the polls of all readers can be out at once.

        Where readers are few it is all of it, and those wait for whom there is no room: what is held stays in bounds.
        """
        budget = self._budget
        return size if budget.shares <= FEW else min(size, budget.limit // (POLLS * budget.shares))

    def reserve(self, size: int) -> int:
        """Bytes that may be asked for now, `size` at the most, and are reserved; 0: none, wait."""
        turn, self._turn = self._turn or self._polls, False
        if self._budget.in_line and not turn:
            self._budget.changed()  # those before it are told, if there is room for them
            return 0
        allowed = self._allowed(size)
        if allowed == SQUEEZED and not self._polls:
            self._budget.squeezed = self
        self._reserved += allowed
        self._budget.used += allowed
        return allowed

    def _allowed(self, size: int) -> int:
        budget, least = self._budget, size
        if budget.free >= size * PARTS + self.held + self._reserved:
            return size  # there is plenty: the usual case
        if not self._polls:
            least = min(size, LITTLE)
            size = min(size, budget.part(budget.free))
        allowed = min(size, budget.free - self.held - self._reserved)
        if allowed >= least:
            return allowed
        # As long as room is only reserved it is soon known how much there is.
        full = budget.limit - budget.held < least
        turn = self._polls or budget.squeezed is None
        return SQUEEZED if full and turn and not self.held and not self._reserved else 0

    def give_back(self, size: int) -> None:
        """What was reserved is here, or will not come."""
        self._reserved -= size
        self._budget.used -= size
        if self._budget.squeezed is self:
            self._budget.squeezed = None
        self._budget.changed()

    def hold(self, size: int) -> None:
        """So many bytes are held now, in all."""
        change = size - self.held
        if change:
            self.held = size
            self._budget.used += change
            self._budget.held += change
            if change < 0:
                self._budget.changed()

    def when_free(self, told: Callable[[], None], size: int = 0) -> None:
        """Calls `told` once, when there may be room; for `size` bytes, if that is known."""

        def tell() -> None:
            self.waiting, self._turn = False, True
            told()

        if not self.waiting:
            self.waiting = True
            self._budget.wait(self, size, tell)

    def room(self, size: int = 0) -> asyncio.Future[None]:
        """Takes a place in line; done when there may be room, for `size` bytes if that is known."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.when_free(lambda: None if woken.done() else woken.set_result(None), size)
        return woken

    def close(self) -> None:
        """Gives up all it has, for good; a second time does nothing."""
        if self._closed:
            return
        self._closed = True
        self._budget.shares -= 1
        self.hold(0)
        self.give_back(self._reserved)
