"""Every variant under every workload, taking turns, and what that comes to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from tests.bench.meter import Plan
from tests.bench.processes import Canned, measure, serving
from tests.bench.workloads import BATCH_SIZE, Workload

__all__ = ["PAGES", "Effort", "Row", "amiss", "check", "compare"]

ENDLESS = 1_000_000_000
PAGES, RECORDS = 3, 130
"""Of the check: a page is one full batch and the rest of one."""


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


def check(variant: str) -> None:
    """Raises `RuntimeError` unless it handles every record of some pages, whatever is measured afterwards."""
    shards = 2 if variant.startswith("esm") else 1
    records = BATCH_SIZE if variant == "localstack" else RECORDS  # it asks for no more than a batch
    with serving(records, 200, PAGES) as server:
        total = shards * PAGES * records
        plan = Plan(server.url, str(server.counter), records, shards, warm_up=0, cpu_s=0, wall_s=0, total=total)
        handled = measure(variant, plan)["handled"]
    if wrong := amiss(handled, shards, records, numbered=variant != "async-kinesis"):
        raise RuntimeError(f"{variant} {wrong}")


def amiss(handled: Sequence[tuple[str, str, int]], shards: int, records: int, *, numbered: bool) -> str:
    """What is wrong with what was handled, as a meter keeps it; empty when each record came once and in its order.

    `numbered`: whether the variant hands out sequence numbers, or `handled` has none and no shards.
    """
    by_shard: dict[str, list[tuple[str, int]]] = {}
    for shard, number, place in handled:
        by_shard.setdefault(shard, []).append((number, place))
    if len(by_shard) != (shards if numbered else 1):
        return f"read {len(by_shard)} shards of {shards}"
    for shard, found in by_shard.items():
        if [place for _, place in found] != list(range(records)) * PAGES:
            return f"did not handle every record of {shard} once and in order"
        numbers = [int(number) for number, _ in found if numbered]
        if numbers != sorted(set(numbers)):
            return f"has sequence numbers of {shard} that do not rise"
    return ""


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
