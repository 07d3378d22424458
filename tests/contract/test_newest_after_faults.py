"""What stands beside the rows, when a process is stopped or a transaction undone in the midst, and when files are not
what they were: nothing that was accepted is lost, and nothing that is void comes back.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from esm.errors import LeaseLostError, StoreError
from esm.leasing.lease import Lease
from esm.records.position import Checkpoint, LanePositions
from esm.stores import sqlite
from esm.stores.newest import Newest
from esm.stores.slots import SLOT, TOKEN
from esm.stores.sqlite import SqliteStore
from tests.contract.newest_leases import START, at_once, held, lease, newest_files, opened, rows, seen, settled

pytestmark = pytest.mark.anyio

END = replace(settled(12), ended=True)


async def undone(store: SqliteStore, *calls: Coroutine[Any, Any, object]) -> None:
    """These, in one transaction that fails at its end."""
    answers = await asyncio.gather(*calls, store._do(lambda _: 1 / 0), return_exceptions=True)
    assert {type(answer) for answer in answers} == {StoreError}


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def owner_of(file: Path) -> tuple[int, int]:
    return file.stat().st_uid, file.stat().st_gid


def elsewhere(call: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """As another process would, to its end, while this one stands still."""
    thread = threading.Thread(target=lambda: asyncio.run(call()))
    thread.start()
    thread.join()


async def test_who_is_stopped_just_after_a_commit_leaves_the_next_what_was_committed(
    store: SqliteStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, committed, taken = at_once(store, await held(store), 7), store._database.newest.committed, []

    async def take() -> None:
        other = await opened(file)
        (row,) = await other.load("m")
        taken.append(await other.take(row, "b"))
        await other.close()

    def stopped() -> None:
        elsewhere(take)
        committed()

    monkeypatch.setattr(store._database.newest, "committed", stopped)
    await store.checkpoint(mine, END)
    monkeypatch.undo()
    assert [(each.owner, each.checkpoint) for each in taken] == [("b", END)]


@pytest.mark.parametrize("newer", [settled(8), END])
async def test_a_transaction_that_is_undone_voids_nothing(
    store: SqliteStore, other: SqliteStore, newer: Checkpoint
) -> None:
    mine = at_once(store, await held(store), 7)
    await undone(store, store.checkpoint(mine, END))
    await undone(store, store.release(mine))
    await undone(other, other.forget("m"), other.create([lease()]))
    await undone(other, other.take(mine, "b"), other.take(mine, "c"))
    assert await seen(store) == await seen(other) == ["7"]
    mine = await store.checkpoint(mine, newer)
    assert (await other.take(mine, "b")).checkpoint == newer


async def test_a_lease_whose_taking_was_undone_is_written_by_who_took_it_then(
    store: SqliteStore, other: SqliteStore
) -> None:
    await store.create([lease()])
    await undone(store, store.take(lease(), "a"))
    mine = await other.take(lease(), "a")
    assert store.checkpoint_at_once(mine, settled(9)) is None
    at_once(other, mine, 7)
    assert await seen(store) == await seen(other) == ["7"]
    await undone(store, store.take(replace(mine, checkpoint=settled(7)), "b"))
    assert await seen(store) == await seen(other) == ["7"]


async def test_a_first_taking_that_was_undone_leaves_the_files_of_the_dead_to_the_next(
    file: Path, store: SqliteStore
) -> None:
    dead = file.with_name("esm.db-newest-0123456789abcdef")
    dead.write_bytes(bytes(SLOT))
    await store.create([lease()])
    await undone(store, store.take(lease(), "a"))
    assert dead.exists()
    await store.take(lease(), "a")
    assert not dead.exists()


async def test_all_of_it_in_one_transaction(store: SqliteStore, other: SqliteStore, file: Path) -> None:
    mine = await held(store)
    calls = (
        store.checkpoint(mine, END),
        store.forget("m"),
        store.create([lease()]),
        store.take(lease(), "a"),
        store.renew(mine),
        store.release(mine),
        store.take(replace(lease(), epoch=2, beat=1), "a"),
    )
    tasks = [asyncio.create_task(call) for call in calls]
    await asyncio.sleep(0)
    assert store.checkpoint_at_once(mine, settled(9)) is not None  # before any of them
    *_, again = await asyncio.gather(*tasks)
    assert isinstance(again, Lease)
    assert (again.epoch, again.checkpoint) == (3, START)
    at_once(store, again, 5)
    assert await seen(store) == await seen(other) == ["5"]
    assert newest_files(file)[0].stat().st_size <= 3 * SLOT


async def test_slots_are_given_back(store: SqliteStore, other: SqliteStore, file: Path) -> None:
    await held(store, "0")
    for number in range(1, 20):
        mine = at_once(store, await held(store, str(number)), 7)
        if number % 3 == 0:
            mine = await store.checkpoint(mine, END)
            await store.remove([mine])
        elif number % 3 == 1:
            await store.release(mine)
        else:
            lost = await other.take(mine, "b")
            await other.release(lost)
            (row,) = [each for each in await store.load("m") if each.key == lost.key]
            await store.release(await store.take(row, "a"))
    assert sorted(await seen(other), key=str) == ["7"] * 13 + [None]
    (path,) = (each for each in newest_files(file) if each.stat().st_size > SLOT)
    assert path.stat().st_size <= 3 * SLOT


async def test_a_slot_that_is_another_leases_now_says_nothing_of_the_first(
    store: SqliteStore, other: SqliteStore, file: Path
) -> None:
    one = at_once(store, await held(store, "1"), 7)
    reader = SqliteStore(file, access="read")
    await reader.open()
    await store.release(one)
    two = at_once(store, at_once(store, await held(store, "2"), 100), 101)
    for each in (store, other, reader):
        assert sorted(map(str, await seen(each))) == ["101", "7"]
    assert store.checkpoint_at_once(one, settled(8)) is None
    assert (await other.take(two, "b")).checkpoint == settled(101)
    await reader.close()


async def test_who_only_looks_sees_no_row_without_its_slot(
    store: SqliteStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between his looks at the row and at the slot the lease is released, and its slot another one's."""
    one = at_once(store, await held(store, "1"), 7)
    loop, look = asyncio.get_running_loop(), Newest.seen
    looked: list[Any] = []
    reader = SqliteStore(file, access="read")
    await reader.open()

    async def change() -> None:
        await store.release(one)
        at_once(store, at_once(store, await held(store, "2"), 100), 101)

    def later(newest: Newest, row: Any) -> Lease:
        if not newest.writes and not looked:
            looked.append(row)
            asyncio.run_coroutine_threadsafe(change(), loop).result(10)
        return look(newest, row)

    monkeypatch.setattr(Newest, "seen", later)
    assert sorted(str(row.checkpoint.settled) for row in await reader.load("m")) == ["101", "7"]
    assert len(looked) == 1
    await reader.close()


