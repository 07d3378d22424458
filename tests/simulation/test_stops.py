"""What a stop waits for, and what it closes, whatever goes wrong around it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import pytest

from esm.errors import EsmError, SourceDeniedError, StoreError
from esm.mapping.function import Function
from esm.runtime.mapping import MappingRunner
from esm.runtime.reading import Reading
from esm.telemetry import facts
from esm.testing.run import run
from tests.simulation.stand import Instead, Stand, shards, simulated, slow, until


@simulated
async def test_a_listing_without_an_answer_holds_up_no_stop() -> None:
    stand = Stand()

    async def silent(n: int, real: Any, *args: Any) -> Any:
        if n > 1:
            await asyncio.sleep(3600)
        return await real(*args)

    stand.api = Instead(stand.kinesis, describe_stream_summary=silent)
    worker = stand.worker()
    async with worker:
        await asyncio.sleep(60)
        assert stand.api.calls["describe_stream_summary"] == 2
        stopping = stand.clock.now()
    assert stand.clock.now() - stopping < 1000
    assert worker.clean


@simulated
async def test_a_shard_that_waits_for_its_children_holds_up_no_stop() -> None:
    stand = Stand(listing_lag=3_600_000)
    worker = stand.worker()
    async with worker:
        stand.stream.split(0)
        await asyncio.sleep(60)
        stopping = stand.clock.now()
    assert stand.clock.now() - stopping <= 1000
    assert worker.clean


@pytest.mark.parametrize("part", ["source", "destination", "function", "ports"])
def test_what_cannot_be_closed_keeps_nothing_else_open(part: str) -> None:
    run(_close_all_but(part))


async def _close_all_but(part: str) -> None:
    stand, closed = Stand(), []
    world = stand.ports()

    def closes(name: str) -> Callable[..., Coroutine[Any, Any, None]]:
        async def close(*_: Any) -> None:
            closed.append(name)
            if name == part:
                raise RuntimeError(name)

        return close

    async def open_destination(text: str) -> Any:
        return Instead(await world.open_destination(text), close=closes("destination"))

    ports = stand.ports(
        open_source=lambda mapping: Instead(world.open_source(mapping), close=closes("source")),
        open_invoker=lambda *args: Instead(world.open_invoker(*args), close=closes("function")),
        open_destination=open_destination,
        close=closes("ports"),
    )
    failed = {"OnFailure": {"Destination": "arn:aws:sqs:eu-west-1:123456789012:failed"}}
    with pytest.raises(RuntimeError, match=part):
        async with stand.worker(ports=ports, destination_config=failed):
            await asyncio.sleep(1)
    assert sorted(closed) == ["destination", "function", "ports", "source"]
    await stand.store.open()  # it was closed
    assert len(stand.of(facts.WorkerStopped)) == 1


@simulated
async def test_a_worker_that_did_not_start_may_be_entered_again() -> None:
    """Its first start leaves nothing behind."""
    stand = Stand()

    async def denied(n: int, real: Any, *args: Any) -> Any:
        if n == 1:
            raise SourceDeniedError("AccessDeniedException", "no")
        return await real(*args)

    stand.api = Instead(stand.kinesis, describe_stream_summary=denied)
    worker = stand.worker()
    with pytest.raises(SourceDeniedError):
        await worker.__aenter__()
    async with worker:
        expected = [stand.put()]
        await asyncio.sleep(2)
        with pytest.raises(EsmError, match="runs already"):
            await worker.__aenter__()
    assert stand.seen == expected


@simulated
async def test_a_cancelled_scope_of_the_host_is_left_when_the_worker_has_stopped() -> None:
    stand = Stand()
    stand.put()
    worker = stand.worker(function=slow)

    async def host() -> None:
        async with worker:
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(host)
        await asyncio.sleep(1.5)
        tasks.cancel_scope.cancel()
    assert len(stand.of(facts.WorkerStopped)) == 1
    await stand.store.open()  # it was closed


@pytest.mark.parametrize("part", ["store", "ports", "release"])
def test_what_does_not_come_to_an_end_is_left_to_itself(part: str) -> None:
    async def main() -> None:
        stand, closed = Stand(), []

        async def close_ports() -> None:
            closed.append("ports")
            await asyncio.sleep(3600 if part == "ports" else 0)

        async def close_store(_n: int, _real: Any) -> None:
            closed.append("store")
            await asyncio.sleep(3600 if part == "store" else 0)

        async def release(_n: int, real: Any, *args: Any) -> None:
            await asyncio.sleep(3600 if part == "release" else 0)
            await real(*args)

        stand.store = Instead(stand.store, close=close_store, release=release)
        async with stand.worker(ports=stand.ports(close=close_ports)):
            await asyncio.sleep(5)
            stopping = stand.clock.now()
        assert stand.clock.now() - stopping < 2000
        assert closed == ["ports", "store"]

    run(main())


@simulated
async def test_a_stop_is_over_two_seconds_after_its_drain_whatever_hangs() -> None:
    """As when another process holds the store's file: nothing is written, released or closed any more."""
    stand, closed = Stand(), []

    async def never(*_: Any) -> None:
        await asyncio.sleep(3600)

    async def close_ports() -> None:
        closed.append("ports")
        await asyncio.sleep(3600)

    stand.store = Instead(stand.store, checkpoint=never, release=never, close=never)
    worker = stand.worker(drain_timeout=3.0, ports=stand.ports(close=close_ports))
    async with worker:
        stand.put()
        await until(lambda: stand.store.calls["checkpoint"] > 0)
        stopping = stand.clock.now()
    assert 3000 <= stand.clock.now() - stopping <= 5000
    assert not worker.clean
    assert closed == ["ports"]
    assert stand.store.calls["release"] == stand.store.calls["close"] == 1


