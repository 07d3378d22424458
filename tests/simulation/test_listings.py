"""How a mapping follows its stream: shards that come late, that end together, and a stream that is made anew."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec import structs

from esm.aws.kinesis_api import ListShardsOutput
from esm.leasing.lease import Lease
from esm.mapping.function import Function
from esm.mapping.settings import EventSourceMapping
from esm.records.position import Checkpoint, Position
from esm.telemetry import facts
from esm.testing.events import Put
from esm.testing.run import run
from esm.testing.simulate import simulate
from tests.simulation.stand import ARN, Instead, Stand, shards


def test_latest_is_the_moment_of_the_start_also_where_shards_are_listed_later() -> None:
    async def main() -> None:
        stand = Stand()

        async def late(n: int, real: Any, *args: Any) -> Any:
            return ListShardsOutput() if n == 1 else await real(*args)

        stand.api = Instead(stand.kinesis, list_shards=late)
        async with stand.worker(starting_position="LATEST"):
            await asyncio.sleep(5)
            expected = [stand.put()]
            await asyncio.sleep(60)
            expected.append(stand.put())
            await asyncio.sleep(5)
        assert stand.seen == expected

    run(main())


@pytest.mark.parametrize("anew", ["worker", "update", "shard"])
def test_latest_is_the_moment_for_whoever_comes_again_at_once(anew: str) -> None:
    """Within the two seconds in which the tip would still stand for it: what was put in between would be lost."""

    async def main() -> None:
        stand = Stand()
        async with stand.worker(starting_position="LATEST") as worker:
            await asyncio.sleep(0.5)
            if anew == "shard":
                uuid = worker.mappings[0].uuid
                runner: Any = worker._shift and worker._shift.mappings.lives[uuid].runner
                runner.restart("shardId-000000000000")
            elif anew == "update":
                updating = asyncio.create_task(worker.update(worker.mappings[0].uuid, batch_size=7))
                await asyncio.sleep(0)
            expected = [stand.put()]
            if anew != "worker":
                await asyncio.sleep(60)
                assert anew == "shard" or updating.done()
        if anew == "worker":
            async with stand.worker(starting_position="LATEST"):
                await asyncio.sleep(60)
        assert stand.seen == expected

    run(main())


def test_latest_is_the_moment_for_who_finds_the_lease_of_another() -> None:
    """Who made it, between the two looks at the store, may have read something and given it up."""

    async def main() -> None:
        stand = Stand()

        async def create(_n: int, real: Any, leases: list[Lease]) -> None:
            began = leases[0].checkpoint.start.at or 0
            theirs = Checkpoint(Position.latest(began - 500))
            expected.append(stand.put())
            await asyncio.sleep(0.1)
            await real([structs.replace(leases[0], checkpoint=theirs)])
            await real(leases)

        expected: list[str] = []
        stand.store = Instead(stand.store, create=create)
        async with stand.worker(starting_position="LATEST"):
            await asyncio.sleep(60)
        assert stand.seen == expected

    run(main())


def test_a_stream_made_anew_is_read_whole_by_a_mapping_that_began_before_it() -> None:
    async def main() -> None:
        stand = Stand()
        async with stand.worker(starting_position="LATEST"):
            await asyncio.sleep(5)
            expected = [stand.put()]
            await asyncio.sleep(5)
            stand.anew()
            expected.append(stand.put())
            await asyncio.sleep(60)
        assert stand.seen == expected

    run(main())


def test_a_shard_of_a_stream_that_is_gone_waits_for_no_children() -> None:
    async def main() -> None:
        stand = Stand(listing_lag=60_000)
        async with stand.worker() as worker:
            expected = [stand.put()]
            stand.stream.split(0)
            await asyncio.sleep(10)
            stand.anew()
            expected.append(stand.put())
            await asyncio.sleep(100)
            calls, polled = stand.kinesis.calls, len(stand.of(facts.Polled))
            await asyncio.sleep(1000)
            others = stand.kinesis.calls - calls - (len(stand.of(facts.Polled)) - polled)
            assert others < 150  # two calls about twice a minute
            assert shards(worker)[0].state == "reading"
        assert stand.seen == expected

    run(main())


def test_a_lease_of_a_stream_that_went_while_it_was_taken_is_not_used() -> None:
    """A shard of the new stream has the same name: its records would be settled under the old lease."""

    async def main() -> None:
        stand = Stand(shards=2, listing_lag=5_000)
        rows = stand.store.rows

        async def slow(n: int, real: Any, *args: Any) -> Any:
            if n == 3:
                await asyncio.sleep(30)
            return await real(*args)

        stand.store = Instead(stand.store, take=slow)
        async with stand.worker():
            await asyncio.sleep(2)
            stand.stream.split(0)
            await asyncio.sleep(6)  # the first child is being taken
            stand.stream.split(1)
            await asyncio.sleep(3)  # this one ends, and asks for its children
            stand.anew(4)
            await asyncio.sleep(60)
            expected = [stand.put(shard=2)]
            await asyncio.sleep(60)
        newest = max(key.stream for key in rows)
        settled = {key.shard_id: row.checkpoint.settled for key, row in rows.items() if key.stream == newest}
        assert settled["shardId-000000000002"] == expected[0]
        assert stand.seen == expected

    run(main())


def test_shards_that_end_together_share_a_listing() -> None:
    async def main() -> None:
        count = 50
        stand = Stand(shards=count)
        stand.store = Instead(stand.store, load=_load)
        async with stand.worker() as worker:
            await asyncio.sleep(5)
            loads = stand.store.calls["load"]
            for number in range(count):
                stand.stream.split(number)
            await asyncio.sleep(10)
            assert len(stand.of(facts.ShardEnded)) == count
            assert [shard.state for shard in shards(worker).values()].count("reading") == 2 * count
            assert stand.store.calls["load"] - loads < 10

    run(main())


async def _load(_n: int, real: Any, *args: Any) -> Any:
    return await real(*args)


def test_of_a_shard_that_ended_only_its_lease_is_kept() -> None:
    async def main() -> None:
        stand = Stand()
        async with stand.worker() as worker:
            last = stand.put()
            stand.stream.split(0)
            await asyncio.sleep(10)
            ended = shards(worker)[0]
            assert (ended.state, ended.position, ended.lanes) == ("ended", last, ())
            assert worker.status().mappings[0].last_processing_result == "OK"

    run(main())


def test_a_cancellation_out_of_a_read_is_a_read_that_failed() -> None:
    async def main() -> None:
        stand = Stand()

        async def broken_off(n: int, real: Any, *args: Any) -> Any:
            if n == 2:
                raise asyncio.CancelledError
            return await real(*args)

        stand.api = Instead(stand.kinesis, get_records=broken_off)
        async with stand.worker() as worker:
            await asyncio.sleep(10)
            expected = [stand.put()]
            await asyncio.sleep(10)
            assert shards(worker)[0].state == "reading"
        assert [failure.code for failure in stand.of(facts.PollFailed)] == ["CancelledError"]
        assert stand.seen == expected

    run(main())


def test_a_cancellation_out_of_a_store_halts_the_shard() -> None:
    async def main() -> None:
        stand = Stand()

        async def broken_off(_n: int, _real: Any, *_args: Any) -> Any:
            raise asyncio.CancelledError

        stand.store = Instead(stand.store, checkpoint=broken_off)
        async with stand.worker():
            stand.put()
            await asyncio.sleep(10)
            assert len(stand.of(facts.ShardHalted)) == 1

    run(main())


def test_a_mapping_that_is_not_enabled_is_simulated() -> None:
    function = Function(_nothing, name="nothing")
    mapping = EventSourceMapping(
        event_source_arn=ARN, function=function, starting_position="TRIM_HORIZON", enabled=False
    )
    trace = simulate(mapping, [Put(b"1")])
    assert (trace.invocations, trace.positions) == ([], {})


async def _nothing(_event: Any, _context: Any) -> None:
    """Is never called."""


def test_the_last_processing_result_is_that_of_the_last_invocation_of_any_shard() -> None:
    async def main() -> None:
        stand = Stand(shards=2)

        async def first_shard_only(event: dict[str, Any], _context: Any) -> None:
            if event["Records"][0]["eventID"].startswith("shardId-000000000001"):
                raise ValueError

        async with stand.worker(function=first_shard_only, maximum_retry_attempts=0) as worker:
            for shard, result in (
                (1, "PROBLEM: Function call failed"),
                (0, "OK"),
                (1, "PROBLEM: Function call failed"),
            ):
                stand.put(shard=shard)
                await asyncio.sleep(5)
                assert worker.status().mappings[0].last_processing_result == result

    run(main())
