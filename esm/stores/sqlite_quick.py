"""Checkpoints written in the event loop's own thread, where that takes microseconds.

Handing a write over to a thread and its answer back costs three times the write itself (measured). It is no more than
a copy into the system's memory: with a write-ahead log and `synchronous=NORMAL` nothing waits for the disk. What does
wait is left to the store's thread: a lock that somebody else holds, the log when it is moved into the file, and every
write for a while when one was slow all the same.

    at hand --a write took `SLOW_MS`--> resting --`REST_MS` later--> at hand

https://www.sqlite.org/wal.html
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from esm.clock import Clock, Millis, SystemClock
from esm.errors import EsmError
from esm.leasing.lease import Lease
from esm.records.position import Checkpoint
from esm.stores import sqlite_statements as statements
from esm.stores.sqlite_file import SqliteFile

__all__ = ["CHECK_MS", "REST_MS", "SLOW_MS", "WRITES_IN_A_ROW", "QuickCheckpoints"]

SLOW_MS: Millis = 25
"""A write that held the event loop up for so long was one too many (chosen: more than a busy machine does to it)."""

REST_MS: Millis = 1_000
"""How long the store's thread writes after that (chosen)."""

CHECK_MS: Millis = 100
"""How often it is seen whether the file is still there (chosen)."""

WRITES_IN_A_ROW = 500
"""As many go into the log; the next is the thread's, which moves a log of 1,000 pages into the file while nobody else
writes. https://www.sqlite.org/pragma.html#pragma_wal_autocheckpoint"""


class QuickCheckpoints:
    """Writes checkpoints through a connection of the event loop's own, which waits for nobody.

    `connection`: to `database`, used by nobody else; `clock` tells how long a write took.
    """

    def __init__(self, database: SqliteFile, connection: sqlite3.Connection, clock: Clock | None = None) -> None:
        self._database, self._connection = database, connection
        self._clock = clock or SystemClock()
        self._resting_until: Millis = 0
        self._check_at: Millis = 0
        self._left = WRITES_IN_A_ROW

    def write(self, lease: Lease, checkpoint: Checkpoint, columns: tuple[Any, ...]) -> bool:
        """Whether it is stored, durable as every other. If not, the store's thread has to, and knows what is wrong."""
        began = self._clock.now()
        if began < self._resting_until or self._left == 0:
            return False
        self._left -= 1
        try:
            statements.advance(self._connection, lease, checkpoint, columns)
            self._check_files(began)
        except (sqlite3.Error, OSError, EsmError):
            return False
        ended = self._clock.now()
        if ended - began >= SLOW_MS:
            self._resting_until = ended + REST_MS
        return True

    @contextmanager
    def turn_of_the_thread(self) -> Iterator[None]:
        """While the thread writes what was refused. If the log was full, nothing else goes into it until that is done.

        Otherwise the thread would never have moved all of it into the file, and the log would grow for ever.
        """
        full = self._left == 0
        try:
            yield
        finally:
            if full:
                self._left = WRITES_IN_A_ROW

    def _check_files(self, now: Millis) -> None:
        """Again and again, not each time: who takes the file away takes all with it that it ever held."""
        if now >= self._check_at:
            self._database.check_files()
            self._check_at = now + CHECK_MS

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()
