"""What may happen to a file of positions and to the process that writes it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from esm.errors import StoreError
from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position
from esm.stores import mounts
from esm.stores.sqlite import SqliteStore

pytestmark = pytest.mark.anyio

NOBODY = 65534
WIDE = ["9" * 56] * 40  # lanes, more than a slot takes


@pytest.fixture
async def store(file: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(file, busy_timeout=100)
    await store.open()
    yield store
    await store.close()


def lease(shard: str = "shardId-0") -> Lease:
    return Lease(LeaseKey("m", "s", shard), Checkpoint(Position.trim_horizon()))


def settled(number: int, *others: str) -> Checkpoint:
    return Checkpoint(Position.trim_horizon(), (LanePositions((str(number), *others)),))


async def held(store: SqliteStore, shard: str = "shardId-0") -> Lease:
    await store.create([lease(shard)])
    return await store.take(lease(shard), "a")


async def stored(store: SqliteStore) -> str | None:
    (row,) = await store.load("m")
    return row.checkpoint.settled


async def made(file: Path, *numbers: int) -> Lease:
    """A file with one lease, checkpointed and closed."""
    store = SqliteStore(file)
    await store.open()
    mine = await held(store)
    for number in numbers:
        mine = await store.checkpoint(mine, settled(number))
    await store.close()
    return mine


def content(file: Path) -> bytes:
    return file.read_bytes()


def written(file: Path, data: bytes) -> bytes:
    file.write_bytes(data)
    return data


def raw(file: Path) -> Any:
    return closing(sqlite3.connect(file, isolation_level=None))


async def refused(store: SqliteStore, words: str) -> None:
    with pytest.raises(StoreError, match=words) as error:
        await store.open()
    assert "esm" in str(error.value)
    assert not own_threads()


def own_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "esm-sqlite"]


# Opening


async def test_the_file_is_made_with_a_log_and_gone_is_the_log_after_closing(file: Path) -> None:
    store = SqliteStore(str(file))
    await store.open()
    with raw(file) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert other.execute("SELECT version FROM esm_schema").fetchall() == [(2,)]
    assert len(own_threads()) == 1
    await store.close()
    assert [one.name for one in file.parent.iterdir()] == [file.name]
    assert not own_threads()


async def test_a_relative_path_is_that_of_the_working_directory_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = SqliteStore("here.db")
    monkeypatch.chdir("/")
    await store.open()
    await store.close()
    assert (tmp_path / "here.db").exists()


async def test_a_directory_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "esm.db"
    folder.mkdir()
    await refused(SqliteStore(folder), "is a directory")


async def test_a_missing_folder_is_refused_and_not_made(tmp_path: Path) -> None:
    await refused(SqliteStore(tmp_path / "gone" / "esm.db"), "there is no directory .*gone")
    assert not (tmp_path / "gone").exists()


async def test_a_file_that_is_no_database_is_refused_and_left_alone(file: Path) -> None:
    before = written(file, b"positions: none of your business\n" * 100)
    await refused(SqliteStore(file), "SQLITE_NOTADB")
    assert content(file) == before


async def test_an_empty_file_is_a_new_store(file: Path) -> None:
    written(file, b"")
    await made(file, 1)


async def test_a_damaged_file_is_refused(file: Path) -> None:
    await made(file, 1)
    written(file, content(file)[:4096].ljust(len(content(file)), b"\xff"))  # all pages but the first
    await refused(SqliteStore(file), "is damaged|SQLITE_CORRUPT")


async def test_a_file_that_was_cut_short_is_refused(file: Path) -> None:
    await made(file, 1)
    os.truncate(file, 4096 * 2)
    await refused(SqliteStore(file), "is damaged|SQLITE_CORRUPT")


@pytest.mark.parametrize("tables", ["esm_schema (version)", "orders (id)"])
async def test_another_programs_database_is_refused_and_left_alone(file: Path, tables: str) -> None:
    with raw(file) as other:
        other.execute(f"CREATE TABLE {tables}")
    before = content(file)
    await refused(SqliteStore(file), "another program's database")
    assert content(file) == before


@pytest.mark.parametrize("version", [0, 3, None, "x"])
async def test_a_schema_of_another_version_is_refused(file: Path, version: object) -> None:
    await made(file)
    with raw(file) as other:
        other.execute("PRAGMA ignore_check_constraints = ON")
        other.execute("DROP TABLE esm_schema")
        other.execute("CREATE TABLE esm_schema (version)")
        other.execute("INSERT INTO esm_schema VALUES (?)", (version,))
    await refused(SqliteStore(file), f"schema version {version}; this release knows 2")


@contextmanager
def without_privileges() -> Iterator[None]:
    """As somebody who may not write everywhere, as a superuser may."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """One that everybody may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="esm-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def read_only(path: Path) -> None:
    path.chmod(0o444 if path.is_file() else 0o555)


