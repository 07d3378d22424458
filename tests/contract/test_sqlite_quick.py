"""Checkpoints written where they are asked for, and what is left to the store's thread."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from esm.clock import Millis
from esm.errors import LeaseLostError, StoreError
from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position
from esm.stores.sqlite import SqliteStore
from esm.stores.sqlite_quick import CHECK_MS, REST_MS, SLOW_MS, WRITES_IN_A_ROW, QuickCheckpoints

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
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
async def store(tmp_path: Path, watch: Watch) -> AsyncIterator[SqliteStore]:
    """Its clock stands still, or a busy machine would make a write slow."""
    store = SqliteStore(tmp_path / "esm.db", busy_timeout=10_000)
    await store.open()
    assert store._quick is not None
    store._quick = QuickCheckpoints(store._database, store._quick._connection, watch)
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


async def test_a_checkpoint_is_stored_at_once_and_others_see_it(store: SqliteStore, tmp_path: Path) -> None:
    mine = await held(store)
    assert await at_once(store, mine, 7)
    with closing(sqlite3.connect(tmp_path / "esm.db")) as other:
        assert other.execute("SELECT settled FROM esm_lease").fetchall() == [("7",)]
    assert await stored(store) == "7"


async def test_every_so_many_the_thread_writes_and_empties_the_log(store: SqliteStore, tmp_path: Path) -> None:
    mine = await held(store)
    quick = [await at_once(store, mine, number + 1) for number in range(6 * WRITES_IN_A_ROW)]
    assert quick.count(False) == 5
    assert (tmp_path / "esm.db-wal").stat().st_size < 3 * 1000 * 4096


async def test_what_another_process_holds_up_is_waited_for_in_the_thread(store: SqliteStore, tmp_path: Path) -> None:
    mine = await held(store)
    with closing(sqlite3.connect(tmp_path / "esm.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        storing = asyncio.create_task(store.checkpoint(mine, settled(3)))
        for _ in range(5):
            await asyncio.sleep(0.01)  # the loop turns meanwhile
        assert not storing.done()
        other.execute("COMMIT")
        await storing
    assert await stored(store) == "3"
    assert await at_once(store, mine, 4)


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


async def test_nothing_goes_into_a_full_log_before_the_thread_has_emptied_it(store: SqliteStore) -> None:
    mine = await held(store)
    other = Lease(LeaseKey("m", "s", "shardId-1"), LEASE.checkpoint)
    await store.create([other])
    other = await store.take(other, "a")
    for number in range(WRITES_IN_A_ROW):
        assert await at_once(store, mine, number + 1)
    emptying = asyncio.create_task(store.checkpoint(mine, settled(10**6)))
    await asyncio.sleep(0)
    assert not emptying.done()
    assert not await at_once(store, other, 1)
    await emptying
    assert await at_once(store, other, 2)


async def test_the_log_stays_small_however_many_write(store: SqliteStore, tmp_path: Path) -> None:
    leases = [Lease(LeaseKey("m", "s", f"shardId-{number}"), LEASE.checkpoint) for number in range(100)]
    await store.create(leases)
    mine = [await store.take(lease, "a") for lease in leases]

    async def write(lease: Lease) -> None:
        for number in range(150):
            await store.checkpoint(lease, settled(number + 1))
            await asyncio.sleep(0)

    await asyncio.gather(*map(write, mine))
    assert (tmp_path / "esm.db-wal").stat().st_size < 3 * 1000 * 4096


async def test_what_its_caller_gave_up_does_not_overwrite_what_came_later(store: SqliteStore, tmp_path: Path) -> None:
    """Two lanes, of which the first is blocked: by the lowest alone, neither checkpoint would be behind the other."""
    mine = await held(store)
    with closing(sqlite3.connect(tmp_path / "esm.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        given_up = asyncio.create_task(store.checkpoint(mine, lanes("5", "7")))
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


async def test_opening_that_was_given_up_leaves_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, made = SqliteStore(tmp_path / "esm.db"), list[sqlite3.Connection]()
    make = store._database.quick_connection

    def noted() -> sqlite3.Connection | None:
        connection = make()
        assert connection is not None
        made.append(connection)
        return connection

    monkeypatch.setattr(store._database, "quick_connection", noted)
    opening = asyncio.create_task(store.open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    for thread in threading.enumerate():
        if thread.name == "esm-sqlite":
            await asyncio.to_thread(thread.join, 10)
    await asyncio.sleep(0)
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        made[0].execute("SELECT 1")


def lanes(*numbers: str) -> Checkpoint:
    return Checkpoint(Position.trim_horizon(), (LanePositions(numbers),))
