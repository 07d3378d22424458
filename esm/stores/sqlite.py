"""Positions in a SQLite file: the default, for one machine. Processes that share the file fence each other.

All SQL runs in one thread of the store's own; what is asked for while a transaction runs is done together in the next
one. A checkpoint of a lease that is held is written where it is asked for, into a slot beside the database
(`sqlite_quick`, `newest`); its row has it seconds later.

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
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeAlias

from esm.clock import Millis
from esm.errors import StoreError
from esm.leasing.lease import Lease
from esm.leasing.moves import Move, Moved, log_entry
from esm.records.position import Checkpoint
from esm.stores import sqlite_statements as statements
from esm.stores.sqlite_file import SCHEMA_VERSION, Access, Answer, Job, SqliteFile, Work
from esm.stores.sqlite_quick import QuickCheckpoints

__all__ = ["COPY_MS", "SCHEMA_VERSION", "SqliteStore"]

COPY_MS: Millis = 5_000
"""How much later than a checkpoint its row has it, at most (chosen: a row costs three times as much as its slot)."""

_Stop: TypeAlias = "asyncio.Future[None]"  # the thread ends, then answers it
_Jobs: TypeAlias = "SimpleQueue[list[Job] | _Stop]"


class SqliteStore:
    """An `OperatedStore` in the file at `path`, made if it is not there (its folder must be).

    `force`: use a file on a network file system all the same; SQLite's locks may not hold there. `busy_timeout`: how
    long a call waits for another process that is writing, before it raises `StoreError`. `access`: `write` makes no
    file, `read` changes nothing in it either. Usable from the event loop that it was opened in.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        force: bool = False,
        busy_timeout: Millis = 30_000,
        access: Access = "create",
    ) -> None:
        path = Path(path).resolve()
        self._new_file = partial(SqliteFile, path, access=access, force=force, busy_timeout=busy_timeout)
        self._database = self._new_file()
        self._asked: list[Job] = []
        self._jobs: _Jobs = SimpleQueue()
        self._quick: QuickCheckpoints | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._copying: asyncio.TimerHandle | None = None

    async def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> Lease:
        """`lease` with this checkpoint, durable. Raises `LeaseLostError`; `StoreError` when it goes back."""
        self._check_usable()
        stored = self.checkpoint_at_once(lease, checkpoint)
        if stored is not None:
            return stored
        await self._do(statements.advance, self._database.newest, lease, checkpoint)
        return _advanced(lease, checkpoint)

    def checkpoint_at_once(self, lease: Lease, checkpoint: Checkpoint) -> Lease | None:
        """As `checkpoint`; `None`: it is the thread's to write it, or to say what is wrong."""
        # It may go past what waits for the thread: the slot says whether it may be written, and what its caller gave up
        # meanwhile is not written any more.
        quick = self._quick
        if quick is None or asyncio.get_running_loop() is not self._loop:
            return None
        if not quick.write(lease, checkpoint):
            return None
        if self._copying is None:
            self._copy_later()
        return _advanced(lease, checkpoint)

    async def open(self) -> None:
        """Opens or makes the file, checks it, and starts the thread.

        Raises `StoreError` for a file that is no database or damaged, another program's, of a newer version, read-only,
        on a network file system, or locked for longer than `busy_timeout`.
        """
        if self._thread is not None:
            raise StoreError(f"{self._database.path}: is open already")
        self._loop = asyncio.get_running_loop()
        self._database = self._new_file()  # one that was given up while it was opened may still be in use
        self._jobs = SimpleQueue()
        opened: asyncio.Future[None] = self._loop.create_future()
        # A daemon: a program that forgets to close the store still ends, and loses nothing that was answered.
        thread = threading.Thread(
            target=_serve, args=(self._database, self._jobs, opened), name="esm-sqlite", daemon=True
        )
        self._thread = thread
        thread.start()
        try:
            await asyncio.shield(opened)  # whoever gives up waiting does not take away what is to be closed
        except StoreError:
            self._thread = None
            thread.join()
            raise
        except asyncio.CancelledError:
            self._thread = None
            self._jobs.put(self._loop.create_future())
            opened.add_done_callback(_hear)
            raise
        if self._database.newest.arms:
            self._quick = QuickCheckpoints(self._database)

    async def close(self) -> None:
        """Finishes what was asked for, closes the file, ends the thread. Closing twice is fine."""
        thread, self._thread = self._thread, None
        self._quick = None
        if self._copying is not None:
            self._copying.cancel()
            self._copying = None
        if thread is not None:
            closed = asyncio.get_running_loop().create_future()
            self._hand_over()
            self._jobs.put(closed)
            await closed
            thread.join()

    async def load(self, mapping: str) -> list[Lease]:
        """All leases of a mapping. Raises `StoreError` naming a row that is damaged."""
        leases: list[Lease] = await self._do(statements.load, self._database.newest, mapping)
        return leases

    async def load_all(self) -> list[Lease]:
        """The leases of all mappings. Raises `StoreError` naming a row that is damaged."""
        leases: list[Lease] = await self._do(statements.load_all, self._database.newest)
        return leases

    async def create(self, leases: Sequence[Lease]) -> None:
        """Adds those that are not there yet, in one transaction."""
        await self._do(statements.create, leases)

    async def take(self, lease: Lease, owner: str) -> Lease:
        """The row, now `owner`'s, who lives from here on until `close`. Raises `LeaseLostError`."""
        row: Lease = await self._do(self._take, lease, owner)
        return row

    async def renew(self, lease: Lease) -> Lease:
        """The row with its beat one higher. Raises `LeaseLostError`."""
        row: Lease = await self._do(statements.renew, self._database.newest, lease)
        return row

    async def release(self, lease: Lease) -> None:
        """Leaves the row without an owner. Raises `LeaseLostError`."""
        await self._do(statements.release, self._database.newest, lease)

    async def remove(self, leases: Sequence[Lease]) -> None:
        """Removes those that are ended and of the epoch they were read with, in one transaction."""
        await self._do(statements.remove, leases)

    async def forget(self, mapping: str) -> None:
        """Removes all leases of a mapping, in one transaction."""
        await self._do(statements.forget, self._database.newest, mapping)

    async def living(self, owners: Iterable[str]) -> frozenset[str]:
        """Those of the owners whose process has a store open on this file, as the system's locks tell."""
        alive: frozenset[str] = await self._do(self._living, frozenset(owners))
        return alive

    async def move(self, moves: Sequence[Move], *, at: Millis, who: str, command: str) -> list[Lease]:
        """The leases, moved and written down in one transaction. Raises `LeaseLostError`."""
        entry = partial(log_entry, at=at, who=who, command=command)
        leases: list[Lease] = await self._do(statements.move, self._database.newest, moves, entry)
        return leases

    async def moves(self) -> list[Moved]:
        """All moves, the oldest first."""
        moves: list[Moved] = await self._do(statements.load_moves)
        return moves

    def _copy_later(self) -> None:
        if self._copying is None and self._loop is not None and self._thread is not None:
            self._copying = self._loop.call_later(COPY_MS / 1000, self._copy)

    def _copy(self) -> None:
        """Lets rows have what slots have."""
        self._copying = None
        self._ask(statements.copy, self._database.newest).add_done_callback(self._copied)

    def _copied(self, answer: asyncio.Future[Any]) -> None:
        if not answer.cancelled() and answer.exception() is not None:
            self._copy_later()

    def _take(self, connection: sqlite3.Connection, lease: Lease, owner: str) -> Lease:
        self._database.presence.declare(owner)
        return statements.take(connection, self._database.newest, lease, owner)

    def _living(self, _connection: sqlite3.Connection, owners: frozenset[str]) -> frozenset[str]:
        return frozenset(filter(self._database.presence.lives, owners))

    async def _do(self, work: Work, *args: Any) -> Any:
        """What `work(connection, *args)` gives, in the store's thread and committed."""
        self._check_usable()
        return await self._ask(work, *args)

    def _ask(self, work: Work, *args: Any) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        answer = loop.create_future()
        if not self._asked:
            loop.call_soon(self._hand_over)
        self._asked.append((answer, work, args))
        return answer

    def _check_usable(self) -> None:
        if self._thread is None:
            raise StoreError(f"{self._database.path}: is not open")
        if asyncio.get_running_loop() is not self._loop:
            raise StoreError(f"{self._database.path}: was opened in another event loop")

    def _hand_over(self) -> None:
        """To the thread, all that was asked for in one turn of the loop: one waking, one transaction."""
        if self._asked:
            self._jobs.put(self._asked)
            self._asked = []