async def test_a_file_that_may_not_be_written_is_refused(shared_folder: Path) -> None:
    file = shared_folder / "esm.db"
    await made(file)
    read_only(file)
    with without_privileges():
        await refused(SqliteStore(file), "SQLITE_(READONLY|CANTOPEN)")


async def test_a_folder_that_may_not_be_written_is_refused(shared_folder: Path) -> None:
    await made(shared_folder / "another.db")
    read_only(shared_folder)
    with without_privileges():
        await refused(SqliteStore(shared_folder / "esm.db"), "SQLITE_CANTOPEN")


async def test_a_network_file_system_is_refused_unless_forced(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = file.with_name("mounts")
    table.write_text(f"1 1 0:1 / / rw - ext4 /dev/vda rw\n2 1 0:2 / {file.parent} rw shared:1 - nfs4 host:/x rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", table)
    await refused(SqliteStore(file), r"network file system \(nfs4\).*force=1")
    store = SqliteStore(file, force=True)
    await store.open()
    await store.close()
    monkeypatch.setattr(mounts, "MOUNTS", file.with_name("no such table"))
    await made(file)


async def test_many_may_open_one_new_file_at_once(file: Path) -> None:
    stores = [SqliteStore(file) for _ in range(8)]
    await asyncio.gather(*(store.open() for store in stores))
    await stores[0].create([lease()])
    assert [len(await store.load("m")) for store in stores] == [1] * 8
    for store in stores:
        await store.close()


# Others at the file


async def test_a_call_waits_for_another_writer(file: Path) -> None:
    store = SqliteStore(file)
    await store.open()
    mine = await held(store)
    with raw(file) as other:
        other.execute("BEGIN IMMEDIATE")
        call = asyncio.create_task(store.renew(mine))
        _, waiting = await asyncio.wait({call}, timeout=0.05)
        assert waiting
        other.execute("COMMIT")
        assert (await call).beat == 1
    await store.close()


async def test_a_file_locked_for_too_long_is_a_store_error_and_works_again_later(
    store: SqliteStore, file: Path
) -> None:
    mine = await held(store)
    with raw(file) as other:
        other.execute("BEGIN IMMEDIATE")
        calls: list[Awaitable[object]] = [store.checkpoint(mine, settled(5, *WIDE)), store.renew(mine), store.load("m")]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoreError] * 3
        assert "SQLITE_BUSY" in str(answers[0])
    assert (await store.checkpoint(mine, settled(6, *WIDE))).checkpoint == settled(6, *WIDE)


@pytest.mark.parametrize("mode", ["wal", "delete"])
async def test_opening_waits_for_another_writer_but_not_for_ever(file: Path, mode: str) -> None:
    await made(file)
    with raw(file) as other:
        assert other.execute(f"PRAGMA journal_mode = {mode}").fetchone() == (mode,)
        other.execute("BEGIN IMMEDIATE")
        await refused(SqliteStore(file, busy_timeout=40), "SQLITE_BUSY")
        store = SqliteStore(file)
        call = asyncio.create_task(store.open())
        _, waiting = await asyncio.wait({call}, timeout=0.05)
        assert waiting
        other.execute("COMMIT")
        await call
    await store.close()


