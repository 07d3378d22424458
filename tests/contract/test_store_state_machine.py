"""Each store against one dict, over any order of calls by several owners who know more or less of the truth.

Runs 200 sequences of calls for each store, or as many as the Hypothesis profile in use asks for, if that is more.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from esm.errors import LeaseLostError, StoreError
from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position
from esm.stores import sqlite_statements as statements
from esm.stores.memory import MemoryStore
from esm.stores.sqlite import SqliteStore
from esm.stores.store import LeaseStore

Answer = TypeVar("Answer")

OWNERS = st.sampled_from(["a", "b", "c"])
SHARDS = st.sampled_from(["1", "2", "3"])
SIDES = st.sampled_from([0, 1])
NUMBERS = st.none() | st.sampled_from([f"{n}" for n in (0, 1, 7, 9, 10, 99, 100, 10**55, 10**55 + 1)] + ["007"])
CHECKPOINTS = st.builds(
    Checkpoint,
    st.just(Position.trim_horizon()),
    st.lists(st.builds(LanePositions, st.lists(NUMBERS, min_size=1, max_size=3).map(tuple)), max_size=2).map(tuple),
    st.integers(0, 4).map(lambda n: n == 0),
)


class Stores(RuleBasedStateMachine):
    """Two stores over the same rows, as two processes have them, and what the rows ought to be.

    `seen`: every lease that any owner ever had in hand. Calls are made with any of them, so most are out of date.
    """

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.rows: dict[LeaseKey, Lease] = {}
        self.seen: list[Lease] = []
        self.stores: list[LeaseStore] = []

    def new_store(self) -> LeaseStore:
        raise AssertionError

    def run(self, call: Coroutine[Any, Any, Answer]) -> Answer | StoreError:
        try:
            return self.runner.run(call)
        except StoreError as refused:
            return refused

    def opened(self) -> LeaseStore:
        store = self.new_store()
        self.runner.run(store.open())
        return store

    @initialize()
    def start(self) -> None:
        self.stores = [self.opened(), self.opened()]
        self.create(0, ["1"])

    @rule(side=SIDES, shards=st.lists(SHARDS))
    def create(self, side: int, shards: list[str]) -> None:
        leases = [Lease(LeaseKey("m", "s", shard), Checkpoint(Position.trim_horizon())) for shard in shards]
        assert self.run(self.stores[side].create(leases)) is None
        for lease in leases:
            self.rows.setdefault(lease.key, lease)
            self.seen.append(self.rows[lease.key])

    @rule(side=SIDES, owner=OWNERS, data=st.data())
    def take(self, side: int, owner: str, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.seen))
        row = self.rows.get(lease.key)
        answer = self.run(self.stores[side].take(lease, owner))
        if row and (row.owner, row.epoch) == (owner, lease.epoch + 1):
            self.expect(answer, row)
        elif row and self.holds(lease) and (row.beat == lease.beat or owner == row.owner):
            self.expect(answer, self.put(replace(row, owner=owner, epoch=row.epoch + 1)))
        else:
            assert isinstance(answer, LeaseLostError)

    @rule(side=SIDES, data=st.data())
    def renew(self, side: int, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.seen))
        answer = self.run(self.stores[side].renew(lease))
        if self.holds(lease):
            row = self.rows[lease.key]
            self.expect(answer, self.put(replace(row, beat=row.beat + 1)))
        else:
            assert isinstance(answer, LeaseLostError)

    @rule(side=SIDES, checkpoint=CHECKPOINTS, data=st.data())
    def checkpoint(self, side: int, checkpoint: Checkpoint, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.seen))
        answer = self.run(self.stores[side].checkpoint(lease, checkpoint))
        if not self.holds(lease):
            assert isinstance(answer, LeaseLostError)
            return
        row = self.rows[lease.key]
        before, after = (int(one.settled or -1) for one in (row.checkpoint, checkpoint))
        if after < before or checkpoint.ended < row.checkpoint.ended:
            assert type(answer) is StoreError
        else:
            self.put(replace(row, checkpoint=checkpoint))
            self.expect(answer, replace(lease, checkpoint=checkpoint))

    @rule(side=SIDES, data=st.data())
    def release(self, side: int, data: st.DataObject) -> None:
        lease = data.draw(st.sampled_from(self.seen))
        row = self.rows.get(lease.key)
        answer = self.run(self.stores[side].release(lease))
        if row and (row.owner, row.epoch) == (None, lease.epoch + 1):
            assert answer is None
        elif row and self.holds(lease):
            assert answer is None
            self.seen.append(self.put(replace(row, owner=None, epoch=row.epoch + 1)))
        else:
            assert isinstance(answer, LeaseLostError)

    @rule(side=SIDES, data=st.data())
    def remove(self, side: int, data: st.DataObject) -> None:
        leases = data.draw(st.lists(st.sampled_from(self.seen), max_size=3))
        assert self.run(self.stores[side].remove(leases)) is None
        for lease in leases:
            row = self.rows.get(lease.key)
            if row and row.checkpoint.ended and row.epoch == lease.epoch:
                del self.rows[lease.key]

    @rule(side=SIDES)
    def forget(self, side: int) -> None:
        assert self.run(self.stores[side].forget("m")) is None
        self.rows.clear()

    @rule(side=SIDES)
    def look(self, side: int) -> None:
        loaded = self.run(self.stores[side].load("m"))
        assert not isinstance(loaded, StoreError)
        self.seen.extend(loaded)

    @precondition(lambda self: self.seen)
    @rule(side=SIDES, clean=st.booleans())
    def reopen(self, side: int, clean: bool) -> None:
        if clean:
            self.runner.run(self.stores[side].close())
        self.stores[side] = self.opened()

    @invariant()
    def rows_are_as_they_ought_to_be(self) -> None:
        for store in self.stores:
            loaded = self.run(store.load("m"))
            assert not isinstance(loaded, StoreError)
            assert {lease.key: lease for lease in loaded} == self.rows
            assert len(loaded) == len(self.rows)

    def teardown(self) -> None:
        for store in self.stores:
            self.runner.run(store.close())
        self.runner.close()

    def holds(self, lease: Lease) -> bool:
        row = self.rows.get(lease.key)
        return row is not None and (row.owner, row.epoch) == (lease.owner, lease.epoch)

    def put(self, row: Lease) -> Lease:
        self.rows[row.key] = row
        return row

    def expect(self, answer: Lease | StoreError, expected: Lease) -> None:
        assert answer == expected
        self.seen.append(expected)


async def _together(calls: Sequence[Callable[[], Coroutine[Any, Any, Any]]]) -> list[Any]:
    return await asyncio.gather(*(call() for call in calls), return_exceptions=True)


class MemoryStores(Stores):
    """A second store over the same dict is what a second process would see."""

    def __init__(self) -> None:
        super().__init__()
        self.shared: dict[LeaseKey, Lease] = {}

    def new_store(self) -> LeaseStore:
        return MemoryStore(self.shared)


class SqliteStores(Stores):
    """Two stores on one file. One that is left behind without closing keeps its connection, as a hung process may."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="esm-"))
        self.left_behind: list[LeaseStore] = []

    def new_store(self) -> LeaseStore:
        store = SqliteStore(self.folder / "esm.db")
        self.left_behind.append(store)
        return store

    def sqlite(self, side: int) -> SqliteStore:
        store = self.stores[side]
        assert isinstance(store, SqliteStore)
        return store

    @rule(side=SIDES)
    def copy(self, side: int) -> None:
        """As it comes by itself after some time."""
        store = self.sqlite(side)
        assert self.run(store._do(statements.copy, store._database.newest)) is None

    @rule(side=SIDES, owner=OWNERS, checkpoint=CHECKPOINTS, which=st.integers(0, 5), data=st.data())
    def undone(self, side: int, owner: str, checkpoint: Checkpoint, which: int, data: st.DataObject) -> None:
        """A transaction that fails at its end, whatever was in it."""
        store, lease = self.sqlite(side), data.draw(st.sampled_from(self.seen))
        newest = store._database.newest
        calls: list[Callable[[], Coroutine[Any, Any, Any]]] = [
            lambda: store.take(lease, owner),
            lambda: store._do(statements.advance, newest, lease, checkpoint),
            lambda: store.release(lease),
            lambda: store.forget("m"),
            lambda: store.create([lease]),
            lambda: store._do(statements.copy, newest),
        ]
        faults = self.run(_together([calls[which], calls[0], lambda: store._do(lambda _: 1 / 0)]))
        assert not isinstance(faults, StoreError)
        assert all(isinstance(fault, StoreError) and "ZeroDivisionError" in str(fault) for fault in faults)

    def teardown(self) -> None:
        for store in self.left_behind:
            self.runner.run(store.close())
        super().teardown()
        shutil.rmtree(self.folder)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("machine", [MemoryStores, SqliteStores])
def test_a_store_does_what_the_model_does(machine: type[Stores]) -> None:
    assert settings.default is not None
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=max(200, settings.default.max_examples),
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
            database=None,
        ),
    )