@pytest.mark.parametrize("turns", range(12))
def test_whatever_was_taken_is_released_wherever_a_start_is_cut_off(turns: int) -> None:
    """Also a lease whose shard never came to its first turn."""

    async def main() -> None:
        stand = Stand(shards=70)  # more than are taken at once
        async with stand.worker(drain_timeout=0.0) as worker:
            for _ in range(turns):
                await asyncio.sleep(0)
            (mapping,) = worker.mappings
        await stand.store.open()
        leases = await stand.store.load(mapping.uuid)
        assert len(leases) == 70
        assert [lease.owner for lease in leases] == [None] * 70

    for seed in range(3):
        run(main(), seed=seed)


@pytest.mark.parametrize("answered", [True, False])
def test_a_lease_whose_taking_was_not_heard_of_is_given_back(answered: bool) -> None:
    """The stop cuts off the answer and not the write, or the answer is lost on its way."""

    async def main() -> None:
        stand = Stand(shards=70)

        async def late(_n: int, real: Any, *args: Any) -> Any:
            lease = await real(*args)
            await asyncio.sleep(1)
            if not answered:
                raise StoreError("the answer was lost")
            return lease

        stand.store = Instead(stand.store, take=late)
        async with stand.worker(drain_timeout=0.1 if answered else 5.0) as worker:
            await asyncio.sleep(0.5)
            assert len([row for row in stand.store.rows.values() if row.owner]) == 64
            (mapping,) = worker.mappings
        await stand.store.open()
        assert [lease.owner for lease in await stand.store.load(mapping.uuid)] == [None] * 70

    run(main())


@simulated
async def test_a_halted_shard_is_given_up_with_its_mapping() -> None:
    """Its worker lives on: whoever moves its position then needs no force."""
    stand = Stand()

    async def broken(*_: Any) -> None:
        raise RuntimeError("a bug")

    stand.api = Instead(stand.kinesis, get_records=broken)
    async with stand.worker() as worker:
        await until(lambda: shards(worker)[0].state == "halted")
        await worker.update(worker.mappings[0].uuid, enabled=False)
        assert [row.owner for row in stand.store.rows.values()] == [None]


@simulated
async def test_the_lease_of_a_shard_whose_end_was_not_written_is_given_back() -> None:
    stand = Stand()

    async def fails(_n: int, real: Any, lease: Any, checkpoint: Any) -> Any:
        if checkpoint.ended:
            raise StoreError("not now")
        return await real(lease, checkpoint)

    stand.store = Instead(stand.store, checkpoint=fails)
    async with stand.worker(drain_timeout=3.0) as worker:
        stand.stream.split(0)
        await until(lambda: shards(worker)[0].state == "ended")
    assert [row.owner for row in stand.store.rows.values()] == [None] * 3


@pytest.mark.parametrize("turns", [0, 1, 3, 10])
def test_the_lease_of_a_shard_that_is_begun_anew_is_given_back(turns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop may come before it is taken again."""

    async def gone(_self: Reading) -> None:
        await asyncio.sleep(3600)

    async def main() -> None:
        stand, restarted = Stand(), asyncio.Event()
        restart = MappingRunner.restart

        def told(self: MappingRunner, shard_id: str) -> None:
            restart(self, shard_id)
            restarted.set()

        monkeypatch.setattr(MappingRunner, "restart", told)
        async with stand.worker(restart_silent_after=60.0):
            await restarted.wait()
            for _ in range(turns):
                await asyncio.sleep(0)
        assert [row.owner for row in stand.store.rows.values()] == [None]

    monkeypatch.setattr(Reading, "_read_pages", gone)
    run(main())


@simulated
async def test_why_a_lease_was_not_given_back_is_told() -> None:
    stand = Stand()

    async def fails(*_: Any) -> None:
        raise StoreError("not now")

    stand.store = Instead(stand.store, release=fails)
    async with stand.worker() as worker:
        await until(lambda: shards(worker)[0].state == "reading")
        status = await worker.update(worker.mappings[0].uuid, enabled=False)
        assert status.last_error == "not now"


@simulated
async def test_what_was_taken_with_others_is_not_begun_any_more_after_a_stop() -> None:
    stand = Stand()
    for number in range(40):
        stand.stream.put(b"data", f"key-{number}")
    begun = 0

    async def handle(event: dict[str, Any], _context: Any) -> None:
        nonlocal begun
        begun += 1
        if begun == 1:
            worker._shift.mappings.stop()  # type: ignore[union-attr]  # it runs
            worker.stop()

    worker = stand.worker(function=handle, parallelization_factor=10, batch_size=1)
    async with worker:
        await asyncio.sleep(1)
    assert begun == 1
    assert worker.clean


@simulated
async def test_a_call_whose_turn_came_with_the_stop_is_not_begun() -> None:
    """Its slot is free in the turn in which the call before it ended, and somebody stops all in the same."""
    stand = Stand()
    for number in range(40):
        stand.stream.put(b"data", f"key-{number}")

    class Stopping:
        """Stops the worker as soon as a call has ended."""

        def notice(self, fact: facts.Fact) -> None:
            if isinstance(fact, facts.InvocationEnded):
                worker._shift.mappings.stop()  # type: ignore[union-attr]  # it runs
                worker.stop()

    begun = 0

    async def handle(_event: dict[str, Any], _context: Any) -> None:
        nonlocal begun
        begun += 1
        await asyncio.sleep(1)

    function = Function(handle, name="stand", timeout=3.0, reserved_concurrency=1)
    worker = stand.worker(function=function, parallelization_factor=10, batch_size=1, observers=[Stopping()])
    async with worker:
        await asyncio.sleep(5)
    assert begun == 1
    assert worker.clean
