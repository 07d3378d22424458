"""The SQL of the SQLite store: its tables, and what each call of the store does in a transaction.

Each function is given the connection first, runs in the store's thread, and is committed with others. One that raises
`StoreError` has written nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from esm.clock import Millis
from esm.errors import StoreError
from esm.leasing.fencing import advanced
from esm.leasing.lease import Lease, LeaseKey
from esm.leasing.moves import Move, Moved, log_entry, moved
from esm.records.position import Checkpoint
from esm.stores.rows import Row, lease_of, move_row_of, moved_of, row_of

__all__ = ["SCHEMA", "advance", "change", "create", "forget", "load", "load_all", "load_moves", "move", "one", "remove"]

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
UPDATE esm_lease SET owner = ?, epoch = ?, beat = ? WHERE mapping = ? AND stream = ? AND shard_id = ?
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


def advance(connection: sqlite3.Connection, lease: Lease, checkpoint: Checkpoint, columns: tuple[Any, ...]) -> None:
    """Stores a checkpoint under the lease's owner and epoch. Raises `LeaseLostError`, `StoreError`."""
    key = lease.key
    _, settled, ended = columns
    row = (key.mapping, key.stream, key.shard_id, lease.owner, lease.epoch)
    values = (*columns, *row, len(settled), settled, ended)
    if connection.execute(_ADVANCE, values).rowcount == 0:
        advanced(_read(connection, key), lease, checkpoint)  # says why
        raise StoreError(f"lease {key.mapping}/{key.shard_id}: its row is damaged (columns differ from its checkpoint)")


def change(connection: sqlite3.Connection, key: LeaseKey, rule: Callable[[Lease | None], Lease]) -> Lease:
    """Gives the row the owner, epoch and beat that `rule` makes of it; raises what `rule` raises."""
    row = rule(_read(connection, key))
    connection.execute(_HOLD, (row.owner, row.epoch, row.beat, *_key(key)))
    return row


def load(connection: sqlite3.Connection, mapping: str) -> list[Lease]:
    """The leases of a mapping."""
    # To the end first: a damaged row would leave the statement open, and its snapshot in the way of later writes.
    return [lease_of(row) for row in connection.execute(_LOAD, (mapping,)).fetchall()]


def load_all(connection: sqlite3.Connection) -> list[Lease]:
    """The leases of all mappings."""
    return [lease_of(row) for row in connection.execute(_ALL).fetchall()]


def create(connection: sqlite3.Connection, leases: Sequence[Lease]) -> None:
    """Adds those that are not there."""
    connection.executemany(_CREATE, [row_of(lease) for lease in leases])


def remove(connection: sqlite3.Connection, leases: Sequence[Lease]) -> None:
    """Removes those that are ended and of the epoch they were read with."""
    connection.executemany(_REMOVE, [(*_key(lease.key), lease.epoch) for lease in leases])


def forget(connection: sqlite3.Connection, mapping: str) -> None:
    """Removes every row of a mapping."""
    connection.execute("DELETE FROM esm_lease WHERE mapping = ?", (mapping,))


def move(connection: sqlite3.Connection, moves: Sequence[Move], at: Millis, who: str, command: str) -> list[Lease]:
    """Makes all the moves and writes them down. Raises `LeaseLostError` before anything is written."""
    leases = [moved(_read(connection, each.key), each) for each in moves]
    connection.executemany(_MOVE, [row_of(lease) for lease in leases])
    entries = [
        log_entry(each, lease, at=at, who=who, command=command) for each, lease in zip(moves, leases, strict=True)
    ]
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


def _key(key: LeaseKey) -> tuple[str, str, str]:
    return key.mapping, key.stream, key.shard_id
