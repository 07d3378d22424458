"""Positions in a SQLite file: the default, for one machine. Processes that share the file fence each other.

All SQL runs in one thread of the store's own, which holds the only connection. What is asked for while a transaction
runs is done together in the next one, so ten lanes that checkpoint at once share a commit.

Durability: write-ahead log with `synchronous=NORMAL`. What was answered survives the death of the process, `kill -9`
included, because it is in the operating system's hands. A power cut may cost the last commits (the log is synced when
it is moved into the file, not at every commit), never the file: positions are older then, and records come again.
https://www.sqlite.org/pragma.html#pragma_synchronous
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeAlias, cast

from esm.clock import Millis
from esm.errors import StoreError
from esm.leasing.fencing import advanced, released, renewed, taken
from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint
from esm.stores.mounts import network_file_system
from esm.stores.rows import Row, checkpoint_columns, lease_of, row_of

__all__ = ["SCHEMA_VERSION", "SqliteStore"]

SCHEMA_VERSION = 1

_SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS esm_schema (version INTEGER NOT NULL);
INSERT INTO esm_schema SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM esm_schema);
CREATE TABLE IF NOT EXISTS esm_lease (
    mapping TEXT NOT NULL, stream TEXT NOT NULL, shard_id TEXT NOT NULL, parents TEXT NOT NULL,
    owner TEXT, epoch INTEGER NOT NULL, beat INTEGER NOT NULL,
    checkpoint TEXT NOT NULL, settled TEXT NOT NULL, ended INTEGER NOT NULL,
    PRIMARY KEY (mapping, stream, shard_id)
);
COMMIT;
"""
_LOAD = """
SELECT mapping, stream, shard_id, parents, owner, epoch, beat, checkpoint, settled, ended
FROM esm_lease WHERE mapping = ?
"""
_ALL, _, _ = _LOAD.partition("WHERE")
_READ = f"{_LOAD} AND stream = ? AND shard_id = ?"
_CREATE = """
INSERT OR IGNORE INTO esm_lease
(mapping, stream, shard_id, parents, owner, epoch, beat, checkpoint, settled, ended)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_HOLD = """
UPDATE esm_lease SET owner = ?, epoch = ?, beat = ? WHERE mapping = ? AND stream = ? AND shard_id = ?
"""
_REMOVE = """
DELETE FROM esm_lease WHERE mapping = ? AND stream = ? AND shard_id = ? AND epoch = ? AND ended
"""
# One statement says all of `advanced`: the row is of this owner and epoch, and what is stored is not ahead.
_ADVANCE = """
UPDATE esm_lease SET checkpoint = ?1, settled = ?2, ended = ?3
WHERE mapping = ?4 AND stream = ?5 AND shard_id = ?6 AND owner IS ?7 AND epoch = ?8
AND (length(settled), settled) <= (length(?2), ?2) AND ended <= ?3
"""

_Work: TypeAlias = Callable[..., Any]
_Job: TypeAlias = "tuple[asyncio.Future[Any], _Work, tuple[Any, ...]]"
_Answer: TypeAlias = "tuple[asyncio.Future[Any], Any]"
_Stop: TypeAlias = "asyncio.Future[None]"  # the thread ends, then answers it


class SqliteStore:
    """A `LeaseStore` in the file at `path`, made if it is not there (its folder must be).

    `force`: use a file on a network file system all the same; SQLite's locks may not hold there. `busy_timeout`: how
    long a call waits for another process that is writing, before it raises `StoreError`. Usable from the event loop
    that it was opened in.
    """

    def __init__(self, path: str | os.PathLike[str], *, force: bool = False, busy_timeout: Millis = 30_000) -> None:
        self._database = _Database(Path(path).resolve(), force=force, busy_timeout=busy_timeout)
        self._asked: list[_Job] = []
        self._jobs: SimpleQueue[list[_Job] | _Stop] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> Lease:
        """`lease` with this checkpoint, durable. Raises `LeaseLostError`; `StoreError` when it goes back."""
        await self._do(_advance, lease, checkpoint, checkpoint_columns(checkpoint))
        return Lease(lease.key, checkpoint, lease.parents, lease.owner, lease.epoch, lease.beat)

    async def open(self) -> None:
        """Opens or makes the file, checks it, and starts the thread.

        Raises `StoreError` for a file that is no database or damaged, another program's, of a newer version, read-only,
        on a network file system, or locked for longer than `busy_timeout`.
        """
        if self._thread is not None:
            raise StoreError(f"{self._database.path}: is open already")
        self._loop = asyncio.get_running_loop()
        self._jobs = SimpleQueue()
        opened = self._loop.create_future()
        # A daemon: a program that forgets to close the store still ends, and loses nothing that was answered.
        thread = threading.Thread(target=self._serve, args=(self._jobs, opened), name="esm-sqlite", daemon=True)
        self._thread = thread
        thread.start()
        try:
            await opened
        except StoreError:
            self._thread = None
            thread.join()
            raise
        except asyncio.CancelledError:
            self._thread = None
            self._jobs.put(self._loop.create_future())
            raise

    def stored(self) -> list[Lease]:
        """Every lease in the file, read without changing or making it, open or not. Raises `StoreError`."""
        return self._database.stored()

    async def close(self) -> None:
        """Finishes what was asked for, closes the file, ends the thread. Closing twice is fine."""
        thread, self._thread = self._thread, None
        if thread is not None:
            closed = asyncio.get_running_loop().create_future()
            self._hand_over()
            self._jobs.put(closed)
            await closed
            thread.join()

    async def load(self, mapping: str) -> list[Lease]:
        """All leases of a mapping. Raises `StoreError` naming a row that is damaged."""
        leases: list[Lease] = await self._do(_load, mapping)
        return leases

    async def create(self, leases: Sequence[Lease]) -> None:
        """Adds those that are not there yet, in one transaction."""
        await self._do(_write_all, _CREATE, [row_of(lease) for lease in leases])

    async def take(self, lease: Lease, owner: str) -> Lease:
        """The row, now `owner`'s. Raises `LeaseLostError`."""
        return cast("Lease", await self._do(_change, lease.key, lambda row: taken(row, lease, owner)))

    async def renew(self, lease: Lease) -> Lease:
        """The row with its beat one higher. Raises `LeaseLostError`."""
        row: Lease = await self._do(_change, lease.key, lambda row: renewed(row, lease))
        return row

    async def release(self, lease: Lease) -> None:
        """Leaves the row without an owner. Raises `LeaseLostError`."""
        await self._do(_change, lease.key, lambda row: released(row, lease))

    async def remove(self, leases: Sequence[Lease]) -> None:
        """Removes those that are ended and of the epoch they were read with, in one transaction."""
        await self._do(_write_all, _REMOVE, [(*_key(lease.key), lease.epoch) for lease in leases])

    async def _do(self, work: _Work, *args: Any) -> Any:
        """What `work(connection, *args)` gives, in the store's thread and committed."""
        loop = asyncio.get_running_loop()
        if self._thread is None:
            raise StoreError(f"{self._database.path}: is not open")
        if loop is not self._loop:
            raise StoreError(f"{self._database.path}: was opened in another event loop")
        answer = loop.create_future()
        if not self._asked:
            loop.call_soon(self._hand_over)
        self._asked.append((answer, work, args))
        return await answer

    def _hand_over(self) -> None:
        """To the thread, all that was asked for in one turn of the loop: one waking, one transaction."""
        if self._asked:
            self._jobs.put(self._asked)
            self._asked = []

    def _serve(self, jobs: SimpleQueue[list[_Job] | _Stop], opened: asyncio.Future[None]) -> None:
        """The thread: opens the file, commits what comes in, closes the file."""
        try:
            connection = self._database.open()
        except StoreError as error:
            _answer(opened.get_loop(), [(opened, error)])
            return
        with closing(connection):
            _answer(opened.get_loop(), [(opened, None)])
            stop = self._work(connection, jobs, opened.get_loop())
        _answer(stop.get_loop(), [(stop, None)])

    def _work(
        self, connection: sqlite3.Connection, jobs: SimpleQueue[list[_Job] | _Stop], loop: asyncio.AbstractEventLoop
    ) -> _Stop:
        """Commits all that has come in since the last commit, again and again, until it meets a `_Stop`."""
        while True:
            group: list[_Job] = []
            asked = jobs.get()
            while not isinstance(asked, asyncio.Future):
                group += asked
                if jobs.empty():
                    break
                asked = jobs.get_nowait()
            if group:
                _answer(loop, self._database.commit(connection, group))
            if isinstance(asked, asyncio.Future):
                return asked


