"""Faults and the gate: each kind does what its name says, the dead have no effect, and mixes follow their seed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import fields
from typing import Any

import pytest
from msgspec.structs import replace

from esm.destinations.destination import FailureRecord
from esm.errors import (
    DestinationError,
    IteratorExpiredError,
    LeaseLostError,
    SourceDeniedError,
    SourceError,
    SourceThrottledError,
    StoreError,
)
from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position
from esm.testing.faults import Faults, Gate, Outage
from esm.testing.faulty import FaultyDestination, FaultyKinesis, FaultyStore
from esm.testing.journal import (
    CheckpointAccepted,
    DiscardReceived,
    FaultInjected,
    Journal,
    LeaseChanged,
    WorkerKilled,
    WorkerPaused,
)
from esm.testing.kinesis import SimulatedKinesis
from esm.testing.loop import EPOCH, SimClock, SimLoop
from esm.testing.process import Process
from esm.testing.run import run

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
KEY = LeaseKey("mapping", "stream", "shardId-000000000000")
START = Checkpoint(start=Position.trim_horizon())


class Store:
    """One row, and how often it was written."""

    def __init__(self) -> None:
        self.row = Lease(KEY, START)
        self.writes = 0
        self.closed = False

    async def open(self) -> None:
        return None

    async def close(self) -> None:
        self.closed = True

    async def load(self, mapping: str) -> list[Lease]:
        return [self.row]

    async def create(self, leases: Any) -> None:
        self.writes += 1

    async def take(self, lease: Lease, owner: str) -> Lease:
        if lease.epoch != self.row.epoch:
            raise LeaseLostError("taken by another")
        return self._write(replace(lease, owner=owner, epoch=lease.epoch + 1))

    async def renew(self, lease: Lease) -> Lease:
        return self._write(replace(lease, beat=lease.beat + 1))

    async def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> Lease:
        return self._write(replace(lease, checkpoint=checkpoint))

    async def release(self, lease: Lease) -> None:
        self._write(replace(lease, owner=None, epoch=lease.epoch + 1))

    async def remove(self, leases: Any) -> None:
        self.writes += 1

    async def forget(self, mapping: str) -> None:
        self.writes += 1

    def _write(self, lease: Lease) -> Lease:
        self.writes += 1
        self.row = lease
        return lease


class Destination:
    """Counts what it gets."""

    def __init__(self) -> None:
        self.sent = 0
        self.closed = False

    async def send(self, record: FailureRecord) -> None:
        self.sent += 1

    async def close(self) -> None:
        self.closed = True


class World:
    """One worker's ports, and the things behind them."""

    def __init__(self, faults: Faults, seed: int) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        self.loop = loop
        self.clock = SimClock()
        self.journal = Journal()
        self.process = Process("worker", loop)
        self.gate = Gate(self.process, faults, random.Random(seed), self.journal, self.clock)
        self.kinesis = SimulatedKinesis(self.clock)
        self.stream = self.kinesis.create_stream(ARN)
        self.rows = Store()
        self.letters = Destination()
        self.source = FaultyKinesis(self.kinesis, self.gate)
        self.store = FaultyStore(self.rows, self.gate)
        self.destination = FaultyDestination(self.letters, self.gate)

    async def read(self, limit: int = 100) -> list[str]:
        iterator = await self.kinesis.get_shard_iterator(ARN, "shardId-000000000000", "TRIM_HORIZON")
        page, _ = await self.source.get_records(ARN, iterator, limit)
        assert page.next_shard_iterator
        return [record.sequence_number for record in page.records]

    async def send(self) -> None:
        await self.destination.send(FailureRecord({"a": 1}, {}, "mapping", "shardId-000000000000", EPOCH))


def _in_world(check: Callable[[World], Awaitable[None]], **faults: Any) -> None:
    async def main() -> None:
        await check(World(Faults(**faults), seed=3))

    run(main(), seed=3)


