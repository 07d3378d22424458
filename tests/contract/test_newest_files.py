"""What stands beside the rows, when files or rows are not what they were, or of an older release."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from esm.errors import LeaseLostError, StoreError
from esm.records.position import LanePositions
from esm.stores.newest import Newest
from esm.stores.slots import TOKEN
from esm.stores.sqlite import SqliteStore
from tests.contract.newest_leases import START, at_once, held, lease, newest_files, opened, rows, seen, settled

pytestmark = pytest.mark.anyio

END = replace(settled(12), ended=True)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def owner_of(file: Path) -> tuple[int, int]:
    return file.stat().st_uid, file.stat().st_gid


def by_hand(file: Path, sql: str) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(sql)


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


@pytest.mark.parametrize("killed", [False, True])
async def test_a_damaged_row_keeps_the_file_that_it_names(file: Path, killed: bool) -> None:
    store = await opened(file)
    mine, two = at_once(store, await held(store), 7), at_once(store, await held(store, "2"), 7)
    by_hand(file, "UPDATE esm_lease SET parents = 'x' WHERE shard_id = '1'")
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE" if killed else "BEGIN")
        await store.close()
    (path,) = newest_files(file)
    following = await opened(file)
    await following.take(two, "b")
    with pytest.raises(StoreError, match="m/1: its row is damaged"):
        await following.take(mine, "b")
    assert path in newest_files(file)
    by_hand(file, "UPDATE esm_lease SET parents = '[]'")
    assert await seen(following) == ["7", "7"]
    assert (await following.take(mine, "c")).checkpoint == settled(7)
    await following.close()


async def test_a_damaged_row_is_forgotten_and_written_by_nobody(
    store: SqliteStore, other: SqliteStore, file: Path
) -> None:
    mine = at_once(store, await held(store), 7)
    by_hand(file, "UPDATE esm_lease SET parents = 'x'")
    await other.forget("m")
    again = await held(other, "1", "c")
    assert store.checkpoint_at_once(mine, settled(8)) is None
    at_once(other, again, 1)
    assert await seen(store) == ["1"]


@pytest.mark.parametrize("place", ["'x'", "7", "'1:0123456789abcdef:9999999999999999999:0123456789abcdef'"])
async def test_what_is_no_place_names_its_lease_and_can_be_forgotten(
    store: SqliteStore, file: Path, place: str
) -> None:
    mine = await held(store)
    by_hand(file, f"UPDATE esm_lease SET newest = {place}")  # noqa: S608  # a literal of this module
    with pytest.raises(StoreError, match="m/1: its row is damaged"):
        await store.renew(mine)
    await store.forget("m")
    assert await seen(store) == []


async def test_files_of_the_dead_are_looked_for_once(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, look = [], Newest.left_behind

    def counted(newest: Newest) -> set[str]:
        looks.append(newest)
        return look(newest)

    monkeypatch.setattr(Newest, "left_behind", counted)
    await asyncio.gather(*(held(store, str(number)) for number in range(5)))
    await held(store, "6")
    assert len(looks) == 1


async def test_a_file_that_cannot_be_removed_is_let_go_all_the_same(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, store = descriptors(), await opened(file)
    at_once(store, await held(store), 7)

    def refused(_path: Path, *, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EPERM, f"not permitted {missing_ok}")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refused)
        await store.close()
    assert len(newest_files(file)) == 1
    assert rows(file) == [("7",)]
    following = await opened(file)
    await held(following, "2")
    assert len(newest_files(file)) == 1
    await following.close()
    assert newest_files(file) == []
    assert descriptors() == before


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
