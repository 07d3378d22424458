"""What stands beside the rows, when a process is stopped or a transaction undone in the midst, and when files are not
what they were: nothing that was accepted is lost, and nothing that is void comes back.
"""

from __future__ import annotations

import asyncio
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
from esm.records.position import Checkpoint
from esm.stores import sqlite
from esm.stores import sqlite_statements as statements
from esm.stores.newest import Newest
from esm.stores.slots import SLOT
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


async def test_slots_of_leases_that_others_took_are_given_back(store: SqliteStore, other: SqliteStore) -> None:
    given = [await held(store, str(number)) for number in range(6)]
    for each in given:
        await other.take(each, "b")
    for write, each in zip(("checkpoint", "renew", "release") * 2, given, strict=True):
        with pytest.raises(LeaseLostError):
            await (store.checkpoint(each, settled(7)) if write == "checkpoint" else getattr(store, write)(each))
    assert store._database.newest.held() == []


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


async def test_who_only_looks_comes_to_an_end_beside_rows_that_always_change(
    store: SqliteStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With each of his looks one of the leases is armed anew."""
    mine = [await held(store, str(number)) for number in range(3)]
    loop, stored, looks = asyncio.get_running_loop(), statements._stored, []
    reader = SqliteStore(file, access="read")
    await reader.open()
    thread = reader._thread

    def changed(row: tuple[Any, ...]) -> Any:
        if threading.current_thread() is thread:
            looks.append(row[2])
            change = store._do(statements.advance, store._database.newest, mine[0], settled(len(looks)))
            asyncio.run_coroutine_threadsafe(change, loop).result(10)
        return stored(row)

    monkeypatch.setattr(statements, "_stored", changed)
    found = await seen(reader)
    assert (found[1:], looks.count("1"), looks.count("2")) == ([None, None], 1, 1)
    assert looks.count("0") == statements._LOOKS
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


async def test_a_row_that_cannot_be_written_now_is_written_later(
    store: SqliteStore, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "COPY_MS", 0)
    together = store._database._together
    failures: list[Any] = []

    def full_at_first(connection: sqlite3.Connection, jobs: list[Any]) -> Any:
        if len(failures) < 3:
            failures.append(jobs)
            raise sqlite3.OperationalError("database or disk is full")
        return together(connection, jobs)

    mine = await held(store)
    monkeypatch.setattr(store._database, "_together", full_at_first)
    at_once(store, mine, 7)
    while (rows_now := rows(file)) != [("7",)]:
        assert rows_now == [("",)]
        await asyncio.sleep(0)
    assert len(failures) == 3


async def test_rows_are_written_behind_all_else_of_a_transaction(store: SqliteStore) -> None:
    mine = at_once(store, await held(store), 7)
    storing = asyncio.create_task(store._do(statements.advance, store._database.newest, mine, settled(8)))
    await asyncio.sleep(0)
    await store._do(statements.copy, store._database.newest)
    await storing
    at_once(store, mine, 9)
    assert await seen(store) == ["9"]


async def test_what_a_power_cut_took_from_a_slot_its_row_still_has(store: SqliteStore, file: Path) -> None:
    mine = at_once(store, await held(store), 7)
    (path,) = newest_files(file)
    before = path.read_bytes()
    mine = await store.renew(at_once(store, mine, 8))
    path.write_bytes(before)
    assert await seen(store) == ["8"]
