"""A whole worker over HTTP: streams that are resharded while it reads them, and clean stops under load."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from base64 import b64decode
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Self

import pytest

import esm
from esm.telemetry import facts
from tests.servers.accounts import Account, account_on, mapping_of

pytestmark = [pytest.mark.anyio, pytest.mark.service]

STOPS = int(os.environ.get("ESM_STOPS", "20"))
"""How many clean stops are played; more on demand."""

KEYS = [f"key-{i}" for i in range(24)]


@dataclass(frozen=True)
class Delivery:
    """One record, handed to the function: `began` and `ended` count deliveries and their ends."""

    shard: str
    key: str
    data: int
    began: int


class Ledger:
    """What the function was given, over all lives of a worker. Data are numbers, in the order of the puts."""

    def __init__(self, handler_s: Callable[[], float] = lambda: 0.0) -> None:
        self.deliveries: list[Delivery] = []
        self.facts: list[tuple[int, facts.Fact]] = []
        self.put = 0
        self.since_start = 0
        self._handler_s = handler_s
        self._lock = threading.Lock()

    async def handle_async(self, event: dict[str, Any], _context: Any) -> None:
        self._keep(event)
        await asyncio.sleep(self._handler_s())

    def handle_in_thread(self, event: dict[str, Any], _context: Any) -> None:
        self._keep(event)
        time.sleep(self._handler_s())

    def _keep(self, event: dict[str, Any]) -> None:
        with self._lock:
            self.since_start += 1
            for record in event["Records"]:
                kinesis = record["kinesis"]
                data = int(b64decode(kinesis["data"]))
                shard = record["eventID"].partition(":")[0]
                self.deliveries.append(Delivery(shard, kinesis["partitionKey"], data, len(self.deliveries)))

    def notice(self, fact: facts.Fact) -> None:
        self.facts.append((len(self.deliveries), fact))

    async def feed(self, account: Account, stream: str, count: int, rng: Random) -> None:
        """Puts more records."""
        first, self.put = self.put, self.put + count
        await account.fill(stream, [(rng.choice(KEYS), b"%d" % (first + i)) for i in range(count)])

    async def grow(self, count: int) -> None:
        """Waits until so many more were put."""
        more = self.put + count
        await until(lambda: self.put >= more, 60)

    async def complete(self) -> None:
        """Waits until all that was put was delivered."""
        await until(lambda: len(self.deliveries) >= self.put, 30 + STOPS)

    def check(self) -> None:
        """Every record once, each key in order."""
        assert sorted(one.data for one in self.deliveries) == list(range(self.put))
        by_key = defaultdict(list)
        for one in self.deliveries:
            by_key[one.key].append(one.data)
        assert all(data == sorted(data) for data in by_key.values())

    def check_lineage(self, parents: dict[str, tuple[str, ...]]) -> None:
        """No record of a child was delivered before the end of each parent was stored."""
        ended = {fact.shard: at for at, fact in self.facts if isinstance(fact, facts.ShardEnded)}
        for one in self.deliveries:
            for parent in parents[one.shard]:
                assert ended[parent] <= one.began
        assert {one.shard for one in self.deliveries} == set(parents)


@asynccontextmanager
async def in_background(step: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Does it again and again meanwhile, the last time to its end."""
    over = False

    async def repeat() -> None:
        while not over:
            await step()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(repeat())
        try:
            yield
        finally:
            over = True


class Lives:
    """A worker that is stopped, and followed by another."""

    def __init__(self, make: Callable[[], esm.Worker]) -> None:
        self._make = make

    async def __aenter__(self) -> Self:
        self._running = await self._make().__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._running.__aexit__(None, None, None)
        assert self._running.clean

    async def next(self) -> None:
        """One ends, the next begins."""
        await self.__aexit__()
        await self.__aenter__()


async def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # the function may run in a thread
            await asyncio.sleep(0.02)


# -- resharding --------------------------------------------------------------------------------------------------------

FIRST, LEFT, RIGHT, LEFT_LEFT, LEFT_RIGHT, MERGED = (f"shardId-{i:012}" for i in range(6))
PARENTS = {
    FIRST: (),
    LEFT: (FIRST,),
    RIGHT: (FIRST,),
    LEFT_LEFT: (LEFT,),
    LEFT_RIGHT: (LEFT,),
    MERGED: (LEFT_RIGHT, RIGHT),
}


