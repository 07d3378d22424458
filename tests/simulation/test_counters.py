"""I22: what was read is settled or in flight, at any instant, by what the worker tells alone."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import Any

import pytest

from esm.mapping.function import Function
from esm.testing.run import run
from tests.simulation.ledger import Ledger
from tests.simulation.stand import Stand

FAILED = "arn:aws:sqs:eu-west-1:123456789012:failed"


@pytest.mark.parametrize("seed", range(12))
def test_what_was_read_is_settled_or_in_flight(seed: int) -> None:
    """Also over restarts with other numbers of lanes, where what other lanes had settled is passed over."""
    rng = random.Random(seed)

    async def handle(event: dict[str, Any], _context: Any) -> Any:
        await asyncio.sleep(rng.choice([0.0, 0.1, 2.0]))
        records = event["Records"]
        if rng.random() < 0.2:
            raise ValueError
        failed = [record for record in records if rng.random() < 0.1]
        return {"batchItemFailures": [{"itemIdentifier": each["kinesis"]["sequenceNumber"]} for each in failed]}

    async def main() -> Counter[str]:
        stand, ledger = Stand(shards=2), Ledger()

        async def feed() -> None:
            for n in range(600):
                stand.stream.put(f'{{"keep": {str(n % 5 > 0).lower()}}}'.encode(), f"k{n % 13}")
                await asyncio.sleep(0.02 if n % 100 else 5.0)

        feeding = asyncio.create_task(feed())
        for factor in (4, 1, 3, 3):
            worker = stand.worker(
                function=Function(handle, name="stand", timeout=10.0),
                batch_size=7,
                parallelization_factor=factor,
                bisect_batch_on_function_error=True,
                maximum_retry_attempts=0,
                maximum_record_age_in_seconds=60,
                function_response_types=["ReportBatchItemFailures"],
                filter_criteria=[{"data": {"keep": [True]}}],
                destination_config=FAILED,
                drain_timeout=rng.choice([0.0, 1.0]),
                observers=[ledger],
            )
            async with worker:
                for _ in range(40):
                    await asyncio.sleep(rng.uniform(0, 1))
                    (mapping,) = worker.status().mappings
                    for shard in mapping.shards:
                        in_flight = ledger.in_flight((mapping.uuid, shard.shard_id))
                        assert in_flight == shard.records_held == sum(lane.records for lane in shard.lanes)
        await feeding
        assert ledger.broken == []
        return ledger.ways

    ways = run(main())
    assert {"succeeded", "partly failed", "filtered", "RetryAttemptsExhausted"} <= {way for way in ways if ways[way]}


def test_records_of_faster_lanes_are_passed_over_after_a_restart() -> None:
    async def main() -> None:
        stand, ledger, held = Stand(), Ledger(), asyncio.Event()

        async def handle(event: dict[str, Any], _context: Any) -> None:
            if event["Records"][0]["kinesis"]["partitionKey"] == "slow":
                await held.wait()
            await stand.handle(event, None)

        options = {"function": handle, "parallelization_factor": 4, "batch_size": 1, "observers": [ledger]}
        async with stand.worker(drain_timeout=0.1, **options):
            stand.stream.put(b"1", "slow")
            for n in range(20):
                stand.stream.put(b"x", f"k{n}")
            await asyncio.sleep(2.5)
            passed = len(stand.seen)
        held.set()
        async with stand.worker(**options):
            await asyncio.sleep(5)
        assert ledger.broken == []
        assert ledger.ways["passed over"] == passed > 5
        assert len(stand.seen) == len(set(stand.seen)) == 21

    run(main())
