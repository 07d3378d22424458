"""Checkpoints that stand beside the rows: who sees them, who ends them, and what is left of them whatever happens."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from msgspec.structs import replace

from esm.errors import LeaseLostError, StoreError
from esm.leasing.lease import Lease
from esm.leasing.moves import Move
from esm.records.position import LanePositions
from esm.stores import mounts
from esm.stores.slots import NOBODY, SLOT
from esm.stores.sqlite import SqliteStore
from tests.contract.newest_leases import START, at_once, held, newest_files, opened, rows, seen, settled

pytestmark = pytest.mark.anyio


async def left_behind(file: Path) -> None:
    """A lease whose process could not write the newest checkpoint, 7, into its row at its end."""
    store = await opened(file)
    at_once(store, await held(store), 7)
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        await store.close()


def share(file: Path) -> None:
    file.chmod(0o660)


async def test_who_takes_a_lease_has_its_newest_checkpoint_and_its_owner_writes_no_more(
    store: SqliteStore, other: SqliteStore
) -> None:
    mine = at_once(store, await held(store), 7)
    taken = await other.take(replace(mine, checkpoint=START), "b")
    assert taken.checkpoint == settled(7)
    assert store.checkpoint_at_once(mine, settled(8)) is None
    with pytest.raises(LeaseLostError, match="held by b"):
        await store.checkpoint(mine, settled(8))
    assert await seen(store) == await seen(other) == ["7"]
    at_once(other, taken, 8)
    assert await seen(store) == ["8"]


async def test_a_release_and_a_move_end_it_too(store: SqliteStore, other: SqliteStore) -> None:
    one, two = at_once(store, await held(store, "1"), 7), at_once(store, await held(store, "2"), 7)
    await store.release(one)
    moves = [Move.of(two, START)]
    (moved,) = await other.move(moves, at=1, who="me", command="set")
    assert (moved.checkpoint, moved.owner) == (START, None)
    for lost in (one, two):
        assert store.checkpoint_at_once(lost, settled(8)) is None
        with pytest.raises(LeaseLostError):
            await store.checkpoint(lost, settled(8))
    assert sorted(await seen(other), key=str) == ["7", None]


async def test_a_move_is_of_the_newest_checkpoint_alone(store: SqliteStore, other: SqliteStore) -> None:
    mine = at_once(store, await held(store), 7)
    with pytest.raises(LeaseLostError, match="changed while it was looked at"):
        await other.move([Move.of(replace(mine, checkpoint=settled(6)), START)], at=1, who="me", command="set")
    mine = await store.checkpoint(mine, settled(8))  # goes on
    await other.move([Move.of(mine, START)], at=1, who="me", command="set")
    (move,) = await other.moves()
    assert move.before == settled(8)


async def test_a_mapping_that_was_forgotten_begins_anew_under_the_same_owner_and_epoch(
    store: SqliteStore, other: SqliteStore
) -> None:
    mine = at_once(store, await held(store), 7)
    await other.forget("m")
    assert store.checkpoint_at_once(mine, settled(8)) is None
    again = await held(other)
    assert (again.owner, again.epoch) == (mine.owner, mine.epoch)
    assert again.checkpoint == START
    assert await seen(store) == await seen(other) == [None]


async def test_rows_that_were_removed_by_hand_begin_anew(store: SqliteStore, file: Path) -> None:
    at_once(store, await held(store), 7)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("DELETE FROM esm_lease")
    again = await held(store)
    assert again.checkpoint == START
    assert await seen(store) == [None]


async def test_closing_leaves_all_in_the_rows_and_nothing_beside_them(file: Path) -> None:
    store = await opened(file)
    assert newest_files(file) == []
    at_once(store, await held(store), 7)
    assert len(newest_files(file)) == 1
    assert rows(file) == [("",)]
    await store.close()
    assert rows(file) == [("7",)]
    assert [each.name for each in file.parent.iterdir()] == ["esm.db"]


async def test_closing_leaves_others_to_what_they_hold(store: SqliteStore, file: Path) -> None:
    other = await opened(file)
    given = at_once(other, await held(other), 7)
    mine = at_once(store, await store.take(given, "b"), 8)
    await other.close()
    at_once(store, mine, 9)
    assert await seen(store) == ["9"]


async def test_what_is_not_written_whole_is_not_accepted(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, write = at_once(store, await held(store), 7), os.pwrite
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", lambda descriptor, data, at: write(descriptor, data[:20], at))
        assert store.checkpoint_at_once(mine, settled(8)) is None
    assert await seen(store) == ["7"]


async def test_what_could_not_be_written_at_the_end_is_seen_and_written_by_the_next(file: Path) -> None:
    await left_behind(file)
    assert len(newest_files(file)) == 1
    reader = SqliteStore(file, access="read")
    await reader.open()
    assert await seen(reader) == ["7"]
    await reader.close()
    assert rows(file) == [("",)]
    following = await opened(file)
    await held(following, "2")
    assert sorted(rows(file)) == [("",), ("7",)]
    await following.close()
    assert newest_files(file) == []


async def test_who_may_use_the_database_may_use_what_is_beside_it(store: SqliteStore, file: Path) -> None:
    share(file)
    await held(store)
    assert [path.stat().st_mode & 0o777 for path in newest_files(file)] == [0o660]


async def test_a_process_that_lives_keeps_its_file(store: SqliteStore, other: SqliteStore, file: Path) -> None:
    mine = at_once(store, await held(store), 7)
    await held(other, "2", "b")
    assert len(newest_files(file)) == 2
    at_once(store, mine, 8)
    assert sorted(await seen(other), key=str) == ["8", None]


async def test_a_transaction_that_is_undone_takes_nothing_away(store: SqliteStore, other: SqliteStore) -> None:
    mine = at_once(store, await held(store), 7)
    calls = [asyncio.create_task(other.take(mine, "b")), asyncio.create_task(other._do(lambda _: 1 / 0))]
    for call in calls:
        with pytest.raises(StoreError, match="ZeroDivisionError"):
            await call
    assert await seen(other) == ["7"]
    assert store.checkpoint_at_once(mine, settled(8)) is None
    mine = at_once(store, await store.checkpoint(mine, settled(8)), 9)
    assert await seen(other) == ["9"]
    assert (await other.take(mine, "b")).checkpoint == settled(9)


async def test_what_could_not_be_committed_leaves_the_files_of_the_dead(file: Path) -> None:
    await left_behind(file)
    store = await opened(file)
    (row,) = await store.load("m")
    calls = [asyncio.create_task(store.take(row, "c")), asyncio.create_task(store._do(lambda _: 1 / 0))]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StoreError, StoreError]
    assert len(newest_files(file)) == 2
    assert await seen(store) == ["7"]
    await store.close()


async def test_what_was_on_its_way_into_a_slot_that_is_armed_anew_is_not_accepted(store: SqliteStore) -> None:
    """The thread stores a checkpoint of the same lease while the loop is in the midst of another."""
    mine = at_once(store, await held(store), 7)
    own = store._database.newest._own[mine.key]
    await store.checkpoint(mine, replace(START, lanes=(LanePositions(("8" * 56,) * 40),)))
    assert not own.view.put(own.token, own.version + 1, b"{}")
    assert await seen(store) == ["8" * 56]


async def test_one_that_was_refused_in_the_midst_is_accepted_once_it_holds_the_lease_again(
    store: SqliteStore, other: SqliteStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the write and the look at the fence another one takes the lease, and sees what was written."""
    mine, read = at_once(store, await held(store), 7), os.pread
    given: list[Lease] = []

    async def take_and_release() -> None:
        third = await opened(file)
        given.append(await third.take(mine, "b"))
        await third.release(given[0])
        await third.close()

    def read_later(descriptor: int, size: int, at: int) -> bytes:
        if size == len(NOBODY) and threading.current_thread() is threading.main_thread() and not given:
            thread = threading.Thread(target=lambda: asyncio.run(take_and_release()))
            thread.start()
            thread.join()
        return read(descriptor, size, at)

    monkeypatch.setattr(os, "pread", read_later)
    assert store.checkpoint_at_once(mine, settled(8)) is None
    assert given[0].checkpoint == settled(8)
    (row,) = await store.load("m")
    again = at_once(store, await store.take(row, "a"), 100)
    assert (await other.take(again, "c")).checkpoint == settled(100)