async def test_rows_have_it_some_time_later(
    store: SqliteStore, other: SqliteStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "COPY_MS", 0)
    mine, lost = at_once(store, await held(store), 7), at_once(store, await held(store, "2"), 7)
    await other.take(lost, "b")
    while (rows_now := sorted(rows(file))) != [("7",), ("7",)]:
        assert set(rows_now) <= {("",), ("7",)}
        await asyncio.sleep(0)
    mine = at_once(store, mine, 8)
    assert sorted(map(str, await seen(other))) == ["7", "8"]
    assert (await other.take(mine, "b")).checkpoint == settled(8)


async def test_one_that_is_damaged_keeps_no_other_from_its_row(
    store: SqliteStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "COPY_MS", 0)
    damaged, sound = await held(store, "1"), await held(store, "2")
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE esm_lease SET checkpoint = '{' WHERE shard_id = '1'")
    at_once(store, damaged, 6)
    at_once(store, sound, 7)
    while (rows_now := sorted(rows(file))) != [("",), ("7",)]:
        assert rows_now == [("",), ("",)]
        await asyncio.sleep(0)


async def test_a_row_that_cannot_be_written_now_is_written_after_the_next(
    store: SqliteStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "COPY_MS", 0)
    commit, failed = store._database._together, asyncio.Event()
    mine, loop = await held(store), asyncio.get_running_loop()

    def full(*_: object) -> None:
        loop.call_soon_threadsafe(failed.set)
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store._database, "_together", full)
    mine = at_once(store, mine, 7)
    await failed.wait()
    monkeypatch.setattr(store._database, "_together", commit)
    assert rows(file) == [("",)]
    at_once(store, mine, 8)
    while (rows_now := rows(file)) != [("8",)]:
        assert rows_now == [("",)]
        await asyncio.sleep(0)


async def test_what_a_power_cut_took_from_a_slot_its_row_still_has(store: SqliteStore, file: Path) -> None:
    mine = at_once(store, await held(store), 7)
    (path,) = newest_files(file)
    before = path.read_bytes()
    mine = await store.renew(at_once(store, mine, 8))
    path.write_bytes(before)
    assert await seen(store) == ["8"]


# Files that are not what they were


def put_back(file: Path) -> None:
    """A copy of the database alone, in its place."""
    copy = file.with_name("copy")
    with closing(sqlite3.connect(file)) as connection, closing(sqlite3.connect(copy)) as other:
        connection.backup(other)
    for end in ("-wal", "-shm"):
        file.with_name(f"{file.name}{end}").unlink()
    copy.replace(file)


async def test_a_copy_of_all_files_is_no_older_than_its_rows(store: SqliteStore, file: Path, tmp_path: Path) -> None:
    mine, to = at_once(store, await held(store), 7), tmp_path / "copy"
    to.mkdir()
    for path in newest_files(file):
        shutil.copy(path, to)
    await store.checkpoint(mine, END)
    with closing(sqlite3.connect(file)) as connection, closing(sqlite3.connect(to / "esm.db")) as copy:
        connection.backup(copy)
    restored = await opened(to / "esm.db")
    (row,) = await restored.load("m")
    assert row.checkpoint == END
    await held(restored, "2", "b")
    assert ("12",) in rows(to / "esm.db")
    await restored.close()


