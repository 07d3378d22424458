"""Mappings that come, change and go while their worker runs."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from esm.errors import EsmError, HandlerNotFoundError, MappingError, SourceNotFoundError, StoreError
from esm.runtime.worker import Worker
from esm.telemetry import facts
from esm.testing.run import run
from tests.simulation.stand import ARN, Instead, Stand, simulated, slow, until

OTHER = ARN.replace("stand", "other")


def states(stand: Stand, uuid: str) -> list[str]:
    return [fact.state for fact in stand.of(facts.MappingStateChanged) if fact.mapping == uuid]


@simulated
async def test_a_mapping_is_created_while_the_worker_runs() -> None:
    stand = Stand()
    expected = [stand.put()]
    async with Worker(**stand.options()) as worker:
        assert (worker.list(), worker.mappings) == ((), ())
        mapping = stand.mapping()
        status = await worker.create(mapping)
        assert (status.state, status.uuid, status.state_transition_reason) == ("Enabled", mapping.uuid, "User action")
        assert worker.mappings == (mapping,)
        await asyncio.sleep(5)
        assert stand.seen == expected
        assert worker.get(mapping.uuid).shards[0].position == expected[0]
        assert worker.list(function_name="stand") == worker.list(event_source_arn=ARN) == worker.list()
        assert worker.list(function_name="another") == ()
    assert states(stand, mapping.uuid) == ["Creating", "Enabled", "Disabling", "Disabled"]


@simulated
async def test_what_is_disabled_stays_where_it_is_and_goes_on_from_there() -> None:
    stand = Stand()
    async with stand.worker() as worker:
        (mapping,) = worker.mappings
        first = stand.put()
        await asyncio.sleep(3)
        assert (await worker.update(mapping.uuid, enabled=False)).state == "Disabled"
        second = stand.put()
        await asyncio.sleep(60)
        assert stand.seen == [first]
        (shard,) = worker.get(mapping.uuid).shards
        assert (shard.state, shard.position) == ("stopped", first)
        assert not worker.mappings[0].enabled
        assert (await worker.update(mapping.uuid, enabled=True)).state == "Enabled"
        await asyncio.sleep(3)
        assert stand.seen == [first, second]
    changes = ["Disabling", "Disabled", "Enabling", "Enabled", "Disabling", "Disabled"]
    assert states(stand, mapping.uuid) == ["Enabled", *changes]


@simulated
async def test_a_mapping_that_is_created_disabled_reads_nothing() -> None:
    stand = Stand()
    stand.put()
    async with Worker(**stand.options()) as worker:
        status = await worker.create(stand.mapping(enabled=False))
        assert (status.state, status.last_processing_result) == ("Disabled", "No records processed")
        await asyncio.sleep(10)
        assert stand.seen == []
        await worker.update(status.uuid, enabled=True)
        await asyncio.sleep(5)
        assert len(stand.seen) == 1


@simulated
async def test_an_update_ends_what_is_out_and_goes_on_under_the_new_settings() -> None:
    stand = Stand()
    sizes: list[int] = []

    async def handle(event: dict[str, Any], _context: Any) -> None:
        await asyncio.sleep(2)
        sizes.append(len(event["Records"]))
        await stand.handle(event, None)

    expected = [stand.put() for _ in range(30)]
    async with stand.worker(function=handle, batch_size=1) as worker:
        (mapping,) = worker.mappings
        await asyncio.sleep(5)
        changing = asyncio.create_task(worker.update(mapping.uuid, batch_size=7))
        await asyncio.sleep(0)
        await until(lambda: worker.get(mapping.uuid).state == "Updating")
        status = await changing
        assert status.state == "Enabled"
        assert worker.mappings[0].batch_size == 7
        await until(lambda: len(stand.seen) == 30)
    assert stand.seen == expected  # none twice, none lost, in order
    assert 1 in sizes
    assert max(sizes) == 7


@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 1), (4, 3)])
def test_order_is_kept_per_key_when_the_number_of_lanes_changes(before: int, after: int) -> None:
    async def main() -> None:
        stand = Stand()
        seen: dict[str, list[int]] = {}

        async def handle(event: dict[str, Any], _context: Any) -> None:
            await asyncio.sleep(stand.clock.now() % 700 / 1000)
            for record in event["Records"]:
                seen.setdefault(record["kinesis"]["partitionKey"], []).append(int(record["kinesis"]["sequenceNumber"]))

        expected: dict[str, list[int]] = {}

        async def feed() -> None:
            for n in range(200):
                key = f"k{n % 11}"
                record = stand.stream.put(b"x", key)[1]
                expected.setdefault(key, []).append(int(record.sequence_number))
                await asyncio.sleep(0.05)

        async with stand.worker(function=handle, batch_size=3, parallelization_factor=before) as worker:
            feeding = asyncio.create_task(feed())
            await asyncio.sleep(4)
            await worker.update(worker.mappings[0].uuid, parallelization_factor=after)
            await feeding
            await until(lambda: sum(map(len, seen.values())) >= 200)
        assert seen == expected

    run(main())


@simulated
async def test_an_open_window_goes_on_over_an_update() -> None:
    """With its state, to the end it had; the next ones have the new length."""
    stand = Stand()
    calls: list[tuple[int, bool, int]] = []

    async def count(event: dict[str, Any], _context: Any) -> Any:
        total = event["state"].get("n", 0) + len(event["Records"])
        span = int(event["window"]["end"][17:19]) - int(event["window"]["start"][17:19])
        calls.append((total, event["isFinalInvokeForWindow"], span % 60))
        return {"state": {"n": total}}

    async with stand.worker(function=count, tumbling_window_in_seconds=30) as worker:
        await asyncio.sleep(30 - stand.clock.now() / 1000 % 30)
        stand.put()
        await asyncio.sleep(3)
        await worker.update(worker.mappings[0].uuid, tumbling_window_in_seconds=10)
        stand.put()
        await asyncio.sleep(40)
        stand.put()
        await until(lambda: len(calls) == 4)
    assert calls == [(1, False, 30), (2, False, 30), (2, True, 30), (1, False, 10)]


@simulated
async def test_windows_that_are_switched_off_end_with_a_final_call() -> None:
    stand = Stand()
    finals: list[Any] = []

    async def count(event: dict[str, Any], _context: Any) -> Any:
        if event.get("isFinalInvokeForWindow"):
            finals.append(event["state"])
        return {"state": {"n": event.get("state", {}).get("n", 0) + len(event["Records"])}}

    async with stand.worker(function=count, tumbling_window_in_seconds=900) as worker:
        stand.put()
        await asyncio.sleep(3)
        await worker.update(worker.mappings[0].uuid, tumbling_window_in_seconds=None)
        await asyncio.sleep(3)
        assert finals == [{"n": 1}]


@simulated
async def test_what_cannot_be_changed_is_refused_in_the_sdks_words() -> None:
    stand = Stand()
    async with stand.worker() as worker:
        (mapping,) = worker.mappings
        for name, value in (("event_source_arn", OTHER), ("starting_position", "LATEST"), ("uuid", "x")):
            with pytest.raises(
                MappingError, match=r"^ValidationException: Unknown parameter in input: .*must be one of"
            ):
                await worker.update(mapping.uuid, **{name: value})  # type: ignore[call-overload]  # as it should
        with pytest.raises(MappingError, match="StartingPosition of an event source mapping cannot be updated"):
            await worker.update(stand.mapping(starting_position="LATEST"))
        with pytest.raises(MappingError, match="Member must have value less than or equal to 10000"):
            await worker.update(mapping.uuid, batch_size=10_001)
        assert worker.mappings == (mapping,)
        assert states(stand, mapping.uuid) == ["Enabled"]


@simulated
async def test_what_there_is_not_or_is_twice_is_refused() -> None:
    """Codes: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html#Errors"""
    stand = Stand()
    stand.kinesis.create_stream(OTHER, 1)
    async with stand.worker() as worker:
        (mapping,) = worker.mappings
        for call in (worker.update("no", enabled=False), worker.delete("no")):
            with pytest.raises(MappingError, match=r"ResourceNotFoundException: The resource you requested") as caught:
                await call
            assert caught.value.status == 404
        with pytest.raises(MappingError, match="ResourceNotFoundException"):
            worker.get("no")
        for again in (
            stand.mapping(),
            stand.mapping(uuid="mine"),
            stand.mapping(event_source_arn=OTHER, uuid=mapping.uuid),
        ):
            with pytest.raises(MappingError, match="ResourceConflictException") as caught:
                await worker.create(again)
            assert caught.value.status == 409
        two = await worker.create(stand.mapping(name="two"))
        with pytest.raises(MappingError, match=f"with UUID {mapping.uuid}"):
            await worker.update(two.uuid, function=mapping.function)
        assert [status.state for status in worker.list()] == ["Enabled", "Enabled"]


