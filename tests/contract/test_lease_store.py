"""What every store of positions does. Run over each of them, and over the same rows after a reopening."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from esm.errors import LeaseLostError, StoreError
from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position
from esm.records.window import Window
from esm.stores.memory import MemoryStore
from esm.stores.sqlite import SqliteStore
from esm.stores.store import LeaseStore

pytestmark = pytest.mark.anyio

KINESIS = "49590338271490256608559692538361571095921575989136588898"  # 56 digits


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Place:
    """Where rows are kept: opens stores over them, each as another process would, and loses one row on request."""

    def __init__(self, kind: str, folder: Path) -> None:
        self._kind = kind
        self._file = folder / "esm.db"
        self._rows: dict[LeaseKey, Lease] = {}
        self._stores: list[LeaseStore] = []

    async def open(self) -> LeaseStore:
        store = MemoryStore(self._rows) if self._kind == "memory" else SqliteStore(self._file)
        await store.open()
        self._stores.append(store)
        return store

    async def lose(self, key: LeaseKey) -> None:
        if self._kind == "memory":
            del self._rows[key]
        else:
            await (await self.open()).forget(key.mapping)

    async def close(self) -> None:
        for store in self._stores:
            await store.close()


@pytest.fixture(params=["memory", "sqlite"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Place]:
    place = Place(request.param, tmp_path)
    yield place
    await place.close()


@pytest.fixture
async def store(place: Place) -> LeaseStore:
    return await place.open()


def lease(shard: str = "shardId-0", mapping: str = "m", stream: str = "s") -> Lease:
    return Lease(LeaseKey(mapping, stream, shard), Checkpoint(Position.trim_horizon()))


def settled(*numbers: int | str | None, ended: bool = False) -> Checkpoint:
    lanes = LanePositions(tuple(None if n is None else str(n) for n in numbers))
    return Checkpoint(Position.trim_horizon(), (lanes,), ended=ended)


async def held(store: LeaseStore, owner: str = "a", shard: str = "shardId-0") -> Lease:
    await store.create([lease(shard)])
    return await store.take(lease(shard), owner)


async def row(store: LeaseStore, shard: str = "shardId-0") -> Lease:
    (found,) = [one for one in await store.load("m") if one.key.shard_id == shard]
    return found


Write = Callable[[LeaseStore, Lease], Awaitable[object]]
WRITES: dict[str, Write] = {
    "checkpoint": lambda store, lease: store.checkpoint(lease, settled(5)),
    "renew": lambda store, lease: store.renew(lease),
    "release": lambda store, lease: store.release(lease),
}


async def test_a_mapping_that_never_ran_has_no_leases(store: LeaseStore) -> None:
    assert await store.load("m") == []


async def test_load_gives_one_mapping_over_all_stream_identities(store: LeaseStore) -> None:
    mine = [lease("1"), lease("2"), lease("1", stream="made anew")]
    await store.create([*mine, lease("1", mapping="another")])
    assert sorted(await store.load("m"), key=lambda one: one.key) == sorted(mine, key=lambda one: one.key)


async def test_create_leaves_what_is_there_as_it_is(store: LeaseStore) -> None:
    mine = await store.checkpoint(await held(store), settled(5))
    await store.create([lease(), lease("shardId-1")])
    assert sorted(await store.load("m"), key=lambda one: one.key) == [mine, lease("shardId-1")]
    await store.create([])


CHECKPOINTS = {
    "nothing": Checkpoint(Position.trim_horizon()),
    "latest": Checkpoint(Position.latest(1_732_200_000_000)),
    "timestamp": Checkpoint(Position.at_timestamp(0)),
    "after": Checkpoint(Position.after("1")),
    "Kinesis": settled(KINESIS),
    "DynamoDB": settled("100000000003498069978"),
    "ten lanes": settled(*range(9), None),
    "layers": Checkpoint(Position.trim_horizon(), (LanePositions(("7",)), LanePositions((None, "9", None)))),
    "ended": settled(KINESIS, ended=True),
    "ended before it began": Checkpoint(Position.latest(1), ended=True),
    "leading zeros": settled("007"),
    "open window": replace(settled(KINESIS), window=Window(0, 60_000, state='{"sum": "\N{SNOWMAN}\\u0000"}')),
    "window ended early": replace(settled(KINESIS), window=Window(0, 60_000, "{" + " " * 2_000_000 + "}", True)),
}


@pytest.mark.parametrize("checkpoint", CHECKPOINTS.values(), ids=CHECKPOINTS.keys())
async def test_every_checkpoint_comes_back_as_it_was(place: Place, checkpoint: Checkpoint) -> None:
    store = await place.open()
    created = replace(lease("created"), checkpoint=checkpoint, parents=("shardId-\N{SNOWMAN}", "'"))
    await store.create([created])
    mine = await held(store)
    assert await store.checkpoint(mine, checkpoint) == replace(mine, checkpoint=checkpoint)
    await store.close()
    again = await place.open()
    assert await row(again, "created") == created
    assert await row(again) == replace(mine, checkpoint=checkpoint)


async def test_nothing_answered_is_lost_by_closing(place: Place) -> None:
    store = await place.open()
    mine = await store.renew(await held(store))
    await store.close()
    again = await place.open()
    assert await row(again) == mine
    assert await again.checkpoint(mine, settled(1)) == replace(mine, checkpoint=settled(1))


async def test_a_store_is_opened_once_and_closed_at_leisure(store: LeaseStore) -> None:
    with pytest.raises(StoreError, match="open"):
        await store.open()
    await store.close()
    await store.close()
    for refused in (store.load("m"), store.create([]), store.take(lease(), "a"), store.remove([])):
        with pytest.raises(StoreError, match="not open"):
            await refused
    for write in WRITES.values():
        with pytest.raises(StoreError, match="not open"):
            await write(store, lease())
    await store.open()
    assert await store.load("m") == []


async def test_take_gives_the_row_an_owner_and_the_next_epoch(store: LeaseStore) -> None:
    mine = await held(store)
    assert mine == replace(lease(), owner="a", epoch=1)
    assert await row(store) == mine


async def test_take_gives_what_is_stored_not_what_was_seen(store: LeaseStore) -> None:
    mine = await held(store)
    await store.checkpoint(mine, settled(5))
    assert await store.take(mine, "b") == replace(mine, owner="b", epoch=2, checkpoint=settled(5))


async def test_take_is_refused_when_the_row_changed_since(store: LeaseStore) -> None:
    mine = await held(store)
    renewed = await store.renew(mine)
    for stale in (lease(), replace(mine, owner="c"), replace(mine, epoch=9), mine):
        with pytest.raises(LeaseLostError, match="m/shardId-0"):
            await store.take(stale, "b")
    assert await row(store) == renewed
    assert (await store.take(renewed, "b")).epoch == 2


async def test_an_owner_takes_its_own_lease_again_whatever_its_beat(store: LeaseStore) -> None:
    mine = await held(store)
    await store.renew(mine)
    assert await store.take(mine, "a") == replace(mine, epoch=2, beat=1)


async def test_of_many_takers_one_wins(place: Place) -> None:
    first, second = await place.open(), await place.open()
    await first.create([lease()])
    tries = [store.take(lease(), f"{n}") for n, store in enumerate([first, second] * 5)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    assert sorted(type(answer).__name__ for answer in answers) == ["Lease"] + ["LeaseLostError"] * 9
    assert await row(first) in answers


async def test_renew_moves_the_beat_and_nothing_else(store: LeaseStore) -> None:
    mine = await held(store)
    assert await store.renew(mine) == replace(mine, beat=1)
    assert await store.renew(mine) == replace(mine, beat=2)  # a renewal is never undone by one that knew less
    assert await row(store) == replace(mine, beat=2)


async def test_a_checkpoint_moves_neither_epoch_nor_beat(store: LeaseStore) -> None:
    mine = await held(store)
    beaten = await store.renew(mine)
    assert await store.checkpoint(mine, settled(3)) == replace(mine, checkpoint=settled(3))
    assert await row(store) == replace(beaten, checkpoint=settled(3))


async def test_release_leaves_no_owner_and_the_next_epoch(store: LeaseStore) -> None:
    mine = await store.checkpoint(await held(store), settled(5))
    await store.release(mine)
    assert await row(store) == replace(mine, owner=None, epoch=2)
    assert (await store.take(replace(mine, owner=None, epoch=2), "b")).epoch == 3


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_a_write_by_another_owner_or_of_an_older_epoch_writes_nothing(place: Place, write: Write) -> None:
    first, second = await place.open(), await place.open()
    old = await held(first, "a")
    new = await second.take(old, "b")
    for refused in (old, replace(old, epoch=2), replace(new, epoch=1), replace(new, epoch=3), lease()):
        with pytest.raises(LeaseLostError, match="m/shardId-0"):
            await write(first, refused)
        assert await row(first) == new
    await write(second, new)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
async def test_a_row_that_is_gone_is_a_lease_lost(place: Place, write: Write) -> None:
    store = await place.open()
    mine = await held(store)
    await place.lose(mine.key)
    for lost in (write(store, mine), store.take(mine, "a")):
        with pytest.raises(LeaseLostError, match="gone"):
            await lost
    assert await store.load("m") == []


async def test_every_write_whose_answer_was_lost_may_be_repeated(store: LeaseStore) -> None:
    for _ in range(2):
        await store.create([lease()])
    mine, again = await store.take(lease(), "a"), await store.take(lease(), "a")
    assert mine == again
    for _ in range(2):
        assert await store.checkpoint(mine, settled(5, ended=True)) == replace(mine, checkpoint=settled(5, ended=True))
    for _ in range(2):
        await store.release(mine)
    free = await row(store)
    assert (free.owner, free.epoch) == (None, 2)
    for _ in range(2):
        await store.remove([free])
    assert await store.load("m") == []


async def test_a_release_is_not_repeated_over_the_next_owner(store: LeaseStore) -> None:
    mine = await held(store)
    await store.release(mine)
    other = await store.take(await row(store), "b")
    with pytest.raises(LeaseLostError):
        await store.release(mine)
    assert await row(store) == other


BACK = {
    "lower": (settled(10), settled(9)),
    "lower as a number, higher as text": (settled(10), settled(9, 9)),
    "lower behind zeros": (settled("10"), settled("0000009")),
    "nothing": (settled(0), settled(None)),
    "one lane of two": (settled(4, 7), settled(9, None)),
    "open again": (settled(4, ended=True), settled(5)),
    "huge": (settled(KINESIS), settled(KINESIS[:-1])),
}


@pytest.mark.parametrize(("stored", "refused"), BACK.values(), ids=BACK.keys())
async def test_a_checkpoint_never_goes_back(store: LeaseStore, stored: Checkpoint, refused: Checkpoint) -> None:
    mine = await store.checkpoint(await held(store), stored)
    with pytest.raises(StoreError, match=r"m/shardId-0.*never goes back") as error:
        await store.checkpoint(mine, refused)
    assert not isinstance(error.value, LeaseLostError)
    assert await row(store) == mine


@pytest.mark.parametrize("owner", ["a", "b"])
@pytest.mark.parametrize(("stored", "refused"), BACK.values(), ids=BACK.keys())
async def test_nor_does_it_once_the_lease_is_taken(
    store: LeaseStore, stored: Checkpoint, refused: Checkpoint, owner: str
) -> None:
    mine = await store.checkpoint(await held(store), stored)
    taken = await store.take(lease() if owner == "a" else mine, owner)  # by its holder: once more, for a lost answer
    with pytest.raises(StoreError, match=r"m/shardId-0.*never goes back"):
        await store.checkpoint(taken, refused)
    assert await row(store) == taken


FORTH = {
    "higher as a number, lower as text": (settled(9), settled(10)),
    "equal": (settled(9), settled(9)),
    "equal behind zeros": (settled("0009"), settled(9)),
    "another layer": (settled(9), Checkpoint(Position.trim_horizon(), (LanePositions(("9",)), LanePositions((None,))))),
    "a lane still at nothing": (settled(3, None), settled(2, None)),
    "ended": (settled(9), settled(9, ended=True)),
    "ended again": (settled(9, ended=True), settled(9, ended=True)),
}


@pytest.mark.parametrize(("stored", "accepted"), FORTH.values(), ids=FORTH.keys())
async def test_a_checkpoint_may_stay_or_go_on(store: LeaseStore, stored: Checkpoint, accepted: Checkpoint) -> None:
    mine = await store.checkpoint(await held(store), stored)
    await store.checkpoint(mine, accepted)
    assert (await row(store)).checkpoint == accepted


async def test_checkpoints_at_once_are_each_answered_for_themselves(store: LeaseStore) -> None:
    mine = [await held(store, shard=f"shardId-{n}") for n in range(9)]
    mine[4] = replace(mine[4], epoch=7)
    answers = await asyncio.gather(*(store.checkpoint(one, settled(5)) for one in mine), return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == ["Lease"] * 4 + ["LeaseLostError"] + ["Lease"] * 4
    stored = {one.key.shard_id: one.checkpoint.settled for one in await store.load("m")}
    assert stored == {f"shardId-{n}": None if n == 4 else "5" for n in range(9)}


async def test_remove_takes_ended_rows_of_the_epoch_that_was_read(store: LeaseStore) -> None:
    done = [await store.checkpoint(await held(store, shard=f"{n}"), settled(5, ended=True)) for n in range(2)]
    under_way = await held(store, shard="2")
    await store.release(done[1])
    await store.remove([*done, under_way, lease("never there")])
    assert sorted(one.key.shard_id for one in await store.load("m")) == ["1", "2"]


async def test_what_one_process_writes_the_other_sees(place: Place) -> None:
    first, second = await place.open(), await place.open()
    mine = await first.checkpoint(await held(first), settled(5))
    assert await second.load("m") == [mine]
