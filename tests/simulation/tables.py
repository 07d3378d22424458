"""Worlds of tables: writes, shards that roll over, a listing that lags, faults, and a worker that comes and goes.

Every stop is clean and the store never fails, so each record is settled exactly once: more than a world with crashes
could ask for.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from esm.clock import Millis
from esm.destinations.destination import Destination
from esm.destinations.memory import MemoryDestination
from esm.errors import SourceError
from esm.handlers.invoke import FunctionInvoker
from esm.handlers.invoker import Invoker
from esm.mapping.settings import EventSourceMapping
from esm.records.dynamodb import DynamoDBRecord
from esm.runtime.ports import OnAbandoned, Ports
from esm.runtime.real import dynamodb_source, function_arn
from esm.runtime.worker import Worker
from esm.sources.dynamodb import SECOND
from esm.sources.polling import LATEST_WITHIN_MS
from esm.sources.reader import StreamSource
from esm.stores.memory import MemoryStore
from esm.telemetry import facts
from esm.testing.dynamodb import SimulatedDynamoDB
from esm.testing.faults import Faults, Gate
from esm.testing.faulty import FaultyDynamoDBStreams
from esm.testing.journal import Journal
from esm.testing.loop import SimClock
from esm.testing.process import Process
from esm.testing.run import run
from esm.testing.tables import SimulatedTable

__all__ = ["ARN", "Table", "play"]

ARN = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"


PATIENCE_S = 400


@dataclass
class Table:
    """One world.

    `written`: its records and when; `items`: of which item each is; `settled`: sequence numbers, in the order of their
    success.
    """

    rng: random.Random
    clock: SimClock
    dynamodb: SimulatedDynamoDB
    table: SimulatedTable
    settings: dict[str, Any]
    faults: Faults
    store: MemoryStore = field(default_factory=MemoryStore)
    journal: Journal = field(default_factory=Journal)
    written: list[tuple[Millis, DynamoDBRecord]] = field(default_factory=list)
    items: dict[str, str] = field(default_factory=dict)
    settled: list[str] = field(default_factory=list)
    told: list[facts.Fact] = field(default_factory=list)

    @classmethod
    def drawn(cls, seed: int) -> Table:
        """A world of this seed."""
        rng, clock = random.Random(seed), SimClock()
        dynamodb = SimulatedDynamoDB(
            clock, seed=seed, page_size=rng.choice([1, 2, 100]), listing_lag=rng.choice([0, 3_000, 45_000])
        )
        table = dynamodb.create_table(
            ARN, keys=("pk", "sk"), shards=rng.randint(1, 3), rollover=rng.randrange(20_000, 120_000)
        )
        settings = {
            "starting_position": rng.choice(["TRIM_HORIZON", "LATEST"]),
            "batch_size": rng.choice([1, 3, 100]),
            "parallelization_factor": rng.choice([1, 3]),
        }
        until = clock.now() + 300_000
        faults = Faults.drawn(rng, since=clock.now(), until=until).without("kill").without("pause")
        return cls(rng, clock, dynamodb, table, settings, faults)

    def write(self) -> None:
        """An item is put, changed or deleted; its attributes come in any order."""
        rng = self.rng
        item = [("pk", {"S": rng.choice("ab")}), ("sk", {"N": str(rng.randrange(4))})]
        rng.shuffle(item)
        if rng.random() < 0.2:
            record = self.table.delete_item(dict(item), expired=rng.random() < 0.5)
        else:
            record = self.table.put_item(dict([*item, ("n", {"N": str(len(self.written))})]))
        if record is not None:
            self.written.append((self.clock.now(), record))
            self.items[record.sequence_number] = repr(sorted(item, key=lambda pair: pair[0]))

    async def live(self, name: str, over: Callable[[Worker], Awaitable[None]]) -> None:
        """A worker until `over` returns, and its clean stop."""
        gate = Gate(Process(name, asyncio.get_running_loop()), self.faults, self.rng, self.journal, self.clock)  # type: ignore[arg-type]  # a SimLoop
        mapping = EventSourceMapping(event_source_arn=ARN, function=self.handle, **self.settings)
        worker = Worker([mapping], store=self.store, ports=self._ports(gate), drain_timeout=300.0, observers=[self])
        async with worker:
            await over(worker)
        assert worker.clean

    async def handle(self, event: dict[str, Any], _context: Any) -> None:
        """Succeeds or fails, and spoils what it was given."""
        numbers = []
        for item in event["Records"]:
            numbers.append(item["dynamodb"]["SequenceNumber"])
            assert len(item["dynamodb"].pop("Keys")) == 2
        await asyncio.sleep(self.rng.uniform(0, 1))
        if self.rng.random() < 0.2:
            raise ValueError
        self.settled += numbers

    def notice(self, fact: facts.Fact) -> None:
        """Keeps what the worker tells."""
        self.told.append(fact)

    def _ports(self, gate: Gate) -> Ports:
        def open_source(mapping: EventSourceMapping) -> StreamSource:
            return dynamodb_source(FaultyDynamoDBStreams(self.dynamodb, gate), mapping, self.clock)

        async def open_destination(_text: str) -> Destination:
            return MemoryDestination(payload=False)

        def open_invoker(mapping: EventSourceMapping, on_abandoned: OnAbandoned) -> Invoker:
            arn = function_arn(mapping)
            return FunctionInvoker(mapping.function, arn=arn, clock=self.clock, on_abandoned=on_abandoned)

        async def close() -> None:
            return None

        return Ports(
            clock=self.clock,
            rng=self.rng,
            open_source=open_source,
            open_destination=open_destination,
            open_invoker=open_invoker,
            close=close,
        )

    @property
    def latest(self) -> Millis:
        """When `LATEST` was; 0 if it was never asked for."""
        starts = [lease.checkpoint.start for lease in self.store.rows.values()]
        return min((start.at for start in starts if start.type == "LATEST" and start.at is not None), default=0)

    @property
    def complete(self) -> bool:
        """Whether all is settled. What came before the first iterator of `LATEST` was there may be or not."""
        since = self.latest + LATEST_WITHIN_MS
        return {record.sequence_number for at, record in self.written if at >= since} <= set(self.settled)

    def check(self) -> None:
        """Nothing is lost, nothing comes twice, and each item's changes came in order."""
        assert len(set(self.settled)) == len(self.settled), "settled twice"
        assert self.complete, "lost"
        # A shard that the list did not show when LATEST was asked for is read from its beginning.
        since = self.latest - SECOND - self.dynamodb.listing_lag
        early = {record.sequence_number for at, record in self.written if at < since}
        assert not early & set(self.settled), "from before the start"
        by_item: dict[str, list[int]] = defaultdict(list)
        for number in self.settled:
            by_item[self.items[number]].append(int(number))
        assert all(numbers == sorted(numbers) for numbers in by_item.values()), "out of order"


