"""The tumbling window of a shard: at most one is in progress.

    none    --answered--> open       the function was called with a batch of it
    open    --answered--> open
    open    --carries--> open        the state that it returned is settled
    open    --carries--> closing     and too large: the window ends early
    open    --closes--> closing      a later window's record, the end of the shard, or idle time
    closing --closed--> none         the final invoke is done, or given up

What stands here is what is settled: it is stored together with the position, and is what a process begins with. A
retry is given the state that its first try was given, because only a settlement changes it.
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum
from typing import Any

from esm.clock import Millis
from esm.errors import InvariantError
from esm.machine.rules import StreamRules
from esm.records.window import Window, window_at

__all__ = ["Phase", "Spans", "TumblingWindow"]

AT_TIP_MS = 10_000
"""How long a shard must be seen at its tip before it counts as read to it: one empty page says little (chosen)."""


class Phase(Enum):
    """Where a shard's window is in its life."""

    NONE = "none"
    OPEN = "open"
    CLOSING = "closing"


class TumblingWindow:
    """The shard's window; `window` is what the checkpoint says of it, `None` while there is none.

    A window that was ended early before a restart, or whose mapping has no windows any more, still gets its final call.
    """

    __slots__ = ("_closing", "_idle_ms", "_state_bytes_max", "_tip_since", "_tip_until", "window")

    def __init__(self, rules: StreamRules, window: Window | None) -> None:
        self.window = window
        self._closing = window is not None and (window.terminated_early or not rules.tumbling_window_ms)
        self._idle_ms = rules.window_idle_ms
        self._state_bytes_max = rules.window_state_bytes_max
        self._tip_since: Millis | None = None
        self._tip_until: Millis = 0

    @property
    def phase(self) -> Phase:
        """As the diagram has it."""
        if self.window is None:
            return Phase.NONE
        return Phase.CLOSING if self._closing else Phase.OPEN

    def told(self, window: Window) -> Window:
        """What the function is told with a batch of this window: the state so far, or none at its start."""
        if self.window is None:
            return Window(window.start, window.end)
        if window.start >= self.window.end:
            raise InvariantError("a batch of a later window is out before the open one's final call")
        return self.window

    # -- what happens ----------------------------------------------------------------------------------------------

    def answered(self, window: Window) -> None:
        """The function was called with records of `window`, whatever came of it."""
        if self._closing:
            raise InvariantError("records were delivered before the final call")
        if self.window is None:
            self.window = window

    def carries(self, state: str | None) -> None:
        """What the function returned is settled. A state above the limit ends the window early.

        https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
        """
        window = self._open()
        if state is None:
            raise InvariantError("records of a window were settled without a state")
        early = len(state) * 4 > self._state_bytes_max and len(state.encode()) > self._state_bytes_max
        self.window = Window(window.start, window.end, state, early)
        self._closing = early

    def read(self, behind_ms: Millis, now: Millis) -> None:
        """A page was read that ended so far from the tip."""
        if behind_ms:
            self._tip_since = None
            return
        if self._tip_since is None:
            self._tip_since = now
        self._tip_until = now

    def is_over(self, first: Window | None, *, closed: bool) -> bool:
        """Whether nothing more of the open window comes. `first`: window of the next record that waits.

        `closed`: the shard was read to its end. Idle: at the tip still when the window has been over for long enough.
        """
        if self.phase is not Phase.OPEN:
            return False
        end = self._open().end
        if first is not None:
            return first.start >= end
        if closed or self._tip_since is None:
            return closed
        return self._tip_until >= max(end + self._idle_ms, self._tip_since + AT_TIP_MS)

    def closes(self) -> Window:
        """The final call is due: with this state, and no records."""
        window = self._open()
        self._closing = True
        return window

    def closed(self) -> None:
        """The final call is done, or given up. What it returned is thrown away, as the state is (observed)."""
        if self.phase is not Phase.CLOSING:
            raise InvariantError("a final call was settled that was not due")
        self.window, self._closing = None, False

    def _open(self) -> Window:
        window = self.window
        if window is None or self._closing:
            raise InvariantError("no window is open")
        return window


class Spans:
    """Which windows the records that wait are in, first ones first.

    A record that arrived before the latest window seen on the shard belongs to that one (chosen): windows only go on.
    """

    __slots__ = ("_latest", "_runs", "_size")

    def __init__(self, size: Millis, latest: Window | None) -> None:
        self._size = size
        self._latest = latest and Window(latest.start, latest.end)
        self._runs: deque[tuple[Window, int]] = deque()

    @property
    def first(self) -> Window | None:
        """Of the next record; `None` when none waits."""
        return self._runs[0][0] if self._runs else None

    @property
    def count(self) -> int:
        """Records that wait in the first window, and come before those of another."""
        return self._runs[0][1] if self._runs else 0

    @property
    def bounded(self) -> bool:
        """Whether a record of a later window waits too, so that no more can join the first."""
        return len(self._runs) > 1

    def push(self, records: Sequence[Any]) -> None:
        """Adds records behind those that wait."""
        latest, count, runs = self._latest, 0, self._runs
        if runs:
            latest, count = runs.pop()
        for record in records:
            arrived_at = record.arrived_at
            if latest is None or arrived_at >= latest.end:
                if latest is not None and count:
                    runs.append((latest, count))
                latest, count = window_at(arrived_at, self._size), 0
            count += 1
        if latest is not None and count:
            runs.append((latest, count))
        self._latest = latest

    def take(self, count: int) -> Window | None:
        """The window of the next `count` records, which are taken; they are all of one."""
        window, waiting = self._runs.popleft()
        if waiting > count:
            self._runs.appendleft((window, waiting - count))
        return window
