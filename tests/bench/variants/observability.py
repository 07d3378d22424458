"""One worker, watched in several ways in turns: CPU and records of each, within one process.

What differs from process to process, and from minute to minute, is the same for all of them.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from aiobotocore.session import get_session

import esm
from esm.telemetry.logs import LogObserver, configure_logging
from esm.telemetry.metrics import Metrics
from esm.telemetry.observer import Observer, Observers
from esm.telemetry.otel import OpenTelemetry
from esm.telemetry.prometheus import PrometheusMetrics
from tests.bench.meter import Meter, Plan
from tests.bench.workloads import BATCH_SIZE

__all__ = ["run"]

SCRAPE_S = 0.5
"""How often Prometheus looks: far more often than it does anywhere."""


def run(plan: Plan, meter: Meter) -> None:
    """Slices of `cpu_s` for each way, there and back, until `wall_s` are over."""
    asyncio.run(_work(plan, meter))


@dataclass
class Way:
    """One way to watch, and what its slices came to."""

    observers: tuple[Observer, ...] = ()
    scrape: Callable[[], Any] | None = None
    cpu_s: float = 0.0
    records: int = 0


def _ways() -> dict[str, Way]:
    configure_logging(json=True, stream=io.StringIO())
    prometheus = PrometheusMetrics()
    return {
        "off": Way(),
        "metrics": Way((Metrics(),)),
        "Prometheus": Way((prometheus,), scrape=prometheus.exposition),
        "Prometheus and logs": Way((prometheus, LogObserver()), scrape=prometheus.exposition),
        "OpenTelemetry": Way((_traces(),)),
    }


def _traces() -> OpenTelemetry:
    """A span for every batch, recorded in full and exported to nowhere; and a meter."""
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415  # the SDK is the tests' alone
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415  # as above

    return OpenTelemetry(tracer_provider=TracerProvider(), meter_provider=MeterProvider())


async def _work(plan: Plan, meter: Meter) -> None:
    session = get_session()
    session.set_credentials("bench", "bench")
    mapping = esm.EventSourceMapping(
        event_source_arn=plan.arn, function=meter.handle, starting_position="TRIM_HORIZON", batch_size=BATCH_SIZE
    )
    ways = _ways()
    every = [observer for way in ways.values() for observer in way.observers]
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/positions.db"
        async with esm.Worker(
            [mapping], store=store, endpoint_url=plan.url, session=session, observers=every
        ) as worker:
            await asyncio.sleep(plan.cpu_s)
            assert worker._shift is not None
            await _take_turns(plan, meter, worker._shift._observers, ways)
    meter.found = {name: {"cpu_s": way.cpu_s, "records": way.records} for name, way in ways.items()}


async def _take_turns(plan: Plan, meter: Meter, told: Observers, ways: dict[str, Way]) -> None:
    ends = time.perf_counter() + plan.wall_s
    while time.perf_counter() < ends:
        for way in _there_and_back(ways.values()):
            _tell(told, way.observers)
            await asyncio.sleep(0.02)  # what was begun before goes on for a moment
            cpu_s, records = time.process_time(), meter.records
            await _slice(plan.cpu_s, way)
            way.cpu_s += time.process_time() - cpu_s
            way.records += meter.records - records
    _tell(told, ())


def _there_and_back(ways: Iterable[Way]) -> list[Way]:
    there = list(ways)
    return [*there, *reversed(there)]


async def _slice(seconds: float, way: Way) -> None:
    ends = time.perf_counter() + seconds
    while (left := ends - time.perf_counter()) > 0:
        await asyncio.sleep(min(left, SCRAPE_S))
        if way.scrape is not None:
            way.scrape()


def _tell(told: Observers, observers: tuple[Observer, ...]) -> None:
    """From now on these are told, and no others."""
    now = Observers(observers)
    told._observers, told._kinds, told.wants_traces = now._observers, now._kinds, now.wants_traces
