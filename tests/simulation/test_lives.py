"""A worker among others and again and again: faults stay where they are, and nothing is left behind."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from esm.errors import EsmError, MappingError, SourceDeniedError, StoreError
from esm.management.health import readiness
from esm.mapping.function import Function
from esm.runtime.mapping import MappingRunner
from esm.runtime.worker import Worker
from esm.telemetry import facts
from tests.simulation.stand import ARN, Instead, Stand, shards, simulated, slow, until

OTHER = ARN.replace("stand", "other")


def troubles(worker: Worker) -> list[dict[str, str]]:
    """What `/readyz` would say."""
    return readiness(worker.status(), silent_after=300_000)


@simulated
async def test_an_update_does_not_need_the_source_to_answer() -> None:
    """What is wrong with it passes; meanwhile it is asked again and again."""
    stand = Stand()
    out = False

    async def sometimes(_n: int, real: Any, *args: Any) -> Any:
        if out:
            await asyncio.sleep(30)
        return await real(*args)

    stand.api = Instead(stand.kinesis, describe_stream_summary=sometimes)
    async with stand.worker() as worker:
        (mapping,) = worker.mappings
        first = stand.put()
        await asyncio.sleep(3)
        out = True
        assert (await worker.update(mapping.uuid, batch_size=7)).state == "Enabled"
        out = False
        second = stand.put()
        await until(lambda: stand.seen == [first, second])


@simulated
async def test_a_fault_of_one_mapping_ends_no_other_and_is_tried_again() -> None:
    """I21: what runs a mapping dies of a bug; it says so, gives up its leases and begins anew."""
    stand = Stand()
    real = MappingRunner._begin_ready
    broken: list[int] = []

    async def begin(self: MappingRunner) -> None:
        if self.mapping.function.name == "broken" and len(broken) < 3:
            broken.append(stand.clock.now())
            raise ZeroDivisionError("a bug")
        await real(self)

    seen: list[int] = []

    async def handle(event: dict[str, Any], _context: Any) -> None:
        seen.append(len(event["Records"]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MappingRunner, "_begin_ready", begin)
        async with stand.worker() as worker:
            await worker.create(stand.mapping(function=handle, name="broken"))
            expected = [stand.put()]
            await until(lambda: bool(seen))
            assert stand.seen == expected
            failed = stand.of(facts.MappingFailed)
            assert [fact.error for fact in failed] == ["ZeroDivisionError('a bug')"] * 3
            assert [fact.at for fact in failed] == broken
            assert [status.state for status in worker.list()] == ["Enabled", "Enabled"]
        assert worker.clean


@simulated
async def test_a_mapping_that_cannot_even_be_built_again_is_tried_again() -> None:
    """I21."""
    stand, built = Stand(), 0

    def open_source(mapping: Any) -> Any:
        nonlocal built
        built += 1
        if built in (2, 3):
            raise ZeroDivisionError("another bug")
        return stand.ports().open_source(mapping)

    real = MappingRunner._begin_ready

    async def begin(self: MappingRunner) -> None:
        if built == 1:
            raise ZeroDivisionError("a bug")
        await real(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MappingRunner, "_begin_ready", begin)
        async with stand.worker(ports=stand.ports(open_source=open_source)) as worker:
            expected = [stand.put()]
            await until(lambda: len(stand.of(facts.MappingFailed)) == 3)
            assert "another bug" in str(worker.list()[0].last_error)
            await until(lambda: stand.seen == expected)
            assert worker.list()[0].last_error is None
            await asyncio.sleep(60)
        assert worker.clean


@simulated
async def test_a_fault_that_healed_is_no_error_any_more_also_when_all_shards_have_ended() -> None:
    stand = Stand()
    real, broken, begins = MappingRunner._begin_ready, True, asyncio.Event()

    async def begin(self: MappingRunner) -> None:
        if broken:
            raise ZeroDivisionError("a bug")
        await begins.wait()
        await real(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MappingRunner, "_begin_ready", begin)
        async with stand.worker() as worker:
            stand.stream.close()
            await until(lambda: len(stand.of(facts.MappingFailed)) == 2)
            broken = False
            await asyncio.sleep(60)
            assert worker.list()[0].last_error == "ZeroDivisionError('a bug')", "until its shards are begun"
            assert [trouble["reason"] for trouble in troubles(worker)] == ["failed"]
            begins.set()
            await until(lambda: [shard.state for shard in shards(worker).values()] == ["ended"])
            assert worker.list()[0].last_error is None
            assert troubles(worker) == []
            await worker.update(worker.mappings[0].uuid, enabled=False)
            assert worker.list()[0].last_error is None


@simulated
async def test_a_stop_while_a_mapping_is_built_again_is_not_waited_for() -> None:
    stand, built = Stand(), 0
    real_open = stand.ports().open_destination

    async def open_slowly(text: str) -> Any:
        nonlocal built
        built += 1
        await asyncio.sleep(5 if built == 2 else 0)
        return await real_open(text)

    async def begin(_self: MappingRunner, _tasks: Any) -> None:
        raise ZeroDivisionError("a bug")

    with pytest.MonkeyPatch.context() as patch:
        real, failed = MappingRunner._begin_ready, "arn:aws:sqs:eu-west-1:123456789012:failed"
        patch.setattr(MappingRunner, "_begin_ready", begin)
        worker = stand.worker(ports=stand.ports(open_destination=open_slowly), destination_config=failed)
        async with worker:
            await until(lambda: built == 2)
            patch.setattr(MappingRunner, "_begin_ready", real)
            stopping = stand.clock.now()
        assert stand.clock.now() - stopping < 7000
        assert worker.clean


@simulated
async def test_who_asks_a_worker_that_did_not_start_is_refused() -> None:
    """Also who asked while it was starting; and it may be entered when its source is there."""
    stand = Stand()

    async def denied(n: int, real: Any, *args: Any) -> Any:
        if n == 1:
            await asyncio.sleep(1)
            raise SourceDeniedError("AccessDeniedException", "no")
        return await real(*args)

    stand.api = Instead(stand.kinesis, describe_stream_summary=denied)
    worker = stand.worker()
    entering = asyncio.create_task(worker.__aenter__())
    await asyncio.sleep(0.5)
    asking = asyncio.create_task(worker.create(stand.mapping(name="two")))
    with pytest.raises(SourceDeniedError):
        await entering
    with pytest.raises(EsmError, match="mappings are changed inside the worker's `async with`"):
        await asking
    for ask in (worker.create(stand.mapping(name="two")), worker.update(worker.mappings[0].uuid, batch_size=7)):
        async with asyncio.timeout(1):
            with pytest.raises(EsmError, match="inside"):
                await ask
    async with worker:
        assert (await worker.update(worker.mappings[0].uuid, batch_size=7)).state == "Enabled"


@simulated
async def test_a_mapping_that_hangs_at_its_start_holds_up_no_other() -> None:
    """I21."""
    stand = Stand()
    stand.kinesis.create_stream(OTHER, 1)

    async def hangs(_n: int, real: Any, arn: str, *args: Any) -> Any:
        if arn == OTHER:
            await asyncio.sleep(3600)
        return await real(arn, *args)

    stand.api = Instead(stand.kinesis, describe_stream_summary=hangs)
    async with stand.worker() as worker:
        creating = asyncio.create_task(worker.create(stand.mapping(event_source_arn=OTHER)))
        await asyncio.sleep(1)
        assert sorted(status.state for status in worker.list()) == ["Creating", "Enabled"]
        expected = [stand.put()]
        await asyncio.sleep(3)
        assert stand.seen == expected
        creating.cancel()
        await asyncio.wait([creating])
        assert [status.state for status in worker.list()] == ["Enabled"]


@simulated
async def test_a_worker_is_entered_and_left_as_often_as_wanted() -> None:
    stand = Stand()
    worker = stand.worker()
    expected = []
    threads, tasks = threading.enumerate(), asyncio.all_tasks()
    for _ in range(5):
        async with worker:
            expected.append(stand.put())
            await asyncio.sleep(3)
            assert shards(worker)[0].state == "reading"
        assert worker.clean
        assert (threading.enumerate(), asyncio.all_tasks()) == (threads, tasks)
        assert shards(worker)[0].state == "stopped"
    assert stand.seen == expected


@simulated
async def test_two_workers_with_one_store_in_memory_are_refused() -> None:
    """T10."""
    stand = Stand()
    async with stand.worker():
        with pytest.raises(StoreError, match="is open in another worker already"):
            await stand.worker().__aenter__()


@simulated
async def test_a_function_shares_its_concurrency_among_its_mappings() -> None:
    stand = Stand()
    other = stand.kinesis.create_stream(OTHER, 1)
    other.put(b"x", "key")
    running, most = 0, 0

    async def handle(_event: Any, _context: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(2)
        running -= 1

    async with stand.worker(function=handle) as worker:
        stand.put()
        await worker.create(stand.mapping(function=handle, event_source_arn=OTHER))
        await asyncio.sleep(5)
        assert most == 2
        worker.put_function_concurrency("stand", 1)
        assert {status.reserved_concurrency for status in worker.list()} == {1}
        most = 0
        stand.put()
        other.put(b"x", "key")
        await asyncio.sleep(1.5)
        assert sorted(lane.state for status in worker.list() for lane in status.shards[0].lanes) == [
            "invoking",
            "throttled",
        ]
        assert "concurrency" in [status.shards[0].waits_for for status in worker.list()]
        await asyncio.sleep(5)
        assert most == 1
        with pytest.raises(MappingError, match="Function not found: another"):
            worker.put_function_concurrency("another", 1)


@simulated
async def test_a_function_that_is_changed_for_another_has_the_others_limit() -> None:
    """Also when other mappings come while what is out ends."""
    stand = Stand()
    running, most = 0, 0

    async def handle(_event: Any, _context: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(1)
        running -= 1

    async with stand.worker(function=slow, parallelization_factor=4, batch_size=1) as worker:
        for n in range(20):
            stand.stream.put(b"x", f"k{n}")
        await asyncio.sleep(1.5)
        limited = Function(handle, name="limited", reserved_concurrency=1)
        changing = asyncio.create_task(worker.update(worker.mappings[0].uuid, function=limited))
        await asyncio.sleep(0.1)
        await worker.create(stand.mapping(name="two"))
        await changing
        await asyncio.sleep(30)
        assert (most, worker.list(function_name="limited")[0].reserved_concurrency) == (1, 1)
        other = Function(handle, name="limited", reserved_concurrency=2)
        with pytest.raises(MappingError, match="has a reserved concurrency of 1 in one mapping and of 2 in another"):
            await worker.create(stand.mapping(function=other, uuid="x", event_source_arn=OTHER))


@simulated
async def test_a_stop_does_not_wait_for_room() -> None:
    stand = Stand()
    worker = stand.worker()
    async with worker:
        worker.put_function_concurrency("stand", 0)
        stand.put()
        await asyncio.sleep(5)
        stopping = stand.clock.now()
    assert stand.clock.now() - stopping < 1000
    assert (worker.clean, stand.seen) == (True, [])


@simulated
async def test_a_line_without_end_does_not_grow() -> None:
    """Of a function without room, whose records expire one after the other."""
    stand = Stand()
    async with stand.worker(maximum_record_age_in_seconds=60, batch_size=1) as worker:
        worker.put_function_concurrency("stand", 0)
        for _ in range(20):
            stand.put()
            await asyncio.sleep(90)
        (slots,) = worker._concurrency._functions.values()
        assert len(slots._waiting) <= 1


@simulated
async def test_a_drain_of_no_time_is_clean_when_nothing_is_out() -> None:
    stand = Stand()
    worker = stand.worker(drain_timeout=0)
    async with worker:
        stand.put()
        await asyncio.sleep(5)
    assert worker.clean
    busy = stand.worker(drain_timeout=0, function=slow)
    async with busy:
        stand.put()
        await asyncio.sleep(1.5)
    assert not busy.clean


@simulated
async def test_a_fault_while_leases_are_taken_is_named_itself() -> None:
    stand = Stand(shards=3)

    async def begin(_self: MappingRunner, _lease: Any) -> None:
        raise ZeroDivisionError("a bug")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MappingRunner, "_begin", begin)
        async with stand.worker() as worker:
            await until(lambda: bool(stand.of(facts.MappingFailed)))
            assert worker.status().mappings[0].last_error == "ZeroDivisionError('a bug')"
