"""Every variant under every workload, taking turns, and what that comes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tests.bench.meter import Plan
from tests.bench.processes import Canned, measure, serving
from tests.bench.workloads import Workload

__all__ = ["Effort", "Row", "compare"]

ENDLESS = 1_000_000_000


@dataclass(frozen=True)
class Effort:
    """How much is measured. `cpu_s`, `wall_s`: of one window."""

    rounds: int = 3
    cpu_s: float = 0.7
    wall_s: float = 1.0


@dataclass
class Row:
    """One workload's samples by variant, one a round: microseconds of CPU a record, or a poll of the empty one."""

    workload: Workload
    samples: dict[str, list[float]] = field(default_factory=dict)
    rss_mib: dict[str, float] = field(default_factory=dict)

    def cost(self, variant: str) -> float:
        """Its median."""
        return median(self.samples[variant])

    def times(self, variant: str, reference: str) -> float:
        """How many times the CPU of `reference` this variant takes: the median of the ratios within each round."""
        pairs = zip(self.samples[variant], self.samples[reference], strict=True)
        return median(one / other for one, other in pairs)

    def add(self, variant: str, measured: dict[str, Any]) -> None:
        """Takes one measurement."""
        count = measured["records"] if self.workload.records else measured["polls"]
        self.samples.setdefault(variant, []).append(measured["cpu_s"] * 1e6 / count)
        self.rss_mib[variant] = max(measured["rss_mib"], self.rss_mib.get(variant, 0))


def compare(
    workloads: Sequence[Workload],
    variants: Sequence[str],
    effort: Effort,
    told: Callable[[str], None],
    *,
    tls: bool = False,
) -> list[Row]:
    """A row for each workload. Within a round each variant has one turn; every other round goes the other way."""
    rows = []
    for workload in workloads:
        row = Row(workload)
        pages = ENDLESS if workload.records else 0
        with serving(workload.records, workload.size, pages, tls=tls) as server:
            for number in range(effort.rounds):
                for variant in variants if number % 2 == 0 else reversed(variants):
                    told(f"{workload.name}, round {number + 1} of {effort.rounds}: {variant}")
                    server.reset()
                    row.add(variant, measure(variant, _plan(server, workload, variant, effort)))
        rows.append(row)
    return rows


def _plan(server: Canned, workload: Workload, variant: str, effort: Effort) -> Plan:
    shards = {"esm": workload.esm_shards, "async-kinesis": workload.queue_shards}.get(variant.partition(",")[0], 1)
    few = workload.records >= ENOUGH_AT_ONCE
    return Plan(
        url=server.url,
        counter=str(server.counter),
        records=workload.records,
        shards=shards,
        warm_up=max(2 * shards, 1 if few else 30),
        cpu_s=effort.cpu_s,
        wall_s=effort.wall_s,
        source=workload.source,
        batch_size=workload.batch_size,
        authority=server.authority,
    )


ENOUGH_AT_ONCE = 1000
"""Of so many records, one page warms up."""