def _serve(database: SqliteFile, jobs: _Jobs, opened: asyncio.Future[None]) -> None:
    """The thread: opens the file, commits what comes in, closes the file."""
    loop = opened.get_loop()
    try:
        connection = database.open()
    except StoreError as error:
        _answer(loop, [(opened, error)])
        return
    with closing(connection), closing(database.presence):
        _answer(loop, [(opened, None)])
        stop = _work(database, connection, jobs, loop)
        database.finish(connection)
    _answer(stop.get_loop(), [(stop, None)])


def _work(database: SqliteFile, connection: sqlite3.Connection, jobs: _Jobs, loop: asyncio.AbstractEventLoop) -> _Stop:
    """Commits all that has come in since the last commit, again and again, until it meets a `_Stop`."""
    while True:
        group: list[Job] = []
        asked = jobs.get()
        while not isinstance(asked, asyncio.Future):
            group += asked
            if jobs.empty():
                break
            asked = jobs.get_nowait()
        if group:
            _answer(loop, database.commit(connection, group))
        if isinstance(asked, asyncio.Future):
            return asked


def _advanced(lease: Lease, checkpoint: Checkpoint) -> Lease:
    return Lease(lease.key, checkpoint, lease.parents, lease.owner, lease.epoch, lease.beat)


def _hear(opened: asyncio.Future[None]) -> None:
    """Or a fault that nobody waits for any more would be told of as never heard."""
    if not opened.cancelled():
        opened.exception()


def _answer(loop: asyncio.AbstractEventLoop, answers: list[Answer]) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(_tell, answers)


def _tell(answers: list[Answer]) -> None:
    for future, answer in answers:
        if future.done():  # the caller was cancelled: whether it was written, it learns from the row
            continue
        if isinstance(answer, StoreError):
            future.set_exception(answer)
        else:
            future.set_result(answer)
