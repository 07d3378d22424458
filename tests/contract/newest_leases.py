"""Leases whose newest checkpoints stand beside their rows: what the tests of that share."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from msgspec.structs import replace

from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position
from esm.stores.sqlite import SqliteStore

__all__ = ["START", "at_once", "held", "lease", "newest_files", "opened", "rows", "seen", "settled"]

START = Checkpoint(Position.trim_horizon())


async def opened(file: Path) -> SqliteStore:
    store = SqliteStore(file, busy_timeout=200)
    await store.open()
    return store


def lease(shard: str = "1") -> Lease:
    return Lease(LeaseKey("m", "s", shard), START)


def settled(number: int) -> Checkpoint:
    return replace(START, lanes=(LanePositions((str(number),)),))


async def held(store: SqliteStore, shard: str = "1", owner: str = "a") -> Lease:
    await store.create([lease(shard)])
    return await store.take(lease(shard), owner)


def at_once(store: SqliteStore, mine: Lease, number: int) -> Lease:
    stored = store.checkpoint_at_once(mine, settled(number))
    assert stored is not None
    return stored


async def seen(store: SqliteStore) -> list[str | None]:
    return [row.checkpoint.settled for row in await store.load("m")]


def rows(file: Path) -> list[tuple[str]]:
    """What the rows alone say."""
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT settled FROM esm_lease").fetchall()


def newest_files(file: Path) -> list[Path]:
    return list(file.parent.glob("esm.db-newest-*"))