@simulated
async def test_nothing_is_touched_when_something_is_wrong() -> None:
    stand = Stand()
    async with stand.worker() as worker:
        (mapping,) = worker.mappings
        with pytest.raises(HandlerNotFoundError):
            await worker.update(mapping.uuid, function="nowhere:to_be_found")
        with pytest.raises(HandlerNotFoundError):
            await worker.create(stand.mapping(function="nowhere:to_be_found", name="two"))
        with pytest.raises(SourceNotFoundError):
            await worker.create(stand.mapping(event_source_arn=OTHER))
        assert [status.uuid for status in worker.list()] == [mapping.uuid]
        expected = [stand.put()]
        await asyncio.sleep(3)
        assert stand.seen == expected


@simulated
async def test_one_thing_at_a_time_is_done_to_a_mapping() -> None:
    stand = Stand()
    async with stand.worker(function=slow) as worker:
        (mapping,) = worker.mappings
        stand.put()
        await asyncio.sleep(1.5)
        status = await worker.update(mapping.uuid, wait=False, batch_size=7)
        assert status.state == "Updating"
        for call in (worker.update(mapping.uuid, batch_size=8), worker.delete(mapping.uuid)):
            with pytest.raises(MappingError, match="ResourceInUseException") as caught:
                await call
            assert caught.value.status == 400
        await until(lambda: worker.get(mapping.uuid).state == "Enabled")
        assert worker.mappings[0].batch_size == 7