def test_without_faults_everything_passes_and_is_written_down() -> None:
    async def check(world: World) -> None:
        world.stream.put(b"x", "k")
        assert len(await world.read()) == 1
        assert (await world.source.describe_stream_summary(ARN)).stream_status == "ACTIVE"
        assert len((await world.source.list_shards(ARN, None)).shards) == 1
        assert await world.source.get_shard_iterator(ARN, "shardId-000000000000", "LATEST")
        await world.store.open()
        (lease,) = await world.store.load("mapping")
        await world.store.create([lease])
        lease = await world.store.take(lease, "me")
        lease = await world.store.renew(lease)
        settled = Checkpoint(Position.trim_horizon(), (LanePositions(("7",)),))
        lease = await world.store.checkpoint(lease, settled)
        await world.store.release(lease)
        await world.store.remove([lease])
        await world.send()
        await world.store.close()
        await world.destination.close()
        assert not world.rows.closed
        assert not world.letters.closed
        changes = [(entry.verb, entry.owner, entry.epoch) for entry in world.journal.of(LeaseChanged)]
        assert changes == [("create", None, 0), ("take", "me", 1), ("release", None, 2), ("remove", "me", 1)]
        (written,) = world.journal.of(CheckpointAccepted)
        assert (written.owner, written.epoch, written.checkpoint) == ("me", 1, settled)
        assert [entry.document for entry in world.journal.of(DiscardReceived)] == [{"a": 1}]
        assert not list(world.journal.of(FaultInjected))

    _in_world(check)


@pytest.mark.parametrize(
    ("kind", "source", "store", "destination"),
    [
        ("throttle", SourceThrottledError, StoreError, DestinationError),
        ("internal_failure", SourceError, StoreError, DestinationError),
        ("lost_request", SourceError, StoreError, DestinationError),
        ("expired_token", SourceDeniedError, StoreError, DestinationError),
    ],
)
def test_a_fault_before_the_effect(
    kind: str, source: type[Exception], store: type[Exception], destination: type[Exception]
) -> None:
    async def check(world: World) -> None:
        with pytest.raises(source) as raised:
            await world.read()
        assert raised.type is source
        with pytest.raises(store) as raised:
            await world.store.renew(world.rows.row)
        assert raised.type is store
        with pytest.raises(destination):
            await world.send()
        assert world.rows.writes == world.letters.sent == 0
        assert {entry.effect for entry in world.journal.of(FaultInjected)} == {False}

    _in_world(check, **{kind: 1.0})


@pytest.mark.parametrize("kind", ["lost_reply", "black_hole"])
def test_a_fault_after_the_effect(kind: str) -> None:
    async def check(world: World) -> None:
        with pytest.raises(StoreError) as raised:
            await world.store.checkpoint(world.rows.row, START)
        assert raised.type is StoreError
        with pytest.raises(DestinationError):
            await world.send()
        with pytest.raises(SourceError):
            await world.read()
        assert world.rows.writes == world.letters.sent == 1
        assert len(list(world.journal.of(CheckpointAccepted))) == 1
        assert {entry.effect for entry in world.journal.of(FaultInjected)} == {True}

    _in_world(check, **{kind: 1.0})


def test_what_the_store_itself_refuses_passes_through() -> None:
    async def check(world: World) -> None:
        with pytest.raises(LeaseLostError):
            await world.store.take(Lease(KEY, START, epoch=9), "me")
        assert not list(world.journal.of(LeaseChanged))

    _in_world(check)


def test_a_slow_reply_comes_late() -> None:
    async def check(world: World) -> None:
        begun = world.loop.time()
        await world.store.renew(world.rows.row)
        assert 1.0 <= world.loop.time() - begun <= 15.1

    _in_world(check, slow_reply=1.0)


def test_an_expired_token_stays_expired_for_a_while() -> None:
    async def check(world: World) -> None:
        world.gate._denied_until = world.clock.now() + 60_000
        for _ in range(5):
            with pytest.raises(SourceDeniedError):
                await world.read()
        await asyncio.sleep(60)
        await world.read()

    _in_world(check)


def test_an_iterator_may_be_said_to_have_expired() -> None:
    async def check(world: World) -> None:
        with pytest.raises(IteratorExpiredError):
            await world.read()

    _in_world(check, expired_iterator=1.0)


def test_short_reads_and_empty_pages_lose_nothing() -> None:
    async def check(world: World) -> None:
        put = [world.stream.put(b"x", "k")[1].sequence_number for _ in range(100)]
        iterator: str | None = await world.source.get_shard_iterator(ARN, "shardId-000000000000", "TRIM_HORIZON")
        read: list[str] = []
        pages = 0
        while len(read) < len(put):
            assert iterator
            page, _ = await world.source.get_records(ARN, iterator, 100)
            read += [record.sequence_number for record in page.records]
            iterator = page.next_shard_iterator
            pages += 1
        assert read == put
        assert pages > 3

    _in_world(check, short_read=1.0, empty_page=0.5)


