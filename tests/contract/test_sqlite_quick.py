"""Checkpoints written where they are asked for, and what is left to the store's thread."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from esm.clock import Millis
from esm.errors import LeaseLostError, StoreError
from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position
from esm.stores.sqlite import SqliteStore
from esm.stores.sqlite_quick import CHECK_MS, REST_MS, SLOW_MS, QuickCheckpoints

pytestmark = pytest.mark.anyio

LEASE = Lease(LeaseKey("m", "s", "shardId-0"), Checkpoint(Position.trim_horizon()))


class Watch:
    """A clock that is moved by hand, and by `step` at each look."""

    def __init__(self) -> None:
        self.at: Millis = 1_000
        self.step: Millis = 0

    def now(self) -> Millis:
        self.at += self.step
        return self.at


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
async def store(file: Path, watch: Watch) -> AsyncIterator[SqliteStore]:
    """Its clock stands still, or a busy machine would make a write slow."""
    store = SqliteStore(file, busy_timeout=10_000)
    await store.open()
    store._quick = QuickCheckpoints(store._database, watch)
    yield store
    await store.close()


async def held(store: SqliteStore) -> Lease:
    await store.create([LEASE])
    return await store.take(LEASE, "a")


def settled(number: int) -> Checkpoint:
    return Checkpoint(Position.trim_horizon(), (LanePositions((str(number),)),))


async def stored(store: SqliteStore) -> str | None:
    (row,) = await store.load("m")
    return row.checkpoint.settled


async def at_once(store: SqliteStore, lease: Lease, number: int) -> bool:
    """Whether a checkpoint is through without the loop's turning."""
    task = asyncio.create_task(store.checkpoint(lease, settled(number)))
    await asyncio.sleep(0)
    done = task.done()
    assert (await task).checkpoint == settled(number)
    return done


async def test_a_checkpoint_is_stored_at_once_and_others_see_it(store: SqliteStore, file: Path) -> None:
    mine = await held(store)
    assert await at_once(store, mine, 7)
    other = SqliteStore(file, access="read")
    await other.open()
    assert await stored(other) == await stored(store) == "7"
    await other.close()


async def test_the_row_has_it_from_the_next_renewal_on(store: SqliteStore, file: Path) -> None:
    mine = await held(store)
    assert await at_once(store, mine, 7)
    assert row_of(file) == [("", 0)]
    assert (await store.renew(mine)).checkpoint == settled(7)
    assert row_of(file) == [("7", 1)]
    assert await at_once(store, mine, 8)
    assert await stored(store) == "8"


async def test_another_process_with_a_transaction_holds_it_up_in_nothing(store: SqliteStore, file: Path) -> None:
    mine = await held(store)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await at_once(store, mine, 3)
        other.execute("COMMIT")
    assert await stored(store) == "3"


async def test_what_is_too_long_for_a_slot_is_stored_in_the_thread(store: SqliteStore, file: Path) -> None:
    mine = await held(store)
    assert await at_once(store, mine, 3)
    wide = lanes(*["4" * 56] * 40)
    assert store.checkpoint_at_once(mine, wide) is None
    await store.checkpoint(mine, wide)
    assert row_of(file) == [("4" * 56, 0)]
    (row,) = await store.load("m")
    assert row.checkpoint == wide
    with pytest.raises(StoreError, match="never goes back"):
        await store.checkpoint(mine, settled(5))
    assert not await at_once(store, mine, int("5" * 56))  # a transaction has looked at it since
    assert await at_once(store, mine, int("6" * 56))


async def test_an_end_is_stored_in_the_row_and_nothing_comes_after_it(store: SqliteStore, file: Path) -> None:
    mine = await held(store)
    assert await at_once(store, mine, 3)
    end = replace(settled(4), ended=True)
    assert store.checkpoint_at_once(mine, end) is None
    await store.checkpoint(mine, end)
    assert row_of(file) == [("4", 0)]
    assert store.checkpoint_at_once(mine, settled(5)) is None
    with pytest.raises(StoreError, match="never goes back"):
        await store.checkpoint(mine, settled(5))
    await store.remove([replace(mine, checkpoint=end)])
    assert await store.load("m") == []


async def test_a_slow_disk_is_the_threads_for_a_while(store: SqliteStore, watch: Watch) -> None:
    mine = await held(store)
    watch.step = SLOW_MS
    assert await at_once(store, mine, 1)
    watch.step = 0
    assert not await at_once(store, mine, 2)
    watch.at += REST_MS - 1
    assert not await at_once(store, mine, 3)
    watch.at += 1
    assert await at_once(store, mine, 4)


async def test_what_goes_past_a_release_is_stored_and_nothing_after_it_is(store: SqliteStore) -> None:
    mine = await held(store)
    releasing = asyncio.create_task(store.release(mine))
    await asyncio.sleep(0)
    await store.checkpoint(mine, settled(5))
    await releasing
    with pytest.raises(LeaseLostError):
        await store.checkpoint(mine, settled(6))
    (row,) = await store.load("m")
    assert (row.checkpoint, row.owner) == (settled(5), None)


async def test_one_that_waits_for_the_thread_holds_up_no_other(store: SqliteStore) -> None:
    mine = await held(store)
    other = Lease(LeaseKey("m", "s", "shardId-1"), LEASE.checkpoint)
    await store.create([other])
    renewing = asyncio.create_task(store.renew(await store.take(other, "a")))
    assert await at_once(store, mine, 5)
    await renewing


async def test_a_refusal_is_told_as_ever(store: SqliteStore, tmp_path: Path, watch: Watch) -> None:
    mine = await held(store)
    await store.checkpoint(mine, settled(9))
    with pytest.raises(StoreError, match="shardId-0"):
        await store.checkpoint(mine, settled(8))
    with pytest.raises(LeaseLostError):
        await store.checkpoint(Lease(mine.key, mine.checkpoint, mine.parents, "b", mine.epoch), settled(10))
    (tmp_path / "esm.db").rename(tmp_path / "old.db")
    watch.at += CHECK_MS
    with pytest.raises(StoreError, match="replaced or removed"):
        await store.checkpoint(mine, settled(10))


async def test_an_open_store_is_used_in_its_own_loop_only(store: SqliteStore) -> None:
    mine = await held(store)
    with pytest.raises(StoreError, match="another event loop"):
        await asyncio.to_thread(lambda: asyncio.run(store.checkpoint(mine, settled(1))))


async def test_what_its_caller_gave_up_does_not_overwrite_what_came_later(store: SqliteStore, tmp_path: Path) -> None:
    """Two lanes, of which the first is blocked: by the lowest alone, neither checkpoint would be behind the other."""
    mine = await held(store)
    with closing(sqlite3.connect(tmp_path / "esm.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        given_up = asyncio.create_task(store.checkpoint(mine, lanes("5", *["7" * 56] * 40)))
        for _ in range(5):
            await asyncio.sleep(0.01)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        other.execute("COMMIT")
    later = lanes("5", "40")
    assert (await store.checkpoint(mine, later)).checkpoint == later
    await store.renew(mine)  # the thread has done all that was asked of it
    (row,) = await store.load("m")
    assert row.checkpoint == later


def row_of(file: Path) -> list[tuple[str, int]]:
    """`settled` and `beat` of the row alone."""
    with closing(sqlite3.connect(file)) as connection:
        return connection.execute("SELECT settled, beat FROM esm_lease").fetchall()


def lanes(*numbers: str) -> Checkpoint:
    return Checkpoint(Position.trim_horizon(), (LanePositions(numbers),))