async def test_a_slot_that_is_being_written_is_read_again(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = at_once(store, at_once(store, await held(store), 7), 8)
    read, reads = os.pread, []

    def torn(descriptor: int, size: int, at: int) -> bytes:
        data = read(descriptor, size, at)
        if size == SLOT:
            reads.append(at)
        return data.replace(b'"8"', b'"9"') if len(reads) == 1 else data

    monkeypatch.setattr(os, "pread", torn)
    assert await seen(store) == ["8"]
    assert len(reads) == 2
    assert store.checkpoint_at_once(mine, settled(9)) is not None


async def test_a_half_that_was_cut_off_leaves_the_one_before_it(store: SqliteStore, file: Path) -> None:
    mine = at_once(store, at_once(store, await held(store), 7), 8)
    (path,) = newest_files(file)
    with path.open("r+b") as slots:
        slots.seek(slots.read().index(b'"8"'))
        slots.write(b"\0\0\0")
    assert await seen(store) == ["7"]
    at_once(store, at_once(store, mine, 9), 10)
    assert await seen(store) == ["10"]


async def test_a_file_of_noise_is_no_checkpoint(store: SqliteStore, file: Path) -> None:
    await held(store)
    (path,) = newest_files(file)
    path.write_bytes(os.urandom(3 * SLOT + 5))
    file.with_name("esm.db-newest-0123456789abcdef").write_bytes(os.urandom(5))
    assert await seen(store) == [None]
    other = await opened(file)
    await held(other, "2", "b")
    assert len(newest_files(file)) == 2  # of the living
    await other.close()


@pytest.mark.parametrize("how", ["removed", "replaced"])
async def test_a_file_that_is_taken_away_is_noticed(store: SqliteStore, file: Path, how: str) -> None:
    mine = await held(store)
    (path,) = newest_files(file)
    content = path.read_bytes()
    path.unlink()
    if how == "replaced":
        path.write_bytes(content)
    with pytest.raises(StoreError, match="replaced or removed while in use"):
        await store.checkpoint(mine, settled(1))


async def test_on_a_network_file_system_rows_alone_are_written(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = file.with_name("mounts")
    table.write_text(f"1 1 0:1 / / rw - ext4 /dev/vda rw\n2 1 0:2 / {file.parent} rw shared:1 - nfs4 host:/x rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", table)
    store = SqliteStore(file, force=True)
    await store.open()
    mine = await held(store)
    assert store.checkpoint_at_once(mine, settled(1)) is None
    await store.checkpoint(mine, settled(1))
    assert rows(file) == [("1",)]
    await store.close()