def play(seed: int) -> Table:
    """The world of a seed, played and checked."""
    return run(_play(seed), seed=seed, until=7_200)


async def _play(seed: int) -> Table:
    world = Table.drawn(seed)
    rng = world.rng

    async def write() -> None:
        for _ in range(150):
            world.write()
            await asyncio.sleep(rng.choice([0.0, 0.1, 5.0]))

    async def a_while(_worker: Worker) -> None:
        await asyncio.sleep(rng.choice([0.5, 5.0, 60.0]))

    async def to_the_end(worker: Worker) -> None:
        await _until(lambda: world.complete)
        world.table.disable()
        await _until(lambda: [shard.state for shard in worker.status().mappings[0].shards] == ["ended"] * len(shards))

    shards = world.table.stream.shards
    writer = asyncio.create_task(write())
    life = 0
    while not writer.done():
        await _started(world, f"life {life}", a_while)
        await asyncio.sleep(rng.choice([0.0, 3.0, 100.0]))
        life += 1
    await writer
    for _ in range(10):
        if await _started(world, "the last", to_the_end):
            break
        await asyncio.sleep(60)
    world.check()
    return world


async def _started(world: Table, name: str, over: Callable[[Worker], Awaitable[None]]) -> bool:
    """Whether there was a life; one that could not begin, because nothing answered, is none."""
    try:
        await world.live(name, over)
    except SourceError:
        return False
    return True


async def _until(condition: Callable[[], bool]) -> None:
    """Looks every second, for longer than any fault lasts."""
    for _ in range(PATIENCE_S):
        if condition():
            return
        await asyncio.sleep(1.0)
    raise AssertionError("it does not come to its end")
