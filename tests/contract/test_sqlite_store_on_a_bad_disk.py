"""A disk that fails while a transaction is under way, and fails again when it is undone."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from esm.errors import StoreError
from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position
from esm.stores.sqlite import SqliteStore

LEASE = Lease(LeaseKey("m", "s", "shardId-0"), Checkpoint(Position.trim_horizon()))
SETTLED = Checkpoint(Position.trim_horizon(), (LanePositions(("1",)),))


class Connection(sqlite3.Connection):
    """Neither commits nor rolls back while `bad`."""

    bad = False

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if type(self).bad and sql == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *args)

    def rollback(self) -> None:
        if type(self).bad and self.in_transaction:
            raise sqlite3.OperationalError("disk I/O error")
        super().rollback()


@pytest.fixture(autouse=True)
def _bad_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    connect = sqlite3.connect
    monkeypatch.setattr(Connection, "bad", False)
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **named: connect(*args, factory=Connection, **named))


def test_what_cannot_be_undone_is_an_error_and_nothing_joins_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "esm.db"

    async def main() -> None:
        store = SqliteStore(file)
        await store.open()
        await store.create([LEASE])
        held = await store.take(LEASE, "a")
        monkeypatch.setattr(Connection, "bad", True)
        with pytest.raises(StoreError, match="disk I/O error"):
            await store.release(held)
        with pytest.raises(StoreError, match="disk I/O error"):
            await store.checkpoint(held, SETTLED)
        monkeypatch.setattr(Connection, "bad", False)
        await store.checkpoint(held, SETTLED)
        await store.close()
        reading = SqliteStore(file, access="read")
        await reading.open()
        (row,) = await reading.load_all()
        await reading.close()
        assert (row.owner, row.checkpoint) == ("a", SETTLED)

    asyncio.run(main())