def test_an_outage_has_a_beginning_and_an_end_and_is_of_one_port() -> None:
    outage = Outage(port="store", since=EPOCH + 60_000, until=EPOCH + 120_000)

    async def check(world: World) -> None:
        await world.store.renew(world.rows.row)
        await asyncio.sleep(60)
        with pytest.raises(StoreError):
            await world.store.renew(world.rows.row)
        await world.read()
        await asyncio.sleep(60)
        await world.store.renew(world.rows.row)
        assert world.rows.writes == 2

    _in_world(check, outages=(outage,))


def test_faults_end_at_their_time() -> None:
    async def check(world: World) -> None:
        with pytest.raises(SourceError):
            await world.read()
        await asyncio.sleep(10)
        for _ in range(20):
            await world.read()

    _in_world(check, throttle=1.0, expired_token=1.0, kill=1.0, until=EPOCH + 10_000)


def test_a_crash_comes_right_after_an_effect_and_what_was_to_come_does_not() -> None:
    told: list[str] = []

    async def worker(world: World) -> None:
        try:
            while True:
                await world.store.renew(world.rows.row)
                told.append("renewed")
        finally:
            told.append("finally")
            await world.store.release(world.rows.row)

    async def check(world: World) -> None:
        world.process.start(worker(world))
        await world.process.wait()
        await asyncio.sleep(1_000)
        (killed,) = world.journal.of(WorkerKilled)
        assert (killed.kind, killed.nth) == ("renew", world.rows.writes)
        assert told == ["renewed"] * (world.rows.writes - 1)
        told.clear()
        world.journal.close()
        left.append(world.rows)

    left: list[Store] = []
    _in_world(check, kill=15.0)
    # Cleared away, it ran its `finally`; the gate let nothing of that through.
    assert told == ["finally"]
    assert left[0].row.epoch == 0


def test_rare_calls_have_more_than_their_share_of_crashes() -> None:
    killed: dict[str, int] = {"renew": 0, "release": 0}

    async def check(world: World) -> None:
        for _ in range(20):
            await asyncio.wait_for(world.store.renew(world.rows.row), 100)
        await asyncio.wait_for(world.store.release(world.rows.row), 100)

    for seed in range(300):

        async def main(seed: int = seed) -> None:
            world = World(Faults(kill=1.0), seed)
            world.process.start(check(world))
            await world.process.wait()
            for entry in world.journal.of(WorkerKilled):
                killed[entry.kind] += 1

        run(main(), seed=seed)
    assert killed["release"] > 3
    assert killed["renew"] > 50


def test_a_pause_holds_everything_up() -> None:
    async def worker(world: World) -> None:
        await world.store.renew(world.rows.row)
        await asyncio.sleep(0.001)

    async def check(world: World) -> None:
        world.process.start(worker(world))
        await world.process.wait()
        (paused,) = world.journal.of(WorkerPaused)
        assert world.loop.time() * 1000 >= paused.duration_ms
        assert not world.process.killed

    _in_world(check, pause=1.0)


def test_killing_by_hand_is_written_down_once() -> None:
    async def check(world: World) -> None:
        world.process.start(asyncio.sleep(100))
        world.gate.kill()
        world.gate.kill()
        world.gate.pause(1_000)
        assert [(entry.kind, entry.nth) for entry in world.journal.of(WorkerKilled)] == [("", 0)]
        assert not list(world.journal.of(WorkerPaused))

    _in_world(check)


def test_mixes_are_drawn_by_seed_and_differ() -> None:
    def drawn(seed: int) -> Faults:
        return Faults.drawn(random.Random(seed), since=EPOCH, until=EPOCH + 360_000)

    assert drawn(1) == drawn(1)
    mixes = [drawn(seed) for seed in range(200)]
    seen = {kind for mix in mixes for kind in mix.kinds()}
    every = {f.name for f in fields(Faults)} - {"latency", "deadline", "until"}
    assert seen == every
    assert all(2 <= len(mix.kinds()) <= len(every) for mix in mixes[:20])


def test_a_mix_can_be_made_smaller() -> None:
    mix = Faults(throttle=0.1, kill=1.0, outages=(Outage(port="store", since=0, until=1),))
    assert mix.kinds() == ["throttle", "kill", "outages"]
    assert mix.without("kill").without("outages").kinds() == ["throttle"]
