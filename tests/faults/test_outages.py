"""Nothing answers for an hour, in one way or another: few requests, few log lines, no memory, and then all of it."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc

import pytest

from esm.errors import SourceDeniedError, SourceError, SourceNotFoundError, SourceThrottledError
from esm.telemetry import facts
from esm.testing.run import run
from tests.faults.world import HOUR, MINUTE, World

READS = ("GetRecords", "GetShardIterator")
LISTS = ("ListShards", "DescribeStreamSummary")

OUTAGES = [
    SourceError("EndpointConnectionError", "refused"),
    SourceError("InternalFailure", "500"),
    SourceError("UnparsableAnswer", "the answer is no JSON"),
    SourceThrottledError("ProvisionedThroughputExceededException", "slower"),
    SourceDeniedError("ExpiredTokenException", "expired"),
    SourceDeniedError("AccessDeniedException", "not allowed"),
    SourceNotFoundError("ResourceNotFoundException", "no such stream"),
]


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: error.code)
def test_an_hour_without_the_stream(error: SourceError) -> None:
    async def main() -> None:
        world = World(shards=3)
        world.put("before")
        async with world.worker():
            await world.until(lambda: world.delivered == ["before"])
            world.api.fault = lambda _call: error
            world.put("a", "b", "c")
            await asyncio.sleep(HOUR / 1000)
            requests = world.api.count(world.clock.now() - 50 * MINUTE, *READS)
            listings = world.api.count(world.clock.now() - 50 * MINUTE, *LISTS)
            world.api.fault = lambda _call: None
            world.put("d")
            assert await world.until(lambda: len(world.delivered) == 5) < 61
        assert world.delivered == ["before", "a", "b", "c", "d"]
        assert requests <= 3 * 50 * 60 / 27, "one a shard in 30 seconds, give or take the jitter"
        assert listings <= 2 * 50 * 60 / 22, "one listing in 30 seconds, give or take the jitter"
        assert len(world.log.getvalue().splitlines()) <= 3 * 65, "one line a shard and minute"
        assert not world.of(facts.ShardEnded)
        assert not world.of(facts.PositionTrimmed)
        assert {fact.epoch for fact in world.of(facts.LeaseTaken)} == {1}

    run(main())


def test_an_outage_costs_no_memory() -> None:
    async def main() -> int:
        world = World(shards=3, quiet=True)
        async with world.worker():
            world.api.fault = lambda _call: SourceError("InternalFailure", "500")
            await asyncio.sleep(HOUR / 1000)
            early = _memory(world)
            await asyncio.sleep(23 * HOUR / 1000)
            return _memory(world) - early

    tracemalloc.start()
    try:
        assert run(main()) < 64 * 1024
    finally:
        tracemalloc.stop()


def _memory(world: World) -> int:
    """Bytes in use, without what the world itself keeps."""
    world.api.calls.clear()
    world.log.truncate(0)
    world.log.seek(0)
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def test_listing_is_throttled_for_an_hour_and_reading_goes_on() -> None:
    async def main() -> None:
        world = World(shards=2)
        async with world.worker() as worker:
            limited = SourceThrottledError("LimitExceededException", "slower")
            world.api.fault = lambda call: limited if call in LISTS else None
            for number in range(60):
                world.put(str(number), key=f"key {number % 2}")
                await asyncio.sleep(60)
            assert len(world.delivered) == 60
            assert [shard.state for shard in worker.status().mappings[0].shards] == ["reading", "reading"]
            world.stream.split(0)
            world.put(*"abcd")
            await asyncio.sleep(60)
            world.api.fault = lambda _call: None
            await world.until(lambda: len(world.delivered) == 64)

    run(main())


def test_an_hour_without_the_store_hands_out_one_batch_a_lane() -> None:
    async def main() -> None:
        world = World()
        async with world.worker(batch_size=2):
            world.store.down = True
            world.put(*"abcdefgh")
            await asyncio.sleep(HOUR / 1000)
            assert world.delivered == ["a", "b"]
            lines = len(world.log.getvalue().splitlines())
            world.store.down = False
            assert await world.until(lambda: len(world.delivered) == 8) < 61
        assert world.delivered == [*"abcdefgh"]
        assert lines <= 65

    run(main())


def test_a_source_that_comes_and_goes_every_two_seconds() -> None:
    async def main() -> None:
        world = World(shards=2)
        away = SourceError("EndpointConnectionError", "refused")
        world.api.fault = lambda _call: away if world.clock.now() // 2000 % 2 else None
        async with world.worker():
            for number in range(200):
                world.put(str(number), key=f"key {number % 5}")
                await asyncio.sleep(3)
            await world.until(lambda: len(world.delivered) == 200)
        assert sorted(map(int, world.delivered)) == list(range(200))
        assert [fact.epoch for fact in world.of(facts.LeaseTaken)] == [1, 1]

    run(main())