async def test_a_copy_of_what_stands_beside_the_rows_is_none(
    store: SqliteStore, other: SqliteStore, file: Path
) -> None:
    mine = at_once(store, await held(store), 7)
    (path,) = newest_files(file)
    shutil.copy(path, f"{path}.bak")
    shutil.copy(path, path.with_name("esm.db-newest-0123456789abcdef"))
    mine = await store.checkpoint(mine, END)
    assert await seen(other) == ["12"]
    assert (await other.take(mine, "b")).checkpoint == END


async def test_a_database_that_was_put_back_has_what_stands_beside_it(store: SqliteStore, file: Path) -> None:
    at_once(store, await held(store), 7)
    put_back(file)
    await store.close()
    following = await opened(file)
    assert await seen(following) == ["7"]
    await following.close()


async def test_a_file_that_was_emptied_is_as_if_nothing_had_been_written(store: SqliteStore, file: Path) -> None:
    mine = at_once(store, await held(store), 7)
    (path,) = newest_files(file)
    os.truncate(path, 0)
    assert await seen(store) == [None]
    with pytest.raises(LeaseLostError):
        await store.checkpoint(replace(mine, epoch=9), settled(8))
    mine = await store.checkpoint(mine, settled(8))
    at_once(store, mine, 9)
    os.truncate(path, 100)
    await store.close()
    assert rows(file) == [("8",)]


async def test_what_is_no_checkpoint_names_its_lease_and_is_no_others_trouble(store: SqliteStore, file: Path) -> None:
    mine, two = await held(store), at_once(store, await held(store, "2"), 7)
    at_once_ = store.checkpoint_at_once(mine, replace(START, lanes=(LanePositions(("1", "x")),)))
    assert at_once_ is not None
    for call in (store.load("m"), store.release(mine), store.renew(mine)):
        with pytest.raises(StoreError, match="lease m/1: its newest checkpoint is damaged"):
            await call
    await store.renew(two)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE esm_lease SET newest = '1:../x:0:00' WHERE shard_id = '2'")
    with pytest.raises(StoreError, match="lease m/2: its row is damaged"):
        await store.renew(two)
    await store.forget("m")
    await store.close()


async def test_a_row_that_another_took_by_hand_is_not_what_the_slot_says(store: SqliteStore, file: Path) -> None:
    at_once(store, await held(store), 7)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE esm_lease SET owner = 'thief', epoch = 99")
    assert await seen(store) == [None]


@pytest.mark.parametrize("call", ["fchmod", "flock"])
async def test_a_file_that_cannot_be_made_leaves_nothing(
    store: SqliteStore, file: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    await held(store, "2")  # or the file of its owner would be made below
    await store.release(replace(lease("2"), owner="a", epoch=1))
    store._database.newest.close(emptied=True)
    before = descriptors()

    def fails(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    await store.create([lease()])
    with monkeypatch.context() as patched:
        patched.setattr(fcntl if call == "flock" else os, call, fails)
        for _ in range(3):
            with pytest.raises(StoreError, match="no locks"):
                await store.take(lease(), "a")
    assert (descriptors(), newest_files(file)) == (before, [])
    at_once(store, await store.take(lease(), "a"), 7)


async def test_a_slot_that_cannot_be_armed_whole_is_not_used(
    store: SqliteStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.create([lease()])
    write = os.pwrite
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", lambda descriptor, data, at: write(descriptor, data[: TOKEN - 1], at))
        with pytest.raises(StoreError, match="not written whole"):
            await store.take(lease(), "a")
    at_once(store, await store.take(lease(), "a"), 7)
    assert await seen(store) == ["7"]


async def test_root_leaves_it_to_the_owner_of_the_database(
    store: SqliteStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owners: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", lambda _descriptor, user, group: owners.append((user, group)))
    await held(store)
    assert owners == [owner_of(file)]


# Older releases


async def test_a_file_of_an_older_release_is_read_and_goes_on(file: Path) -> None:
    store = await opened(file)
    await store.checkpoint(await held(store), settled(7))
    await store.close()
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("ALTER TABLE esm_lease DROP COLUMN newest")
        connection.execute("UPDATE esm_schema SET version = 1")
    for access in ("read", "preview"):
        reader = SqliteStore(file, access=access)
        await reader.open()
        assert await seen(reader) == ["7"]
        await reader.close()
    stores = [SqliteStore(file), SqliteStore(file)]
    await asyncio.gather(*(each.open() for each in stores))
    (row,) = await stores[0].load("m")
    at_once(stores[0], await stores[0].take(row, "b"), 8)
    assert await seen(stores[1]) == ["8"]
    for each in stores:
        await each.close()
    assert rows(file) == [("8",)]
