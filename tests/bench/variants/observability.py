"""One worker, watched in several ways in turns: CPU and records of each, within one process.

What differs from process to process, and from minute to minute, is the same for all of them.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
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

SCRAPE_S = 5.0
"""How often Prometheus looks; most let it look every 15 s."""


def run(plan: Plan, meter: Meter) -> None:
    """Slices of `cpu_s` for each way in turns, until `wall_s` are over."""
    asyncio.run(_work(plan, meter))


@dataclass
class Slices:
    """CPU and records of some slices of time."""

    cpu_s: float = 0.0
    records: int = 0

    def cost(self) -> float:
        """Microseconds a record."""
        return self.cpu_s * 1e6 / self.records


@dataclass
class Way:
    """One way to watch: what its slices came to, and those beside them in which nobody watched."""

    observers: tuple[Observer, ...]
    scrape: Callable[[], Any] | None = None
    watched_s: float = 0.0
    watched: Slices = field(default_factory=Slices)
    beside: Slices = field(default_factory=Slices)


def _ways() -> dict[str, Way]:
    configure_logging(json=True, stream=io.StringIO())
    prometheus = PrometheusMetrics()
    return {
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
    meter.found = {name: {"watched": way.watched.cost(), "off": way.beside.cost()} for name, way in ways.items()}


async def _take_turns(plan: Plan, meter: Meter, told: Observers, ways: dict[str, Way]) -> None:
    """Each slice has one beside it in which nobody watches, before it and behind it in turns."""
    ends, turn = time.perf_counter() + plan.wall_s, 0
    while time.perf_counter() < ends:
        turn += 1
        for way in ways.values():
            slices = [(way.observers, way.watched), ((), way.beside)]
            for observers, slices_so_far in slices if turn % 2 else reversed(slices):
                _tell(told, observers)
                await asyncio.sleep(0.02)  # what was begun before goes on for a moment
                cpu_s, records = time.process_time(), meter.records
                await asyncio.sleep(plan.cpu_s)
                if observers:
                    _scrape(way, plan.cpu_s)
                slices_so_far.cpu_s += time.process_time() - cpu_s
                slices_so_far.records += meter.records - records
    _tell(told, ())


def _scrape(way: Way, seconds: float) -> None:
    before, way.watched_s = way.watched_s, way.watched_s + seconds
    if way.scrape is not None and before // SCRAPE_S != way.watched_s // SCRAPE_S:
        way.scrape()


def _tell(told: Observers, observers: tuple[Observer, ...]) -> None:
    """From now on these are told, and no others."""
    now = Observers(observers)
    told._observers, told._kinds, told.wants_traces = now._observers, now._kinds, now.wants_traces
