"""Shards that are lost and found, rows that nobody needs, and calls that never come back."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from typing import Any

from msgspec import structs

from esm.runtime.real import worker_id
from esm.telemetry import facts
from tests.simulation.stand import Instead, Stand, shards, simulated, until

HOUR = 3600.0
FAILED = "arn:aws:sqs:eu-west-1:123456789012:failed"


@simulated
async def test_the_row_of_a_shard_that_ended_goes_when_nobody_needs_it() -> None:
    stand = Stand()
    listed: list[str] = []

    async def without_the_first(n: int, real: Any, *args: Any) -> Any:
        answer = await real(*args)
        if stand.clock.now() - began > 100_000:
            answer.shards = [shard for shard in answer.shards if not shard.shard_id.endswith("0" * 12)]
        listed.append(str(n))
        return answer

    began = stand.clock.now()
    stand.api = Instead(stand.kinesis, list_shards=without_the_first)
    async with stand.worker() as worker:
        first = stand.put()
        stand.stream.split(0)
        await asyncio.sleep(90)
        assert shards(worker)[0].state == "ended"
        await asyncio.sleep(500)
        assert 0 in shards(worker)  # a list may be out of step
        await asyncio.sleep(300)
        assert sorted(shards(worker)) == [1, 2]
        assert sorted(key.shard_id[-1] for key in stand.store.rows) == ["1", "2"]
        second = stand.put()
        await asyncio.sleep(3)
    assert stand.seen == [first, second]
    async with stand.worker():  # its children are not begun again
        third = stand.put()
        await asyncio.sleep(3)
    assert stand.seen == [first, second, third]


@simulated
async def test_a_shard_that_was_lost_is_taken_back_when_nobody_has_it() -> None:
    stand = Stand()
    async with stand.worker() as worker:
        await asyncio.sleep(2)
        (key,) = stand.store.rows
        stand.store.rows[key] = structs.replace(stand.store.rows[key], owner="another", epoch=7)
        first = stand.put()
        await asyncio.sleep(5)
        assert shards(worker)[0].state == "lost"
        assert len(stand.of(facts.LeaseLost)) == 1
        await asyncio.sleep(300)
        assert shards(worker)[0].state == "lost"
        stand.store.rows[key] = structs.replace(stand.store.rows[key], owner=None, epoch=8)
        second = stand.put()
        await until(lambda: second in stand.seen)
        assert shards(worker)[0].state == "reading"
        assert [fact.epoch for fact in stand.of(facts.LeaseTaken)] == [1, 9]
    # what another may have had meanwhile was settled by nobody: it comes again
    assert stand.seen == [first, first, second]


@simulated
async def test_a_shard_that_is_lost_at_its_end_says_so() -> None:
    stand = Stand()
    taken = False

    async def stolen(_n: int, real: Any, lease: Any, checkpoint: Any) -> Any:
        nonlocal taken
        if checkpoint.ended and not taken:
            taken = True
            row = stand.store.rows[lease.key]
            stand.store.rows[lease.key] = structs.replace(row, owner="another", epoch=row.epoch + 1)
        return await real(lease, checkpoint)

    stand.store = Instead(stand.store, checkpoint=stolen)
    async with stand.worker() as worker:
        stand.put()
        stand.stream.split(0)
        await asyncio.sleep(20)
        assert shards(worker)[0].state == "lost"
        assert [fact.shard for fact in stand.of(facts.LeaseLost)] == ["shardId-000000000000"]


@simulated
async def test_a_shard_that_was_taken_while_it_was_idle_says_by_whom() -> None:
    stand = Stand()
    async with stand.worker() as worker:
        await asyncio.sleep(2)
        (key,) = stand.store.rows
        stand.store.rows[key] = structs.replace(stand.store.rows[key], owner="another", epoch=7)
        await asyncio.sleep(60)
        shard = shards(worker)[0]
        assert (shard.state, str(shard.last_error).rpartition(": ")[2]) == ("lost", "another worker took it (epoch 7)")


@simulated
async def test_what_a_function_did_after_its_lease_went_is_settled_by_nobody() -> None:
    """H7, and the other lanes begin nothing more."""
    stand = Stand()
    calls: list[int] = []

    async def handle(_event: Any, _context: Any) -> None:
        calls.append(stand.clock.now())
        await asyncio.sleep(2)

    async with stand.worker(function=handle, parallelization_factor=4, batch_size=1) as worker:
        for n in range(40):
            stand.stream.put(b"x", f"k{n}")
        await until(lambda: len(calls) == 4)
        (key,) = stand.store.rows
        stand.store.rows[key] = structs.replace(stand.store.rows[key], owner="another", epoch=7)
        await asyncio.sleep(60)
        assert len(calls) == 4
        assert shards(worker)[0].state == "lost"
        assert stand.store.rows[key].checkpoint.settled is None


@simulated
async def test_every_call_has_a_deadline() -> None:
    """I15: the store, the stream, its list and the destination, each silent for an hour, once."""
    stand = Stand()
    hung: list[str] = []

    def once(name: str) -> Any:
        async def call(_n: int, real: Any, *args: Any, **named: Any) -> Any:
            if name not in hung and stand.clock.now() > ready:
                hung.append(name)
                await asyncio.sleep(HOUR)
            return await real(*args, **named)

        return call

    ready = stand.clock.now() + 5_000
    ports = stand.ports()

    async def open_destination(text: str) -> Any:
        return Instead(await stand.ports().open_destination(text), send=once("send"))

    stand.store = Instead(stand.store, checkpoint=once("checkpoint"))
    stand.api = Instead(stand.kinesis, get_records=once("get_records"), list_shards=once("list_shards"))

    async def picky(event: dict[str, Any], context: Any) -> None:
        if len(stand.seen) % 2 == 0:
            stand.seen.append("failed")
            raise ValueError
        await stand.handle(event, context)

    options = {"function": picky, "batch_size": 1, "maximum_retry_attempts": 0, "destination_config": FAILED}
    async with stand.worker(ports=replace(ports, open_destination=open_destination), **options):
        for _ in range(60):
            await asyncio.sleep(10)
            stand.put()
        await asyncio.sleep(60)
        assert sorted(hung) == ["checkpoint", "get_records", "list_shards", "send"]
        assert len(stand.seen) == 60


@simulated
async def test_a_poisoned_key_holds_up_no_other() -> None:
    """I10: for hours, with retries without end; and no longer than the policy says, where there is one."""
    stand = Stand()
    done: list[str] = []

    async def handle(event: dict[str, Any], _context: Any) -> None:
        keys = [record["kinesis"]["partitionKey"] for record in event["Records"]]
        if "poison" in keys:
            raise ValueError
        done.extend(keys)

    async with stand.worker(function=handle, parallelization_factor=4, batch_size=1) as worker:
        stand.stream.put(b"x", "poison")
        for n in range(300):
            stand.stream.put(b"x", f"k{n}")
            await asyncio.sleep(30)
        blocked = {lane.lane for lane in shards(worker)[0].lanes if lane.last_error is not None}
        assert len(blocked) == 1
        assert len(done) > 300 * 0.6
        await worker.update(worker.mappings[0].uuid, maximum_retry_attempts=0)
        await until(lambda: len(done) == 300)


def test_no_two_workers_have_one_id() -> None:
    """K9: a name has chance in it beside host and process; leases are signed with it."""
    ids = {worker_id(random.Random()) for _ in range(100)}
    assert len(ids) == 100
    assert len({each.rpartition("-")[0] for each in ids}) == 1
