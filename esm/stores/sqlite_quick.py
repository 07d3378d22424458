"""Checkpoints written in the event loop's own thread, where that takes microseconds.

Handing a write over to a thread and its answer back costs more than ten times what a slot takes (measured). That is no
more than a copy into the system's memory: nothing waits for a lock, and nothing for the disk. What a slot does not take
is left to the store's thread, and so is every write for a while when one was slow all the same.

    at hand --a write took `SLOW_MS`--> resting --`REST_MS` later--> at hand
"""

from __future__ import annotations

from esm.clock import Clock, Millis, SystemClock
from esm.errors import EsmError
from esm.leasing.lease import Lease
from esm.records.position import Checkpoint
from esm.stores.sqlite_file import SqliteFile

__all__ = ["CHECK_MS", "REST_MS", "SLOW_MS", "QuickCheckpoints"]

SLOW_MS: Millis = 25
"""A write that held the event loop up for so long was one too many (chosen: more than a busy machine does to it)."""

REST_MS: Millis = 1_000
"""How long the store's thread writes after that (chosen)."""

CHECK_MS: Millis = 100
"""How often it is seen whether the files are still there (chosen)."""


class QuickCheckpoints:
    """Writes checkpoints into the slots of `database`. `clock` tells how long a write took."""

    def __init__(self, database: SqliteFile, clock: Clock | None = None) -> None:
        self._database, self._write = database, database.newest.write
        self._clock = clock or SystemClock()
        self._resting_until: Millis = 0
        self._check_at: Millis = 0

    def write(self, lease: Lease, checkpoint: Checkpoint) -> bool:
        """Whether it is stored, durable as every other. If not, the store's thread has to, and knows what is wrong."""
        began = self._clock.now()
        if began < self._resting_until:
            return False
        try:
            if not self._write(lease, checkpoint):
                return False
            self._check_files(began)
        except (OSError, EsmError):
            return False
        ended = self._clock.now()
        if ended - began >= SLOW_MS:
            self._resting_until = ended + REST_MS
        return True

    def _check_files(self, now: Millis) -> None:
        """Again and again, not each time: who takes a file away takes all with it that it ever held."""
        if now >= self._check_at:
            self._database.check_files()
            self._check_at = now + CHECK_MS
