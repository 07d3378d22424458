"""The SQL of the SQLite store: its tables, and what each call of the store does in a transaction.

Each function is given the connection first, runs in the store's thread, and is committed with others. One that raises
`StoreError` has written nothing of its own. `newest`: the slots beside the rows, which say more than the rows do.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from msgspec.structs import replace

from esm.errors import StoreError
from esm.leasing.fencing import advanced, released, renewed, taken
from esm.leasing.lease import Lease, LeaseKey
from esm.leasing.moves import Move, Moved, moved
from esm.records.position import Checkpoint
from esm.stores.newest import Newest, Place, Stored
from esm.stores.rows import checkpoint_columns, lease_of, move_row_of, moved_of, row_of

__all__ = [
    "AS_UPGRADED",
    "SCHEMA",
    "UPGRADE",
    "advance",
    "copy",
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
INSERT INTO esm_schema SELECT 2 WHERE NOT EXISTS (SELECT 1 FROM esm_schema);
CREATE TABLE IF NOT EXISTS esm_lease (
    mapping TEXT NOT NULL, stream TEXT NOT NULL, shard_id TEXT NOT NULL, parents TEXT NOT NULL,
    owner TEXT, epoch INTEGER NOT NULL, beat INTEGER NOT NULL,
    checkpoint TEXT NOT NULL, settled TEXT NOT NULL, ended INTEGER NOT NULL, newest TEXT,
    PRIMARY KEY (mapping, stream, shard_id)
);
CREATE TABLE IF NOT EXISTS esm_move (
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, command TEXT NOT NULL,
    mapping TEXT NOT NULL, stream TEXT NOT NULL, shard_id TEXT NOT NULL,
    epoch INTEGER NOT NULL, owner TEXT, before TEXT, after TEXT NOT NULL
);
COMMIT;
"""
UPGRADE = ("ALTER TABLE esm_lease ADD COLUMN newest TEXT", "UPDATE esm_schema SET version = 2")
"""From version 1, in which all checkpoints stood in the rows."""

AS_UPGRADED = "CREATE TEMP VIEW esm_lease AS SELECT *, NULL AS newest FROM main.esm_lease"
"""The same for who may not change it."""

_LOAD = """
SELECT mapping, stream, shard_id, parents, owner, epoch, beat, checkpoint, settled, ended, newest
FROM esm_lease WHERE mapping = ?
"""
_ALL, _, _ = _LOAD.partition("WHERE")
_LOOKS = 100  # (chosen) each is at what has another place since the one before: hardly anything changes so often
_READ = f"{_LOAD} AND stream = ? AND shard_id = ?"
_PLACES = "SELECT mapping, stream, shard_id, newest FROM esm_lease WHERE mapping = ? AND newest IS NOT NULL"
_CREATE = """
INSERT OR IGNORE INTO esm_lease
(mapping, stream, shard_id, parents, owner, epoch, beat, checkpoint, settled, ended)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_HOLD = """
UPDATE esm_lease SET owner = ?, epoch = ?, beat = ?, checkpoint = ?, settled = ?, ended = ?
WHERE mapping = ? AND stream = ? AND shard_id = ?
"""
_POINT = "UPDATE esm_lease SET newest = ? WHERE mapping = ? AND stream = ? AND shard_id = ?"
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
    stored = _read(connection, newest, key)
    row = None if stored is None else stored.lease
    if stored is not None and (stored.lease.owner, stored.lease.epoch) == (lease.owner, lease.epoch):
        row = _recalled(newest, stored)
    after = advanced(row, lease, checkpoint)
    columns = checkpoint_columns(checkpoint)
    _, settled, ended = columns
    values = (*columns, *_key(key), lease.owner, lease.epoch, len(settled), settled, ended)
    if connection.execute(_ADVANCE, values).rowcount == 0:
        raise StoreError(f"{_name(key)}: its row is damaged (columns differ from its checkpoint)")
    _point(connection, after.key, newest.arm(after))


def take(connection: sqlite3.Connection, newest: Newest, lease: Lease, owner: str) -> Lease:
    """The row, now `owner`'s. Raises `LeaseLostError`."""
    if newest.gathers:
        _gather(connection, newest)
    stored = _read(connection, newest, lease.key)
    after = _hand_on(connection, newest, stored, taken(stored and stored.lease, lease, owner))
    _point(connection, after.key, newest.arm(after))
    return after


