"""Streams that go, come back as others, lose their shards to age, and are resharded without end."""

from __future__ import annotations

import asyncio
import random
from base64 import b64decode, b64encode
from typing import Any

from esm.mapping.settings import EventSourceMapping
from esm.telemetry import facts
from esm.testing import Merge, Put, Split, simulate
from esm.testing.events import StreamEvent
from esm.testing.run import run
from tests.faults.world import ARN, HOUR, MINUTE, World

MEBIBYTE = 1 << 20


def test_a_stream_made_anew_under_its_name_is_read_from_its_start_and_the_gap_is_told() -> None:
    async def main() -> None:
        world = World(shards=2)
        world.put("1")
        world.put("2", key="key 1")
        async with world.worker() as worker:
            await world.until(lambda: len(world.delivered) == 2)
            shards = worker.status().mappings[0].shards
            positions = {shard.shard_id: shard.position or "TRIM_HORIZON" for shard in shards}
            world.kinesis.delete_stream(ARN)
            await asyncio.sleep(10 * MINUTE / 1000)
            assert not world.of(facts.ShardEnded)
            world.stream = world.kinesis.create_stream(ARN, 1)
            world.put(*"abc")
            await world.until(lambda: len(world.delivered) == 5)
            (shard,) = worker.status().mappings[0].shards
            assert shard.state == "reading"
            leases = await world.store.load(worker.mappings[0].uuid)
            assert len({lease.key.stream for lease in leases}) == 2
        assert world.delivered[2:] == [*"abc"]
        gaps = {fact.shard: fact.after for fact in world.of(facts.PositionTrimmed)}
        assert gaps == positions
        assert all(fact.resumed_at is None for fact in world.of(facts.PositionTrimmed))
        assert [fact.epoch for fact in world.of(facts.LeaseTaken)] == [1, 1, 1]

    run(main())


def test_a_worker_that_comes_back_to_another_stream_of_the_name_reads_it_from_its_start() -> None:
    async def main() -> None:
        world = World()
        world.put("old")
        async with world.worker():
            await world.until(lambda: world.delivered == ["old"])
        world.kinesis.delete_stream(ARN)
        await asyncio.sleep(60)
        world.stream = world.kinesis.create_stream(ARN, 1)
        world.put("new")
        async with world.worker():
            await world.until(lambda: world.delivered == ["old", "new"])

    run(main())


def test_a_shard_that_aged_out_while_nobody_read_it_ends_with_its_gap_and_its_children_are_read() -> None:
    async def main() -> None:
        world = World()
        world.put("read")
        async with world.worker():
            await world.until(lambda: world.delivered == ["read"])
        world.put("lost")
        world.stream.split(0)
        await asyncio.sleep(25 * HOUR / 1000)
        world.put("kept")
        async with world.worker() as worker:
            await world.until(lambda: world.delivered == ["read", "kept"])
            states = {shard.shard_id[-1]: shard.state for shard in worker.status().mappings[0].shards}
        assert states["0"] == "ended"
        (gap,) = world.of(facts.PositionTrimmed)
        assert gap.shard.endswith("0")
        assert gap.after.isdecimal()

    run(main())


def test_forty_reshards_in_an_hour_lose_nothing_and_keep_the_order_of_every_key() -> None:
    rng, events = random.Random(3), list[StreamEvent]()
    shard = 0
    for turn in range(20):
        at = 180.0 * turn
        events += [Split(shard, at=at), Merge(shard + 1, shard + 2, at=at + 90.0)]
        shard += 3
    events += [Put(str(number), key=f"key {rng.randrange(6)}", at=rng.uniform(0, 3600)) for number in range(400)]
    wanted: dict[str, list[str]] = {}
    for event in sorted(events, key=lambda event: event.at):
        if isinstance(event, Put):
            wanted.setdefault(event.key, []).append(str(event.data))

    seen: dict[str, list[str]] = {}

    async def handle(event: dict[str, Any], _context: Any) -> None:
        for record in event["Records"]:
            data = b64decode(record["kinesis"]["data"]).decode()
            seen.setdefault(record["kinesis"]["partitionKey"], []).append(data)

    trace = simulate(mapping(handle), events, until=5000)
    assert seen == wanted
    assert len(trace.positions) == 61
    assert sum(isinstance(fact, facts.ShardEnded) for fact in trace.facts) == 60


def test_an_aggregated_record_is_delivered_as_it_is() -> None:
    """As Lambda does it for a stream that is polled: what a producer library has put together stays together."""
    aggregated = b"\xf3\x89\x9a\xc2" + b"\x0a\x01a\x1a\x05\x08\x00\x1a\x01x" + bytes(16)
    trace = simulate(mapping(lambda _event, _context: None), [Put(aggregated, key="a", at=-1.0)])
    (record,) = trace.invocations[0].event["Records"]
    assert record["kinesis"]["data"] == b64encode(aggregated).decode()


def test_pages_of_ten_megabytes_and_a_slow_function_hold_what_is_read_ahead_and_one_page() -> None:
    async def main() -> int:
        world = World()
        for number in range(40):
            world.stream.put(bytes(MEBIBYTE - 10) + b"%10d" % number, "a")
        calls, most = 0, 0

        async def slow(event: dict[str, Any], _context: Any) -> None:
            nonlocal calls
            await asyncio.sleep(2)
            calls += len(event["Records"])

        async with world.worker(function=slow, batch_size=10_000) as worker:
            while calls < 40:  # it looks at what is held as often as it can
                most = max(most, worker.status().mappings[0].shards[0].bytes_held)
                await asyncio.sleep(0.05)
        return most

    held = run(main())
    page = 10 * MEBIBYTE * 4 // 3
    assert 10 * MEBIBYTE < held <= 16 * MEBIBYTE + page + 10 * 1024, "what is read ahead, and the page that came last"


def mapping(function: Any) -> EventSourceMapping:
    return EventSourceMapping(event_source_arn=ARN, function=function, starting_position="TRIM_HORIZON")
