"""A worker at full load with functions of every bad behaviour, looked at again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import esm
from tests.servers.sessions import signed_in
from tests.simulation.ledger import Ledger
from tests.soak.functions import functions
from tests.soak.gauge import Held, held

__all__ = ["Soaked", "soak"]

REGION = "eu-west-1"
SAMPLE_S = 2.0
AFTER_S = 6.0
"""How long what functions leave behind may take to end, once the worker has."""


@dataclass
class Soaked:
    """`before` and `after`: what the process held without the worker. `samples`: while it ran."""

    before: Held
    after: Held
    samples: list[Held]
    ledger: Ledger
    clean: bool
    ways: dict[str, int] = field(default_factory=dict)

    @property
    def growth(self) -> float:
        """Memory in the last quarter beside that in the second, by their medians; 1.0 is flat."""
        quarter = max(1, len(self.samples) // 4)
        warm, last = self.samples[quarter : 2 * quarter], self.samples[-quarter:]
        return median(sample.rss_mb for sample in last) / median(sample.rss_mb for sample in warm or last)

    @property
    def left(self) -> dict[str, int]:
        """Tasks, threads, processes and descriptors that are there now and were not before."""
        return self.after.above(self.before)


def mappings() -> list[esm.EventSourceMapping]:
    """One for each function, each of a stream of its own with two shards."""
    settings: dict[str, Any] = {
        "starting_position": "TRIM_HORIZON",
        "maximum_retry_attempts": 1,
        "bisect_batch_on_function_error": True,
        "function_response_types": ["ReportBatchItemFailures"],
        "parallelization_factor": 4,
    }
    return [
        esm.EventSourceMapping(
            event_source_arn=f"arn:aws:kinesis:{REGION}:123456789012:stream/{name}-2",
            function=function,
            uuid=name,
            **settings,
        )
        for name, function in functions().items()
    ]


async def soak(url: str, seconds: float, store: str, tell: Callable[[float, Held, Ledger], None]) -> Soaked:
    """Runs for so long. `tell`: hears of every sample: seconds since the start, what is held, and the sums."""
    loop, ledger = asyncio.get_running_loop(), Ledger()
    before, samples = held(), []
    worker = esm.Worker(
        mappings(), store=store, endpoint_url=url, region_name=REGION, session=signed_in(), observers=[ledger]
    )
    began = loop.time()
    async with worker:
        while (passed := loop.time() - began) < seconds:
            await asyncio.sleep(min(SAMPLE_S, seconds - passed))
            _check(worker, ledger)
            samples.append(held())
            tell(loop.time() - began, samples[-1], ledger)
    await asyncio.sleep(AFTER_S)
    return Soaked(before, held(), samples, ledger, worker.clean, dict(ledger.ways))


def _check(worker: esm.Worker, ledger: Ledger) -> None:
    """What facts say is in flight is what the worker says it holds."""
    for mapping in worker.status().mappings:
        for shard in mapping.shards:
            told = ledger.in_flight((mapping.uuid, shard.shard_id))
            if told != shard.records_held:
                ledger.broken.append(f"{mapping.uuid} {shard.shard_id}: {told} by facts, {shard.records_held} held")