def release(connection: sqlite3.Connection, newest: Newest, lease: Lease) -> None:
    """Leaves the row without an owner. Raises `LeaseLostError`."""
    stored = _read(connection, newest, lease.key)
    after = _hand_on(connection, newest, stored, released(stored and stored.lease, lease))
    newest.let_go(after.key)
    _point(connection, after.key, None)


def renew(connection: sqlite3.Connection, newest: Newest, lease: Lease) -> Lease:
    """The row with its beat one higher. Raises `LeaseLostError`."""
    stored = _read(connection, newest, lease.key)
    after = renewed(None if stored is None else _seen(newest, stored), lease)
    _hold(connection, after)
    return after


def copy(connection: sqlite3.Connection, newest: Newest) -> None:
    """Writes what this process's slots have and their rows have not into the rows, but for damaged ones."""
    for key in newest.changed():
        with suppress(StoreError):  # told of to whom it concerns
            stored = _read(connection, newest, key)
            version = newest.version(key)
            if stored is not None and version is not None:
                _hold(connection, _seen(newest, stored))
                newest.copied(key, version)


def empty(connection: sqlite3.Connection, newest: Newest) -> bool:
    """Writes what this process's slots have into the rows, and lets nothing go into the slots any more.

    Whether that is all of it: damaged rows still lack what slots have.
    """
    all_of_it = True
    for key in newest.held():
        try:
            stored = _read(connection, newest, key)
            if stored is not None and newest.version(key) is not None:
                _settle(connection, newest, stored)
        except StoreError:
            all_of_it = False
    return all_of_it


def _hand_on(connection: sqlite3.Connection, newest: Newest, stored: Stored | None, after: Lease) -> Lease:
    """`after` with the newest checkpoint of the row that it follows, which has it from now on."""
    if stored is not None:
        after = replace(after, checkpoint=_recalled(newest, stored).checkpoint)
    _hold(connection, after)
    return after


def _gather(connection: sqlite3.Connection, newest: Newest) -> None:
    """Writes what processes that are gone have left in their slots into the rows."""
    files = newest.left_behind()
    for row in connection.execute(f"{_ALL} WHERE newest IS NOT NULL").fetchall() if files else ():
        try:
            stored = _stored(row)
            if stored.place is not None and stored.place.file in files:
                _settle(connection, newest, stored)
        except StoreError:  # told of to whom it concerns
            newest.spare(str(row[-1]))


def _settle(connection: sqlite3.Connection, newest: Newest, stored: Stored) -> None:
    """The row has its newest checkpoint, and names no slot."""
    _hold(connection, _recalled(newest, stored))
    _point(connection, stored.lease.key, None)


def load(connection: sqlite3.Connection, newest: Newest, mapping: str) -> list[Lease]:
    """The leases of a mapping."""
    return _all(connection, newest, _LOAD, mapping)


def load_all(connection: sqlite3.Connection, newest: Newest) -> list[Lease]:
    """The leases of all mappings."""
    return _all(connection, newest, _ALL)


def _all(connection: sqlite3.Connection, newest: Newest, sql: str, *values: str) -> list[Lease]:
    """Who only reads keeps nobody from changing a row, and its slot may be another lease's then: he looks once more."""
    seen: dict[str, tuple[str | None, Lease]] = {}
    for _ in range(_LOOKS):
        # To the end first: a damaged row would leave the statement open, and its snapshot in the way of later writes.
        rows = connection.execute(sql, values).fetchall()
        before, seen = seen, {}
        for row in rows:
            name, place = repr(row[:3]), row[-1]
            same = before.get(name)
            seen[name] = same if same and same[0] == place else (place, _seen(newest, _stored(row)))
        if newest.writes or all(look[0] is None or look is before.get(name) for name, look in seen.items()):
            break
        connection.execute("COMMIT")
        connection.execute("BEGIN")
    return [lease for _, lease in seen.values()]


