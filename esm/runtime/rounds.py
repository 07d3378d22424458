"""What thousands wait for, at the price of one timer: the next read, and the end of one that takes too long.

A loop that wakes for each shard alone spends more on waking than on the shard (measured). So waits that end at about
the same time end together, and a read has a place in a list instead of a timer of its own. But thousands that end in
one round are spread over the next ones: after whatever held the loop up, all shards are due at once, and would be so
again every second, for ever.
"""

from __future__ import annotations

import asyncio
from heapq import heappop, heappush
from types import TracebackType
from typing import Any

from esm.clock import Clock, Millis

__all__ = ["Rounds", "TimeLimit"]

ROUND_MS: Millis = 10
"""How far apart rounds are (chosen). Whoever waits for a second is woken so much later at the most."""

LONG_MS: Millis = 500
"""Shorter waits end at their own millisecond: they are between pages of a shard that is behind (chosen)."""

SPREAD_MS: Millis = 800
"""All that wait long could end within so much, a part of them with each round; no more than that part does (chosen:
most of the second that a shard waits for)."""

A_FEW = 64
"""So many end with one round however few wait (chosen)."""


class Rounds:
    """Of one worker; belongs to the loop it is used in."""

    def __init__(self, clock: Clock) -> None:
        self._short = _Waits(clock)
        self._long = _Waits(clock, spread=True)
        self._sweeps: dict[float, _Sweep] = {}

    def at(self, due: Millis, now: Millis) -> asyncio.Future[None]:
        """Is done at `due`, or with a round soon after it."""
        if due - now < LONG_MS:
            return self._short.until(due, now)
        return self._long.until(-(-due // ROUND_MS) * ROUND_MS, now)

    def limit(self, seconds: float) -> TimeLimit:
        """For blocks of the task that asks for it, one after the other. Raises `RuntimeError` outside of one."""
        sweep = self._sweeps.get(seconds)
        if sweep is None:
            sweep = self._sweeps[seconds] = _Sweep(seconds)
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a time limit is for a task")
        return TimeLimit(sweep, task)


class _Waits:
    """Those that end at the same time stand together, under one timer. `spread`: no more than a part ends at once."""

    __slots__ = ("_clock", "_count", "_spread", "_timer", "_times", "_waiting")

    def __init__(self, clock: Clock, *, spread: bool = False) -> None:
        self._clock, self._spread = clock, spread
        self._waiting: dict[Millis, list[asyncio.Future[None]]] = {}
        self._count = 0  # of them all
        self._times: list[Millis] = []  # a heap
        self._timer: asyncio.TimerHandle | None = None

    def until(self, time: Millis, now: Millis) -> asyncio.Future[None]:
        waiting = self._waiting.get(time)
        if waiting is None:
            waiting = self._waiting[time] = []
            heappush(self._times, time)
            if self._times[0] == time:
                self._arm(time - now)
        woken = asyncio.get_running_loop().create_future()
        waiting.append(woken)
        self._count += 1
        return woken

    def _arm(self, wait: Millis) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(max(0, wait) / 1000, self._wake)

    def _wake(self) -> None:
        self._timer, now, times = None, self._clock.now(), self._times
        left = max(A_FEW, self._count * ROUND_MS // SPREAD_MS) if self._spread else self._count
        while times and times[0] <= now and left:
            waiting = self._waiting[times[0]]
            ends, waiting[:left] = waiting[:left], []
            if not waiting:
                del self._waiting[heappop(times)]
            left -= len(ends)
            self._count -= len(ends)
            for woken in ends:
                if not woken.done():  # or its task was cancelled
                    woken.set_result(None)
        if times:
            self._arm(times[0] - now if left else ROUND_MS)


class TimeLimit:
    """`with limit:` cancels what takes too long, and raises `TimeoutError` then, as `asyncio.timeout` does."""

    __slots__ = ("_cancelled", "_cancelling", "_sweep", "_task")

    def __init__(self, sweep: _Sweep, task: asyncio.Task[Any]) -> None:
        self._sweep, self._task = sweep, task
        self._cancelling = 0
        self._cancelled = False

    def __enter__(self) -> None:
        """From now on."""
        self._cancelling = self._task.cancelling()
        self._sweep.begin(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Raises `TimeoutError` when it was this limit, and nobody else, that cancelled."""
        self._sweep.end(self)
        if self._cancelled:
            self._cancelled = False
            alone = self._task.uncancel() <= self._cancelling
            if alone and kind is asyncio.CancelledError:
                over = TimeoutError()
                over.__cause__ = error  # `raise ... from` loses it where it is compiled
                raise over

    def expire(self) -> None:
        """The time is over."""
        self._cancelled = True
        self._task.cancel()


class _Sweep:
    """Blocks that may take equally long, so the one that began first is the first to be over."""

    __slots__ = ("_begun", "_loop", "_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        self._seconds, self._loop = seconds, asyncio.get_running_loop()
        self._begun: dict[TimeLimit, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, limit: TimeLimit) -> None:
        """From now on."""
        self._begun[limit] = now = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(now + self._seconds, self._look)

    def end(self, limit: TimeLimit) -> None:
        """Its block is left."""
        self._begun.pop(limit, None)

    def _look(self) -> None:
        """Expires those whose time is over; looks again when the next one's is. Nothing to do: no timer."""
        self._timer, over = None, self._loop.time() - self._seconds
        while self._begun:
            limit, began = next(iter(self._begun.items()))
            if began > over:
                self._timer = self._loop.call_at(began + self._seconds, self._look)
                return
            del self._begun[limit]
            limit.expire()
