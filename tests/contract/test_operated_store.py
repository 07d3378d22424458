"""What every store does for who looks at positions from outside and moves them. Run over each of them."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from esm.errors import LeaseLostError, StoreError
from esm.leasing.lease import Lease, LeaseKey
from esm.leasing.moves import Move, after, beginning_at
from esm.records.position import Checkpoint, LanePositions, Position
from esm.records.window import Window
from esm.stores.memory import MemoryStore
from esm.stores.presence import Presence
from esm.stores.sqlite import SqliteStore
from esm.stores.store import OperatedStore

pytestmark = pytest.mark.anyio

START = Checkpoint(Position.latest(1_732_200_000_000))
FURTHER = Checkpoint(START.start, (LanePositions(("12", None)),), window=Window(0, 60_000, '{"n": 1.50}'))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OperatedStore]:
    store: OperatedStore = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "esm.db")
    await store.open()
    yield store
    await store.close()


def lease(shard: str = "shardId-0", mapping: str = "m") -> Lease:
    return Lease(LeaseKey(mapping, "s", shard), START, ("shardId-9",))


async def move(store: OperatedStore, *moves: Move) -> list[Lease]:
    return await store.move(moves, at=1_000, who="ann@host", command="set LATEST")


async def test_all_leases_of_all_mappings(store: OperatedStore) -> None:
    assert await store.load_all() == []
    mine = [lease(), lease("shardId-1"), lease(mapping="n")]
    await store.create(mine)
    assert sorted(await store.load_all(), key=lambda one: one.key) == sorted(mine, key=lambda one: one.key)


async def test_a_move_may_go_back_and_fences_the_owner(store: OperatedStore) -> None:
    await store.create([lease()])
    held = await store.checkpoint(await store.take(lease(), "a"), FURTHER)
    (new,) = await move(store, Move.of(held, after(FURTHER, "3")))
    assert new == Lease(held.key, after(FURTHER, "3"), held.parents, None, 2, 0)
    assert await store.load("m") == [new]
    await store.release(held)  # it is without an owner already
    for refused in (store.checkpoint(held, FURTHER), store.renew(held)):
        with pytest.raises(LeaseLostError):
            await refused
    assert await store.load("m") == [new]
    again = await store.take(new, "a")
    again = await store.checkpoint(again, after(FURTHER, "4"))
    with pytest.raises(StoreError, match="never goes back"):
        await store.checkpoint(again, after(FURTHER, "2"))


async def test_of_several_moves_all_are_made_or_none(store: OperatedStore) -> None:
    await store.create([lease(), lease("shardId-1")])
    there = beginning_at(Position.trim_horizon())
    stale = lease("shardId-1")
    await store.take(stale, "a")
    before = sorted(await store.load_all(), key=lambda one: one.key)
    for moves in ([Move.of(lease(), there), Move.of(stale, there)], [Move.of(stale, there), Move.of(lease(), there)]):
        with pytest.raises(LeaseLostError, match="nothing was moved"):
            await move(store, *moves)
    assert sorted(await store.load_all(), key=lambda one: one.key) == before
    assert await store.moves() == []


async def test_a_move_makes_a_lease_that_is_not_there(store: OperatedStore) -> None:
    (new,) = await move(store, Move(lease().key, FURTHER, None, ("shardId-9",)))
    assert await store.load("m") == [new] == [Lease(lease().key, FURTHER, ("shardId-9",))]
    with pytest.raises(LeaseLostError, match="is there by now"):
        await move(store, Move(lease().key, FURTHER, None))


async def test_every_move_is_written_down_in_its_order_and_whole(store: OperatedStore) -> None:
    await store.create([lease()])
    held = await store.checkpoint(await store.take(lease(), "a"), FURTHER)
    (new,) = await move(store, Move.of(held, after(FURTHER, "3")))
    await store.move([Move.of(new, START)], at=2_000, who="bob@host", command="rewind --to 2h")
    first, second = await store.moves()
    assert (first.at, first.who, first.command, first.key) == (1_000, "ann@host", "set LATEST", held.key)
    assert (first.before, first.after, first.owner, first.epoch) == (FURTHER, after(FURTHER, "3"), "a", 2)
    assert (second.at, second.who, second.owner, second.epoch) == (2_000, "bob@host", None, 3)
    assert (second.before, second.after) == (after(FURTHER, "3"), START)


async def test_an_owner_lives_from_its_first_lease_until_its_store_is_closed(store: OperatedStore) -> None:
    assert await store.living(["a", "b"]) == frozenset()
    await store.create([lease()])
    await store.take(lease(), "a")
    assert await store.living(["a", "b"]) == {"a"}
    await store.close()
    await store.open()
    assert await store.living(["a", "b"]) == frozenset()


async def test_a_store_opened_to_be_read_changes_nothing_and_sees_what_another_writes(tmp_path: Path) -> None:
    file = tmp_path / "esm.db"
    writer, reader = SqliteStore(file), SqliteStore(file, access="read")
    await writer.open()
    await writer.create([lease()])
    held = await writer.take(lease(), "a")
    await reader.open()
    assert await reader.load_all() == [held]
    assert await reader.living(["a"]) == {"a"}
    assert await reader.moves() == []
    held = await writer.checkpoint(held, FURTHER)
    assert await reader.load_all() == [held]
    for refused in (reader.create([lease("2")]), reader.release(held), move(reader, Move.of(held, START))):
        with pytest.raises(StoreError, match="SQLITE_READONLY"):
            await refused
    await reader.close()
    await writer.close()


@pytest.mark.parametrize("access", ["read", "write"])
async def test_no_file_is_made_for_a_look_or_a_move(tmp_path: Path, access: str) -> None:
    store = SqliteStore(tmp_path / "esm.db", access=access)  # type: ignore[arg-type]  # both are Access
    with pytest.raises(StoreError, match="there is no such file"):
        await store.open()
    assert not store._database.path.exists()


async def test_a_file_without_tables_is_read_as_no_store(tmp_path: Path) -> None:
    (tmp_path / "esm.db").touch()
    with pytest.raises(StoreError, match="no worker has used it yet"):
        await SqliteStore(tmp_path / "esm.db", access="read").open()


async def test_a_file_of_an_earlier_release_has_no_log_yet(tmp_path: Path) -> None:
    file = tmp_path / "esm.db"
    async with opened(SqliteStore(file)) as store:
        await store.create([lease()])
        await store._do(lambda connection: connection.execute("DROP TABLE esm_move"))
    async with opened(SqliteStore(file, access="read")) as store:
        assert await store.moves() == []
        assert await store.load_all() == [lease()]


class opened:  # noqa: N801  # reads as what it does
    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    async def __aenter__(self) -> SqliteStore:
        await self._store.open()
        return self._store

    async def __aexit__(self, *_error: object) -> None:
        await self._store.close()


HOLDER = """
import asyncio, sys
from pathlib import Path
from esm.stores.presence import Presence
presence = Presence(Path(sys.argv[1]))
presence.declare("a")
print("held", flush=True)
sys.stdin.read()
presence.close()
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "esm.db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_stopped_process_lives_and_a_killed_one_does_not(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    presence = Presence(tmp_path / "esm.db")
    assert presence.lives("a")
    holder.send_signal(signal.SIGSTOP)
    assert presence.lives("a")
    holder.kill()
    holder.wait()
    assert not presence.lives("a")


def test_what_the_dead_left_behind_is_removed_by_the_next(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    first, second = Presence(tmp_path / "esm.db"), Presence(tmp_path / "esm.db")
    first.declare("b")
    assert len(list(tmp_path.iterdir())) == 2  # the living are left alone
    holder.kill()
    holder.wait()
    second.declare("c")
    assert len(list(tmp_path.iterdir())) == 2
    assert first.lives("b")
    assert first.lives("c")
    first.close()
    second.close()
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_ends_clean_leaves_nothing(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    assert holder.stdin is not None
    holder.stdin.close()
    assert holder.wait() == 0
    assert list(tmp_path.iterdir()) == []
    assert not Presence(tmp_path / "esm.db").lives("a")


def test_who_cannot_be_judged_lives(tmp_path: Path) -> None:
    presence = Presence(tmp_path / "esm.db")
    presence._path("a").symlink_to(presence._path("a").name)  # a loop: it cannot be opened
    assert presence.lives("a")
