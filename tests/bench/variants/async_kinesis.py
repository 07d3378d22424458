"""async-kinesis' `Consumer` at its fastest: raw data, no throttle, no pause on an idle shard, positions in memory.

It hands out a record's data and nothing else, so the event has no more than that.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from typing import Any

from kinesis import Consumer
from kinesis.aggregators import SimpleAggregator
from kinesis.processors import Processor

from tests.bench.meter import Meter, Plan
from tests.bench.workloads import BATCH_SIZE

__all__ = ["run"]


class Raw(Processor, SimpleAggregator):  # type: ignore[misc]  # the package has no types
    """Data as it came."""

    def deserialize(self, data: bytes) -> bytes:
        return data


def run(plan: Plan, meter: Meter) -> None:
    """Consumes until there is enough."""
    logging.disable()
    asyncio.run(_consume(plan, meter))


async def _consume(plan: Plan, meter: Meter) -> None:
    consumer = Consumer(
        plan.arn,
        endpoint_url=plan.url,
        region_name="eu-west-1",
        use_list_shards=True,
        shard_fetch_rate=1_000_000,
        sleep_time_no_records=0,
        idle_timeout=0.05 if plan.records == 0 else 5.0,
        processor=Raw(),
    )
    async with consumer:
        await (_handle_pages(consumer, plan, meter) if plan.records else _idle(consumer, meter))


async def _handle_pages(consumer: Any, plan: Plan, meter: Meter) -> None:
    """A page's last record is where measuring begins and ends: the next page is then as far as it was before."""
    batch: list[Any] = []
    left = plan.records
    async for data in consumer:
        batch.append(data)
        left -= 1
        if len(batch) == BATCH_SIZE or not left:
            await meter.handle(_event(batch), None)
            batch = []
        if not left:
            left = plan.records
            if meter.lap(at_rest=True):
                return


async def _idle(consumer: Any, meter: Meter) -> None:
    while not meter.lap():
        async for _ in consumer:
            pass


def _event(batch: list[bytes]) -> dict[str, Any]:
    encode = base64.b64encode
    return {"Records": [{"kinesis": {"data": encode(data).decode()}, "eventSource": "aws:kinesis"} for data in batch]}