def create(connection: sqlite3.Connection, leases: Sequence[Lease]) -> None:
    """Adds those that are not there."""
    connection.executemany(_CREATE, [row_of(lease) for lease in leases])


def remove(connection: sqlite3.Connection, leases: Sequence[Lease]) -> None:
    """Removes those that are ended and of the epoch they were read with."""
    connection.executemany(_REMOVE, [(*_key(lease.key), lease.epoch) for lease in leases])


def forget(connection: sqlite3.Connection, newest: Newest, mapping: str) -> None:
    """Removes every row of a mapping."""
    for key_and_place in connection.execute(_PLACES, (mapping,)).fetchall():
        *key, place = key_and_place
        with suppress(ValueError, TypeError):  # a damaged row can be removed as any other
            newest.recall(Place.of(place))
        newest.notice(LeaseKey(*key), None)
    connection.execute("DELETE FROM esm_lease WHERE mapping = ?", (mapping,))


def move(
    connection: sqlite3.Connection, newest: Newest, moves: Sequence[Move], entry: Callable[[Move, Lease], Moved]
) -> list[Lease]:
    """Makes all the moves and writes down what `entry` says of each.

    Raises `LeaseLostError` before anything is written.
    """
    rows = [_read(connection, newest, each.key) for each in moves]
    leases = [
        moved(None if row is None else _recalled(newest, row), each) for row, each in zip(rows, moves, strict=True)
    ]
    connection.executemany(_MOVE, [row_of(lease) for lease in leases])  # whose checkpoints are in the rows
    for lease in leases:
        newest.let_go(lease.key)
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


def _read(connection: sqlite3.Connection, newest: Newest, key: LeaseKey) -> Stored | None:
    rows = connection.execute(_READ, _key(key)).fetchall()
    stored = _stored(rows[0]) if rows else None
    newest.notice(key, None if stored is None else stored.place)
    return stored


def _stored(row: tuple[Any, ...]) -> Stored:
    """Raises `StoreError` naming the lease."""
    *columns, place = row
    lease = lease_of(tuple(columns))
    try:
        return Stored(lease, None if place is None else Place.of(place))
    except (ValueError, TypeError) as error:
        raise StoreError(f"{_name(lease.key)}: its row is damaged (newest: {error})") from error


def _seen(newest: Newest, stored: Stored) -> Lease:
    return _whole(newest.seen, stored)


def _recalled(newest: Newest, stored: Stored) -> Lease:
    return _whole(newest.recalled, stored)


def _whole(look: Callable[[Stored], Lease], stored: Stored) -> Lease:
    """Raises `StoreError` naming the lease."""
    try:
        return look(stored)
    except (ValueError, TypeError) as error:
        name = _name(stored.lease.key)
        raise StoreError(f"{name}: its newest checkpoint is damaged ({type(error).__name__})") from error


def _hold(connection: sqlite3.Connection, lease: Lease) -> None:
    columns = checkpoint_columns(lease.checkpoint)
    connection.execute(_HOLD, (lease.owner, lease.epoch, lease.beat, *columns, *_key(lease.key)))


def _point(connection: sqlite3.Connection, key: LeaseKey, place: Place | None) -> None:
    """The row says where its newest checkpoint stands; `None`: in the row."""
    connection.execute(_POINT, (None if place is None else place.text(), *_key(key)))


def _key(key: LeaseKey) -> tuple[str, str, str]:
    return key.mapping, key.stream, key.shard_id


def _name(key: LeaseKey) -> str:
    return f"lease {key.mapping}/{key.shard_id}"
