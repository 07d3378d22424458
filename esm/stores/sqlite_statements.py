"""The SQL of the SQLite store: its tables, and what each call of the store does in a transaction.

Each function is given the connection first, runs in the store's thread, and is committed with others. One that raises
`StoreError` has written nothing. `newest`: the slots beside the rows, which say more than the rows do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from esm.errors import StoreError
from esm.leasing.fencing import advanced, released, renewed, taken
from esm.leasing.lease import Lease, LeaseKey
from esm.leasing.moves import Move, Moved, moved
from esm.records.position import Checkpoint
from esm.stores.newest import Contents, Newest
from esm.stores.rows import Row, checkpoint_columns, checkpoint_of, lease_of, move_row_of, moved_of, row_of
from esm.stores.slots import digest, owner_digest

__all__ = [
    "SCHEMA",
    "advance",
    "create",
    "empty",
    "forget",
    "load",
    "load_all",
    "load_moves",
    "move",
    "one",
    "release",
    "remove",
    "renew",
    "take",
]

SCHEMA = """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS esm_schema (version INTEGER NOT NULL);
INSERT INTO esm_schema SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM esm_schema);
CREATE TABLE IF NOT EXISTS esm_lease (
    mapping TEXT NOT NULL, stream TEXT NOT NULL, shard_id TEXT NOT NULL, parents TEXT NOT NULL,
    owner TEXT, epoch INTEGER NOT NULL, beat INTEGER NOT NULL,
    checkpoint TEXT NOT NULL, settled TEXT NOT NULL, ended INTEGER NOT NULL,
    PRIMARY KEY (mapping, stream, shard_id)
);
CREATE TABLE IF NOT EXISTS esm_move (
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, command TEXT NOT NULL,
    mapping TEXT NOT NULL, stream TEXT NOT NULL, shard_id TEXT NOT NULL,
    epoch INTEGER NOT NULL, owner TEXT, before TEXT, after TEXT NOT NULL
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
UPDATE esm_lease SET owner = ?, epoch = ?, beat = ?, checkpoint = ?, settled = ?, ended = ?
WHERE mapping = ? AND stream = ? AND shard_id = ?
"""
_SETTLE = """
UPDATE esm_lease SET checkpoint = ?, settled = ?, ended = ? WHERE mapping = ? AND stream = ? AND shard_id = ?
"""
_REMOVE = """
DELETE FROM esm_lease WHERE mapping = ? AND stream = ? AND shard_id = ? AND epoch = ? AND ended
"""
# One statement says all of `advanced`: the row is of this owner and epoch, and what is stored is not ahead. What it
# needs twice is given twice: Python 3.12.0 to 3.12.3 warn of ?1 and its like each time.
_ADVANCE = """
UPDATE esm_lease SET checkpoint = ?, settled = ?, ended = ?
WHERE mapping = ? AND stream = ? AND shard_id = ? AND owner IS ? AND epoch = ?
AND (length(settled), settled) <= (?, ?) AND ended <= ?
"""
_MOVE = """
INSERT OR REPLACE INTO esm_lease
(mapping, stream, shard_id, parents, owner, epoch, beat, checkpoint, settled, ended)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_LOG = """
INSERT INTO esm_move (at, who, command, mapping, stream, shard_id, epoch, owner, before, after)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_MOVES = """
SELECT at, who, command, mapping, stream, shard_id, epoch, owner, before, after FROM esm_move ORDER BY number
"""


def advance(connection: sqlite3.Connection, newest: Newest, lease: Lease, checkpoint: Checkpoint) -> None:
    """Stores a checkpoint under the lease's owner and epoch. Raises `LeaseLostError`, `StoreError`."""
    key = lease.key
    row = _read(connection, key)
    if row is not None and (row.owner, row.epoch) == (lease.owner, lease.epoch):
        row = newest.recalled(row)
    after = advanced(row, lease, checkpoint)
    columns = checkpoint_columns(checkpoint)
    _, settled, ended = columns
    values = (*columns, *_key(key), lease.owner, lease.epoch, len(settled), settled, ended)
    if connection.execute(_ADVANCE, values).rowcount == 0:
        raise StoreError(f"lease {key.mapping}/{key.shard_id}: its row is damaged (columns differ from its checkpoint)")
    newest.supersede(key)
    newest.arm(after)


def take(connection: sqlite3.Connection, newest: Newest, lease: Lease, owner: str) -> Lease:
    """The row, now `owner`'s. Raises `LeaseLostError`."""
    if not newest.is_used:
        _gather(connection, newest)
    row = _read(connection, lease.key)
    after = _hand_on(connection, newest, row, taken(row, lease, owner))
    newest.arm(after)
    return after


def release(connection: sqlite3.Connection, newest: Newest, lease: Lease) -> None:
    """Leaves the row without an owner. Raises `LeaseLostError`."""
    row = _read(connection, lease.key)
    _hand_on(connection, newest, row, released(row, lease))


def renew(connection: sqlite3.Connection, newest: Newest, lease: Lease) -> Lease:
    """The row with its beat one higher. Raises `LeaseLostError`."""
    row = _read(connection, lease.key)
    after = renewed(None if row is None else newest.seen(row), lease)
    _hold(connection, after)
    return after


def empty(connection: sqlite3.Connection, newest: Newest) -> None:
    """Writes what this process's slots have into the rows."""
    for key in newest.held():
        row = _read(connection, key)
        if row is not None and newest.may_have(row):
            _hold(connection, newest.recalled(row))


def _hand_on(connection: sqlite3.Connection, newest: Newest, row: Lease | None, after: Lease) -> Lease:
    """`after` with the newest checkpoint of the row that it follows, which has it from now on."""
    if row is not None:
        after = replace(after, checkpoint=newest.recalled(row).checkpoint)
        newest.supersede(row.key)
    _hold(connection, after)
    return after


def _gather(connection: sqlite3.Connection, newest: Newest) -> None:
    """Writes what processes that are gone have left in their slots into the rows."""
    left = newest.abandoned()
    for row in connection.execute(_ALL).fetchall() if left else ():
        mapping, stream, shard_id, _, owner, epoch, *_ = row
        text = left.get((digest(LeaseKey(mapping, stream, shard_id)), owner_digest(owner or ""), epoch))
        if text is not None:
            connection.execute(_SETTLE, (*checkpoint_columns(checkpoint_of(text)), mapping, stream, shard_id))


def load(connection: sqlite3.Connection, newest: Newest, mapping: str) -> list[Lease]:
    """The leases of a mapping."""
    contents = newest.contents()
    # To the end first: a damaged row would leave the statement open, and its snapshot in the way of later writes.
    return [_with(contents, lease_of(row)) for row in connection.execute(_LOAD, (mapping,)).fetchall()]


def load_all(connection: sqlite3.Connection, newest: Newest) -> list[Lease]:
    """The leases of all mappings."""
    contents = newest.contents()
    return [_with(contents, lease_of(row)) for row in connection.execute(_ALL).fetchall()]


def create(connection: sqlite3.Connection, newest: Newest, leases: Sequence[Lease]) -> None:
    """Adds those that are not there."""
    newest.void([lease.key for lease in leases if connection.execute(_CREATE, row_of(lease)).rowcount])


def remove(connection: sqlite3.Connection, newest: Newest, leases: Sequence[Lease]) -> None:
    """Removes those that are ended and of the epoch they were read with."""
    newest.refuse(lease.key for lease in leases)
    connection.executemany(_REMOVE, [(*_key(lease.key), lease.epoch) for lease in leases])


def forget(connection: sqlite3.Connection, newest: Newest, mapping: str) -> None:
    """Removes every row of a mapping."""
    newest.refuse(LeaseKey(*row[:3]) for row in connection.execute(_LOAD, (mapping,)).fetchall())
    connection.execute("DELETE FROM esm_lease WHERE mapping = ?", (mapping,))


def move(
    connection: sqlite3.Connection, newest: Newest, moves: Sequence[Move], entry: Callable[[Move, Lease], Moved]
) -> list[Lease]:
    """Makes all the moves and writes down what `entry` says of each.

    Raises `LeaseLostError` before anything is written.
    """
    rows = [_read(connection, each.key) for each in moves]
    leases = [moved(None if row is None else newest.recalled(row), each) for row, each in zip(rows, moves, strict=True)]
    newest.void(lease.key for lease, row in zip(leases, rows, strict=True) if row is None)
    connection.executemany(_MOVE, [row_of(lease) for lease in leases])
    entries = [entry(each, lease) for each, lease in zip(moves, leases, strict=True)]
    connection.executemany(_LOG, [move_row_of(entry) for entry in entries])
    return leases


def load_moves(connection: sqlite3.Connection) -> list[Moved]:
    """All moves, the oldest first; none where a file has never been opened by a release that knows of them."""
    if not one(connection, "SELECT count(*) FROM sqlite_master WHERE name = 'esm_move'"):
        return []
    return [moved_of(row) for row in connection.execute(_MOVES).fetchall()]


def one(connection: sqlite3.Connection, sql: str) -> Any:
    """The first column of the first row."""
    return connection.execute(sql).fetchone()[0]


def _read(connection: sqlite3.Connection, key: LeaseKey) -> Lease | None:
    rows: list[Row] = connection.execute(_READ, _key(key)).fetchall()
    return lease_of(rows[0]) if rows else None


def _hold(connection: sqlite3.Connection, lease: Lease) -> None:
    columns = checkpoint_columns(lease.checkpoint)
    connection.execute(_HOLD, (lease.owner, lease.epoch, lease.beat, *columns, *_key(lease.key)))


def _with(contents: Contents, lease: Lease) -> Lease:
    """The row with its newest checkpoint."""
    if not contents or lease.owner is None:
        return lease
    text = contents.get((digest(lease.key), owner_digest(lease.owner), lease.epoch))
    return lease if text is None else replace(lease, checkpoint=checkpoint_of(text))


def _key(key: LeaseKey) -> tuple[str, str, str]:
    return key.mapping, key.stream, key.shard_id
