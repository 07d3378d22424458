"""A shard from which nothing comes: told when nothing explains it, never when something does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from esm.errors import DestinationError, SourceError, StoreError
from esm.machine.shard import ShardMachine
from esm.mapping.function import Function
from esm.runtime.driver import Driver
from esm.runtime.reading import Reading
from esm.telemetry import facts
from esm.testing.run import run
from tests.simulation.stand import Instead, Stand, shards, simulated, until

HOUR = 3600.0
FAILED = "arn:aws:sqs:eu-west-1:123456789012:failed"


class Forgetful:
    """Machines that exist when it forgets them give nothing any more: what a lost wake-up looks like."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.known: set[ShardMachine] = set()
        self.forgotten: set[ShardMachine] = set()
        real = ShardMachine.take

        def take(machine: ShardMachine, now: int) -> Any:
            self.known.add(machine)
            return None if machine in self.forgotten else real(machine, now)

        patch.setattr(ShardMachine, "take", take)
        patch.setattr(Driver, "_arm", lambda *_: None)

    def forget(self) -> None:
        """All there are now."""
        self.forgotten |= self.known


@pytest.mark.interpreted
@simulated
async def test_a_lane_that_was_forgotten_is_told_and_told_again() -> None:
    with pytest.MonkeyPatch.context() as patch:
        driver, stand = Forgetful(patch), Stand()
        async with stand.worker(silent_after=60.0) as worker:
            await asyncio.sleep(3)
            driver.forget()
            began = stand.clock.now()
            stand.put()
            await asyncio.sleep(200)
            (shard,) = shards(worker).values()
            assert shard.silent_ms is not None
            assert 190_000 < shard.silent_ms <= 200_000
            told = stand.of(facts.ShardSilent)
            assert [round((fact.at - began) / 60_000) for fact in told] == [1, 2, 3]
            assert all(fact.silent_ms >= 60_000 and not fact.restarts and fact.behind_ms for fact in told)
            assert stand.of(facts.ShardHalted) == []


@simulated
async def test_a_reading_loop_that_is_gone_is_told() -> None:
    async def gone(_self: Reading) -> None:
        await asyncio.sleep(HOUR)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Reading, "_read_pages", gone)
        stand = Stand()
        async with stand.worker(silent_after=60.0):
            await asyncio.sleep(200)
            assert len(stand.of(facts.ShardSilent)) == 2


@pytest.mark.interpreted
@simulated
async def test_a_silent_shard_is_begun_anew_and_loses_nothing() -> None:
    """That shard alone, under the same lease, from its position: at most a batch a lane comes again."""
    with pytest.MonkeyPatch.context() as patch:
        driver, stand = Forgetful(patch), Stand(shards=2)
        async with stand.worker(silent_after=30.0, restart_silent_after=60.0) as worker:
            before = [stand.put(shard=0), stand.put(shard=1)]
            await asyncio.sleep(5)
            driver.forget()
            later = [stand.put(shard=0), stand.put(shard=0)]
            await until(lambda: later[-1] in stand.seen)
            started = [fact.shard for fact in stand.of(facts.ShardStarted)]
            assert sorted(started[:2]) == ["shardId-000000000000", "shardId-000000000001"]
            assert started[2:] == ["shardId-000000000000"]
            assert [fact.restarts for fact in stand.of(facts.ShardSilent)] == [False, True]
            assert [fact.epoch for fact in stand.of(facts.LeaseTaken)] == [1, 1, 2]
            assert shards(worker)[0].silent_ms is None
        assert worker.clean
        assert sorted(stand.seen) == sorted([*before, *later])


async def _sleeps(_event: Any, _context: Any) -> None:
    await asyncio.sleep(850)


async def _fails(_event: Any, _context: Any) -> None:
    raise ValueError("no")


async def _down(_n: int, _real: Any, *_args: Any) -> None:
    raise StoreError("down")


async def _unreadable(n: int, real: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    if n > 3:
        raise SourceError("InternalFailure", "no")
    return await real(*args)


@pytest.mark.parametrize(
    ("cause", "settings"),
    [
        ("function", {"function": Function(_sleeps, timeout=900)}),
        ("backoff", {"function": _fails}),
        ("batching window", {"maximum_batching_window_in_seconds": 300, "batch_size": 1000}),
        ("destination", {"function": _fails, "maximum_retry_attempts": 0, "destination_config": FAILED}),
        ("concurrency", {}),
        ("store", {}),
        ("source", {}),
        ("parents", {}),
    ],
)
def test_what_is_known_is_named_and_is_no_silence(cause: str, settings: dict[str, Any]) -> None:
    async def main() -> None:
        stand = Stand()
        ports = stand.ports()
        if cause == "store":
            stand.store = Instead(stand.store, checkpoint=_down)
        if cause == "source":
            stand.api = Instead(stand.kinesis, get_records=_unreadable)
        if cause == "destination":
            ports = stand.ports(open_destination=_refusing)
        causes: set[str | None] = set()
        async with stand.worker(silent_after=20.0, ports=ports, **settings) as worker:
            if cause == "concurrency":
                worker.put_function_concurrency("stand", 0)
            for _ in range(40):
                stand.put()
                await asyncio.sleep(7.3)
                for shard in shards(worker).values():
                    assert shard.silent_ms is None
                    causes.add(shard.waits_for)
            assert stand.of(facts.ShardSilent) == []
        assert cause in causes or cause == "parents"

    run(main())


async def _refusing(_text: str) -> Any:
    class Refusing:
        async def send(self, _record: Any) -> None:
            raise DestinationError("AccessDenied", "no")

        async def close(self) -> None:
            """Nothing to close."""

    return Refusing()


@simulated
async def test_a_shard_at_its_tip_is_not_silent() -> None:
    stand = Stand()
    async with stand.worker(silent_after=5.0) as worker:
        for _ in range(200):
            await asyncio.sleep(1.7)
            assert shards(worker)[0].silent_ms is None
        assert stand.of(facts.ShardSilent) == []