class _Database:
    """The file. All but `__init__` runs in the store's thread."""

    def __init__(self, path: Path, *, force: bool, busy_timeout: Millis) -> None:
        self.path = path
        self._log = Path(f"{path}-wal")
        self._force = force
        self._busy_timeout = busy_timeout
        self._files: tuple[tuple[int, int], ...] = ()

    def commit(self, connection: sqlite3.Connection, jobs: list[_Job]) -> list[_Answer]:
        """Does the jobs in one transaction. A job that is refused has written nothing; a fault undoes them all."""
        try:
            connection.rollback()  # nothing may join a transaction that could not be undone
            answers = _alone(connection, jobs) if len(jobs) == 1 else _together(connection, jobs)
            self._check_files()
        except Exception as error:  # noqa: BLE001 -- whatever it is, those who wait must be told
            with suppress(sqlite3.Error):
                connection.rollback()
            return [(answer, self._fault(error)) for answer, _, _ in jobs]
        return answers

    def open(self) -> sqlite3.Connection:
        """A connection to the file, checked and ready. Raises `StoreError`."""
        try:
            self._check_place()
            connection = sqlite3.connect(self.path, isolation_level=None)
        except Exception as error:
            raise self._fault(error) from error
        try:
            self._prepare(connection)
        except Exception as error:
            connection.close()
            raise self._fault(error) from error
        return connection

    def stored(self) -> list[Lease]:
        if not self.path.is_file():
            raise StoreError(f"{self.path}: there is no such file")
        try:
            with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True)) as connection:
                self._check_schema(connection)
                return [lease_of(row) for row in connection.execute(_ALL).fetchall()]
        except sqlite3.Error as error:
            raise self._fault(error) from error

    def _prepare(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA busy_timeout = {self._busy_timeout}")
        if (damage := _one(connection, "PRAGMA quick_check(1)")) != "ok":
            raise StoreError(f"{self.path}: is damaged ({damage})")
        self._check_schema(connection)
        if _one(connection, "PRAGMA journal_mode") != "wal":
            self._make_wal(connection)
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(_SCHEMA)
        self._files = self._identity()

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
        if not self._force and (kind := network_file_system(self.path)):
            raise StoreError(
                f"{self.path}: is on a network file system ({kind}), where SQLite's locks may not hold;"
                " use a local disk, or ?force=1",
            )

    def _check_schema(self, connection: sqlite3.Connection) -> None:
        """A file of ours, or an empty one. Nothing is written before this is known."""
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return
        if not {"esm_schema", "esm_lease"} <= tables:
            raise StoreError(f"{self.path}: is another program's database; give the store a file of its own")
        version = _one(connection, "SELECT max(version) FROM esm_schema")
        if version != SCHEMA_VERSION:  # there is no older one to migrate yet
            raise StoreError(f"{self.path}: has schema version {version}; this release knows {SCHEMA_VERSION}")

    def _check_files(self) -> None:
        """The path still leads to the files that are written to; otherwise the write went to one without a name."""
        if self._identity() != self._files:
            raise StoreError(f"{self.path}: the file was replaced or removed while in use")

    def _identity(self) -> tuple[tuple[int, int], ...]:
        found = (self.path.stat(), self._log.stat())
        return tuple((stat.st_dev, stat.st_ino) for stat in found)

    def _fault(self, error: Exception) -> StoreError:
        """A new `StoreError` for each of those who are told."""
        if isinstance(error, StoreError):
            return StoreError(str(error))
        if isinstance(error, FileNotFoundError):
            return StoreError(f"{self.path}: the file was replaced or removed while in use")
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        return StoreError(f"{self.path}: {name}: {error}")


def _alone(connection: sqlite3.Connection, jobs: list[_Job]) -> list[_Answer]:
    """One checkpoint is one statement, and needs no BEGIN and COMMIT around it."""
    if jobs[0][1] is _advance:
        return [_done(connection, jobs[0])]
    return _together(connection, jobs)


def _together(connection: sqlite3.Connection, jobs: list[_Job]) -> list[_Answer]:
    connection.execute("BEGIN IMMEDIATE")
    answers = [_done(connection, job) for job in jobs]
    connection.execute("COMMIT")
    return answers


def _done(connection: sqlite3.Connection, job: _Job) -> _Answer:
    answer, work, args = job
    try:
        return answer, work(connection, *args)
    except StoreError as refused:
        return answer, refused


def _answer(loop: asyncio.AbstractEventLoop, answers: list[_Answer]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(_tell, answers)


def _tell(answers: list[_Answer]) -> None:
    for future, answer in answers:
        if future.done():  # the caller was cancelled: whether it was written, it learns from the row
            continue
        if isinstance(answer, StoreError):
            future.set_exception(answer)
        else:
            future.set_result(answer)


def _advance(connection: sqlite3.Connection, lease: Lease, checkpoint: Checkpoint, columns: tuple[Any, ...]) -> None:
    key = lease.key
    values = (*columns, key.mapping, key.stream, key.shard_id, lease.owner, lease.epoch)
    if connection.execute(_ADVANCE, values).rowcount == 0:
        advanced(_read(connection, key), lease, checkpoint)  # says why
        raise StoreError(f"lease {key.mapping}/{key.shard_id}: its row is damaged (columns differ from its checkpoint)")


def _change(connection: sqlite3.Connection, key: LeaseKey, rule: Callable[[Lease | None], Lease]) -> Lease:
    row = rule(_read(connection, key))
    connection.execute(_HOLD, (row.owner, row.epoch, row.beat, *_key(key)))
    return row


def _load(connection: sqlite3.Connection, mapping: str) -> list[Lease]:
    # To the end first: a damaged row would leave the statement open, and its snapshot in the way of later writes.
    return [lease_of(row) for row in connection.execute(_LOAD, (mapping,)).fetchall()]


def _read(connection: sqlite3.Connection, key: LeaseKey) -> Lease | None:
    rows: list[Row] = connection.execute(_READ, _key(key)).fetchall()
    return lease_of(rows[0]) if rows else None


def _write_all(connection: sqlite3.Connection, sql: str, rows: list[Row]) -> None:
    connection.executemany(sql, rows)


def _key(key: LeaseKey) -> tuple[str, str, str]:
    return key.mapping, key.stream, key.shard_id


def _wal_or_why_not(connection: sqlite3.Connection) -> str:
    """The journal mode that was given, or the name of the error."""
    try:
        return str(_one(connection, "PRAGMA journal_mode = WAL"))
    except sqlite3.OperationalError as error:
        return error.sqlite_errorname


def _one(connection: sqlite3.Connection, sql: str) -> Any:
    return connection.execute(sql).fetchone()[0]