@pytest.mark.parametrize("keep", [False, True])
def test_a_deleted_mapping_begins_anew_unless_its_positions_are_kept(keep: bool) -> None:
    async def main() -> None:
        stand = Stand()
        async with stand.worker() as worker:
            (mapping,) = worker.mappings
            first = stand.put()
            await asyncio.sleep(3)
            status = await worker.delete(mapping.uuid, keep_positions=keep)
            assert status.state == "Deleting"
            assert (worker.list(), worker.mappings) == ((), ())
            assert bool(stand.store.rows) == keep
            with pytest.raises(MappingError, match="ResourceNotFoundException"):
                worker.get(mapping.uuid)
            second = stand.put()
            await worker.create(mapping)
            await asyncio.sleep(3)
            assert stand.seen == ([first, second] if keep else [first, first, second])

    run(main())


@simulated
async def test_positions_that_cannot_be_removed_keep_the_mapping() -> None:
    stand = Stand()

    async def full(_n: int, _real: Any, *_args: Any) -> None:
        raise StoreError("full")

    stand.store = Instead(stand.store, forget=full)
    async with stand.worker() as worker:
        (mapping,) = worker.mappings
        with pytest.raises(StoreError):
            await worker.delete(mapping.uuid)
        assert worker.get(mapping.uuid).state == "Disabled"
        assert not worker.mappings[0].enabled


@simulated
async def test_a_change_goes_on_when_who_asked_for_it_does_not_wait() -> None:
    stand = Stand()
    async with stand.worker(function=slow) as worker:
        (mapping,) = worker.mappings
        stand.put()
        await asyncio.sleep(1.5)
        asking = asyncio.create_task(worker.update(mapping.uuid, enabled=False))
        await asyncio.sleep(0.1)
        asking.cancel()
        await until(lambda: worker.get(mapping.uuid).state == "Disabled")


@simulated
async def test_a_stop_in_the_middle_of_a_change_waits_for_both() -> None:
    stand = Stand()
    worker = stand.worker(function=slow)
    async with worker:
        (mapping,) = worker.mappings
        stand.put()
        await asyncio.sleep(1.5)
        await worker.update(mapping.uuid, wait=False, batch_size=7)
    assert worker.clean
    assert worker.mappings[0].batch_size == 7
    assert worker.get(mapping.uuid).state == "Disabled"
    async with worker:  # with what it has now
        assert worker.get(mapping.uuid).state == "Enabled"
    with pytest.raises(EsmError, match="before it stops"):
        await worker.create(stand.mapping(name="two"))


@simulated
async def test_a_mapping_that_is_created_disabled_is_whole_or_not_there_when_nobody_waits() -> None:
    """Whenever its making is cancelled."""
    for wait_ms in range(8):
        stand = Stand()

        async def closes_slowly() -> None:
            await asyncio.sleep(0.004)

        async def open_slowly(_text: str, stand: Stand = stand) -> Any:
            await asyncio.sleep(0.002)
            return Instead(await stand.ports().open_destination(""), close=lambda _n, _real: closes_slowly())

        async with stand.worker(ports=stand.ports(open_destination=open_slowly)) as worker:
            failed = "arn:aws:sqs:eu-west-1:123456789012:failed"
            two = stand.mapping(name="two", enabled=False, destination_config=failed)
            creating = asyncio.create_task(worker.create(two))
            await asyncio.sleep(wait_ms / 1000)
            creating.cancel()
            await asyncio.wait([creating])
            await asyncio.sleep(1)
            assert [status.state for status in worker.list(function_name="two")] in ([], ["Disabled"]), wait_ms
            if worker.list(function_name="two"):
                await worker.delete(two.uuid)
            assert (await worker.create(two)).state == "Disabled"


@simulated
async def test_a_change_goes_on_when_the_old_runner_cannot_be_closed() -> None:
    stand = Stand()

    async def broken(_n: int, _real: Any) -> None:
        raise OSError("cannot be closed")

    async def open_broken(_text: str) -> Any:
        return Instead(await stand.ports().open_destination(""), close=broken)

    failed = "arn:aws:sqs:eu-west-1:123456789012:failed"
    worker = stand.worker(ports=stand.ports(open_destination=open_broken), destination_config=failed)
    async with worker:
        (mapping,) = worker.mappings
        first = stand.put()
        await asyncio.sleep(3)
        assert (await worker.update(mapping.uuid, batch_size=7)).state == "Enabled"
        assert (await worker.update(mapping.uuid, enabled=False)).state == "Disabled"
        assert "cannot be closed" in str(worker.get(mapping.uuid).last_error)
        assert (await worker.update(mapping.uuid, destination_config=None, enabled=True)).state == "Enabled"
        assert (await worker.create(stand.mapping(name="two", enabled=False, destination_config=failed))).state
        second = stand.put()
        await until(lambda: stand.seen == [first, second])