@pytest.mark.parametrize(("restarts", "factor"), [(False, 1), (True, 4)])
async def test_a_stream_is_split_and_merged_while_it_is_read(
    kinesis_local: str, account: str, tmp_path: Path, *, restarts: bool, factor: int
) -> None:
    rng, ledger = Random(7), Ledger(lambda: 0.005)
    async with account_on(kinesis_local, account) as mine:
        stream = await mine.streams.create(shards=1)
        mapping = mapping_of(stream, ledger.handle_async, batch_size=10, parallelization_factor=factor)

        def worker() -> esm.Worker:
            store = f"sqlite:///{tmp_path}/esm.db"
            return esm.Worker([mapping], store=store, observers=[ledger], **mine.worker_settings)

        async def feed() -> None:
            # All of a key's records reach the stream in order: one put at a time.
            async with turn:
                await ledger.feed(mine, stream, 10, rng)
            await asyncio.sleep(0.1)

        turn = asyncio.Lock()
        async with Lives(worker) as lives:
            async with in_background(feed):
                await asyncio.sleep(0.5)
                for change in (
                    mine.streams.split(stream, FIRST),
                    mine.streams.split(stream, LEFT),
                    mine.streams.merge(stream, LEFT_RIGHT, RIGHT),
                ):
                    async with turn:
                        await change
                    await ledger.grow(70)
                    if restarts:
                        await lives.next()
            await ledger.complete()
        async with worker() as last:
            polled = len(ledger.facts)
            await until(lambda: {f.shard for _, f in ledger.facts[polled:] if isinstance(f, facts.Polled)} >= {MERGED})
            ended = {shard.shard_id for shard in last.status().mappings[0].shards if shard.state == "ended"}
    assert ended == set(PARENTS) - {LEFT_LEFT, MERGED}
    assert ledger.put >= 200
    ledger.check()
    ledger.check_lineage(PARENTS)


# -- clean stops -------------------------------------------------------------------------------------------------------

DRAIN_S = 1.0


@pytest.mark.timeout(90 + 3 * STOPS)
async def test_clean_stops_under_load_lose_and_repeat_nothing(
    ministack: str, account: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """A stop ends within the drain and two seconds; what was out is settled, and nothing comes again."""
    rng = Random(11)
    ledger, lasted = Ledger(lambda: rng.uniform(0.01, 0.04)), []
    async with account_on(ministack, account) as mine:
        stream = await mine.streams.create(shards=2)

        async def feed() -> None:
            await ledger.feed(mine, stream, 30, rng)
            await asyncio.sleep(0.02)

        def worker(number: int) -> esm.Worker:
            handler = ledger.handle_async if number % 2 else ledger.handle_in_thread
            mapping = mapping_of(stream, handler, batch_size=5, parallelization_factor=2)
            store = f"sqlite:///{tmp_path}/esm.db"
            return esm.Worker([mapping], store=store, drain_timeout=DRAIN_S, observers=[ledger], **mine.worker_settings)

        in_mid_flight = 0
        async with in_background(feed):
            for number in range(STOPS):
                ledger.since_start = 0
                async with worker(number) as running:
                    await until(lambda: ledger.since_start > 0)
                    await asyncio.sleep(rng.uniform(0, 0.2))
                    lanes = [lane for shard in running.status().mappings[0].shards for lane in shard.lanes]
                    in_mid_flight += any(lane.state in ("invoking", "storing") for lane in lanes)
                    begun = time.perf_counter()
                lasted.append(time.perf_counter() - begun)
                assert running.clean
        async with worker(STOPS):
            await ledger.complete()
        async with worker(STOPS + 1):
            since = len(ledger.facts)
            await until(lambda: len({f.shard for _, f in ledger.facts[since:] if isinstance(f, facts.Polled)}) == 2)
    record_property("longest stop in seconds", max(lasted))
    assert max(lasted) < DRAIN_S + 2
    assert in_mid_flight > STOPS / 2
    ledger.check()
