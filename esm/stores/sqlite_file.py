"""The file behind the SQLite store: opened with care, checked to be ours, and written in one transaction for all.

All but making a `SqliteFile` runs in the store's thread.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, TypeAlias

from esm.clock import Millis
from esm.errors import StoreError
from esm.stores.mounts import network_file_system
from esm.stores.newest import Newest
from esm.stores.presence import Presence
from esm.stores.sqlite_statements import AS_UPGRADED, SCHEMA, UPGRADE, advance, empty, one

__all__ = ["SCHEMA_VERSION", "Access", "Answer", "Job", "SqliteFile", "Work"]

SCHEMA_VERSION = 2

Access = Literal["create", "write", "read", "preview"]
"""`create`: the file is made if it is not there. `write`: it must be there. `read`: it must be there, and nothing in it
is changed. `preview`: the same, but a file that is not there is an empty store.
"""

_MODES: dict[Access, str] = {"create": "rwc", "write": "rw", "read": "ro", "preview": "ro"}

_VERSION = "SELECT max(version) FROM esm_schema"

Work: TypeAlias = Callable[..., Any]
Job: TypeAlias = "tuple[asyncio.Future[Any], Work, tuple[Any, ...]]"
Answer: TypeAlias = "tuple[asyncio.Future[Any], Any]"


class SqliteFile:
    """One file, as one store opens it."""

    def __init__(self, path: Path, *, access: Access, force: bool, busy_timeout: Millis) -> None:
        self.path = path
        self.presence = Presence(path)
        self._name, self._log = str(path), f"{path}-wal"
        self._access: Access = access
        self._writes = access in ("create", "write")
        self.newest = Newest(path, writes=self._writes)
        self._force = force
        self._busy_timeout = busy_timeout
        self._files = (0, 0, 0, 0)

    def commit(self, connection: sqlite3.Connection, jobs: list[Job]) -> list[Answer]:
        """Does the jobs in one transaction. A job that is refused has written nothing; a fault undoes them all."""
        try:
            connection.rollback()  # nothing may join a transaction that could not be undone
            answers = self._together(connection, jobs)
            self.newest.committed()
            self.check_files()
        except Exception as error:  # noqa: BLE001 -- whatever it is, those who wait must be told
            with suppress(sqlite3.Error):
                connection.rollback()
            self.newest.undone()
            return [(answer, self._fault(error)) for answer, _, _ in jobs]
        return answers

    def open(self) -> sqlite3.Connection:
        """A connection to the file, checked and ready. Raises `StoreError`."""
        try:
            self._check_place()
            connection = self._connect()
        except Exception as error:
            raise self._fault(error) from error
        try:
            self._prepare(connection)
        except Exception as error:
            connection.close()
            raise self._fault(error) from error
        return connection

    def finish(self, connection: sqlite3.Connection) -> None:
        """Writes what stands beside the rows into them. Where that cannot be done, the next process does it."""
        if not self.newest.is_used:
            return
        emptied = False
        try:
            connection.rollback()
            connection.execute("BEGIN IMMEDIATE")
            all_of_it = empty(connection, self.newest)
            connection.execute("COMMIT")
            self.newest.committed()
            self.check_files()
            emptied = all_of_it
        except Exception:  # noqa: BLE001 -- whatever it is, those who wait for the end must be told of it
            self.newest.undone()
        with suppress(OSError):
            self.newest.close(emptied=emptied)

    def check_files(self) -> None:
        """The path still leads to the files that are written to; otherwise the write went to one without a name.

        Raises `StoreError`, `OSError`.
        """
        if self._writes and not (self._identity() == self._files and self.newest.is_there()):
            raise StoreError(f"{self.path}: the file was replaced or removed while in use")

    def _together(self, connection: sqlite3.Connection, jobs: list[Job]) -> list[Answer]:
        connection.execute("BEGIN IMMEDIATE" if self._writes else "BEGIN")
        # Seen under the lock: a newer checkpoint may be written elsewhere as soon as nobody waits for this one.
        answers = [_done(connection, job) for job in jobs if not (job[1] is advance and job[0].cancelled())]
        connection.execute("COMMIT")
        return answers

    def _connect(self) -> sqlite3.Connection:
        if self._access == "preview" and not self.path.exists():
            connection = sqlite3.connect(":memory:", isolation_level=None)
            connection.executescript(SCHEMA)
            return connection
        uri = f"{self.path.as_uri()}?mode={_MODES[self._access]}"
        return sqlite3.connect(uri, uri=True, isolation_level=None)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA busy_timeout = {self._busy_timeout}")
        if (damage := one(connection, "PRAGMA quick_check(1)")) != "ok":
            raise StoreError(f"{self.path}: is damaged ({damage})")
        self._check_schema(connection)
        if not self._writes:
            return
        if one(connection, "PRAGMA journal_mode") != "wal":
            self._make_wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(SCHEMA)
        self._upgrade(connection)
        self._files = self._identity()
        self.newest.arms = network_file_system(self.path) is None  # else others need not see at once what is written

    def _make_wal(self, connection: sqlite3.Connection) -> None:
        """The change of mode does not always wait for others by itself, so it is tried as long as a wait may take."""
        pause, left = threading.Event(), self._busy_timeout
        connection.execute("PRAGMA busy_timeout = 0")
        while (mode := _wal_or_why_not(connection)).startswith("SQLITE_BUSY") and left > 0:
            pause.wait(0.02)
            left -= 20
        if mode != "wal":
            raise StoreError(f"{self.path}: cannot be given a write-ahead log ({mode})")
        connection.execute(f"PRAGMA busy_timeout = {self._busy_timeout}")

    def _check_place(self) -> None:
        if self.path.is_dir():
            raise StoreError(f"{self.path}: is a directory; the store is a file")
        if not self.path.parent.is_dir():
            raise StoreError(f"{self.path}: there is no directory {self.path.parent}")
        if self._access in ("write", "read") and not self.path.is_file():
            raise StoreError(f"{self.path}: there is no such file")
        if not self._force and (kind := network_file_system(self.path)):
            raise StoreError(
                f"{self.path}: is on a network file system ({kind}), where SQLite's locks may not hold;"
                " use a local disk, or ?force=1",
            )

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        """A file of ours, or an empty one. Nothing is written before this is known."""
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            if not self._writes:
                raise StoreError(f"{self.path}: is empty; no worker has used it yet")
            return
        if not {"esm_schema", "esm_lease"} <= tables:
            raise StoreError(f"{self.path}: is another program's database; give the store a file of its own")
        version = one(connection, _VERSION)
        if version not in (1, SCHEMA_VERSION):
            raise StoreError(f"{self.path}: has schema version {version}; this release knows {SCHEMA_VERSION}")
        if version == 1 and not self._writes:
            connection.execute(AS_UPGRADED)

    def _upgrade(self, connection: sqlite3.Connection) -> None:
        """From version 1, once, whoever is first."""
        connection.execute("BEGIN IMMEDIATE")
        if one(connection, _VERSION) != SCHEMA_VERSION:
            for statement in UPGRADE:
                connection.execute(statement)
        connection.execute("COMMIT")

    def _identity(self) -> tuple[int, int, int, int]:
        file, log = os.stat(self._name), os.stat(self._log)  # noqa: PTH116  # a `Path` costs as much again at each write
        return file.st_dev, file.st_ino, log.st_dev, log.st_ino

    def _fault(self, error: Exception) -> StoreError:
        """A new `StoreError` for each of those who are told."""
        if isinstance(error, StoreError):
            return StoreError(str(error))
        if isinstance(error, FileNotFoundError):
            return StoreError(f"{self.path}: the file was replaced or removed while in use")
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        return StoreError(f"{self.path}: {name}: {error}")


def _done(connection: sqlite3.Connection, job: Job) -> Answer:
    answer, work, args = job
    try:
        return answer, work(connection, *args)
    except StoreError as refused:
        return answer, refused


def _wal_or_why_not(connection: sqlite3.Connection) -> str:
    """The journal mode that was given, or the name of the error."""
    try:
        return str(one(connection, "PRAGMA journal_mode = WAL"))
    except sqlite3.OperationalError as error:
        return error.sqlite_errorname
