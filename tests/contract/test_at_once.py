"""Which stores write a position without a wait, and what is left to those who await it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position
from esm.stores.memory import MemoryStore
from esm.stores.sqlite import SqliteStore
from esm.stores.store import at_once

pytestmark = pytest.mark.anyio

LEASE = Lease(LeaseKey("m", "s", "shardId-0"), Checkpoint(Position.trim_horizon()))
FURTHER = Checkpoint(Position.trim_horizon(), (LanePositions(("7",)),))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Audited(SqliteStore):
    """With a `checkpoint` of its own."""

    async def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> Lease:
        return await super().checkpoint(lease, checkpoint)


class Named(SqliteStore):
    """With nothing of its own that has to do with checkpoints."""


class Prompt(Audited):
    """With a prompt one beside a `checkpoint` that somebody has given it above."""

    def checkpoint_at_once(self, lease: Lease, checkpoint: Checkpoint) -> Lease | None:
        return super().checkpoint_at_once(lease, checkpoint)


class Around:
    """Looks like the store that it is given."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> Lease:
        return await self._store.checkpoint(lease, checkpoint)


@pytest.mark.parametrize(("kind", "writes"), [(SqliteStore, True), (Named, True), (Audited, False), (Prompt, True)])
async def test_whoever_gives_a_store_another_checkpoint_has_that_one_called(
    tmp_path: Path, kind: type[SqliteStore], writes: bool
) -> None:
    store = kind(tmp_path / "esm.db")
    await store.open()
    await store.create([LEASE])
    lease = await store.take(LEASE, "worker-1")
    written = at_once(store)(lease, FURTHER)
    assert (written is not None) is writes
    assert ((await store.load("m"))[0].checkpoint == FURTHER) is writes
    if written is not None:
        assert (written.checkpoint, written.owner, written.epoch) == (FURTHER, "worker-1", lease.epoch)
    around: Any = Around(store)
    assert at_once(around)(lease, FURTHER) is None
    assert at_once(MemoryStore())(lease, FURTHER) is None
    await store.close()
    assert at_once(store)(lease, FURTHER) is None, "it says nothing: whoever awaits it is told that it is closed"


async def test_what_is_refused_is_left_to_those_who_await_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "esm.db")
    await store.open()
    await store.create([LEASE])
    lease = await store.take(LEASE, "worker-1")
    assert store.checkpoint_at_once(await store.take(lease, "worker-2"), FURTHER) is not None
    assert store.checkpoint_at_once(lease, Checkpoint(Position.trim_horizon())) is None
    await store.close()


def test_another_loop_has_to_await_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "esm.db")

    async def begin() -> Lease:
        await store.open()
        await store.create([LEASE])
        return await store.take(LEASE, "worker-1")

    async def elsewhere(lease: Lease) -> Lease | None:
        return store.checkpoint_at_once(lease, FURTHER)

    with asyncio.Runner() as runner:
        lease = runner.run(begin())
        with asyncio.Runner() as another:
            assert another.run(elsewhere(lease)) is None
        runner.run(store.close())