@pytest.mark.parametrize("which", ["esm.db", "esm.db-wal"])
@pytest.mark.parametrize("how", ["removed", "replaced"])
async def test_a_file_replaced_underneath_is_noticed_before_anything_is_answered(
    store: SqliteStore, file: Path, which: str, how: str
) -> None:
    mine = await held(store)
    victim = file.with_name(which)
    content = victim.read_bytes()
    victim.rename(file.with_name("elsewhere"))
    if how == "replaced":
        victim.write_bytes(content)
    calls: list[Awaitable[object]] = [store.checkpoint(mine, settled(5)), store.renew(mine), store.load("m")]
    for call in calls:
        with pytest.raises(StoreError, match="replaced or removed while in use"):
            await call


async def test_a_damaged_row_is_named_and_the_others_are_left_alone(store: SqliteStore, file: Path) -> None:
    one, two = await held(store, "shardId-1"), await held(store, "shardId-2")
    layers = ('["x"]', '[""]', '["5", ""]', "[]")
    damages = [
        *("{", b"\0", 7),
        '{"start": {"type": "HERE"}}',
        *(f'{{"start": {{"type": "LATEST"}}, "lanes": [{{"settled": {layer}}}]}}' for layer in layers),
    ]
    for damage in damages:
        with raw(file) as other:
            other.execute("UPDATE esm_lease SET checkpoint = ? WHERE shard_id = 'shardId-1'", (damage,))
        for call in (store.load("m"), store.renew(one)):
            with pytest.raises(StoreError, match=r"m/shardId-1.*damaged"):
                await call
        two = await store.renew(two)
    assert two.beat == len(damages)


async def test_a_row_whose_columns_contradict_each_other_is_not_written(store: SqliteStore, file: Path) -> None:
    mine = await held(store)
    with raw(file) as other:
        other.execute("UPDATE esm_lease SET settled = '7'")
    with pytest.raises(StoreError, match=r"m/shardId-0.*damaged"):
        await store.checkpoint(mine, settled(5, *WIDE))
    assert await stored(store) is None


# Writing


async def test_what_is_asked_for_during_a_commit_is_committed_together(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = [await held(store, f"shardId-{n}") for n in range(10)]
    begun, go_on = asyncio.Event(), threading.Event()
    groups: list[int] = []
    loop, commit = asyncio.get_running_loop(), store._database.commit

    def counted(connection: sqlite3.Connection, jobs: list[Any]) -> Any:
        groups.append(len(jobs))
        return commit(connection, jobs)

    def within_its_transaction(_connection: sqlite3.Connection) -> bool:
        loop.call_soon_threadsafe(begun.set)
        return go_on.wait(10)

    monkeypatch.setattr(store._database, "commit", counted)
    slow = asyncio.create_task(store._do(within_its_transaction))
    await begun.wait()
    calls = [asyncio.create_task(store.checkpoint(one, settled(5, *WIDE))) for one in mine]
    await asyncio.sleep(0)
    go_on.set()
    assert [(await call).checkpoint for call in calls] == [settled(5, *WIDE)] * 10
    assert await slow
    assert groups == [1, 10]


async def test_create_is_all_or_none(store: SqliteStore) -> None:
    with pytest.raises(StoreError, match="UnicodeEncodeError"):
        await store.create([lease("1"), lease("\ud800"), lease("2")])
    assert await store.load("m") == []


async def test_a_caller_that_gives_up_disturbs_nobody(store: SqliteStore) -> None:
    mine = await held(store)
    given_up = asyncio.create_task(store.renew(mine))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    assert (await store.checkpoint(mine, settled(6))).checkpoint == settled(6)


async def test_opening_may_be_given_up(file: Path) -> None:
    store = SqliteStore(file)
    opening = asyncio.create_task(store.open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await store.open()
    await store.close()
    for thread in own_threads():
        thread.join(10)
    assert not own_threads()


async def test_closing_finishes_what_was_asked_for(file: Path) -> None:
    store = SqliteStore(file)
    await store.open()
    mine = await held(store)
    last = asyncio.create_task(store.checkpoint(mine, settled(5)))
    await asyncio.sleep(0)
    await store.close()
    assert (await last).checkpoint == settled(5)
    assert not own_threads()
