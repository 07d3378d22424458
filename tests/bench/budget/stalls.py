"""Row 10: for how long one large poll keeps the loop from turning."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

from tests.bench.budget.effort import BudgetEffort
from tests.bench.budget.rows import Bound, Row
from tests.bench.meter import Plan
from tests.bench.processes import measure, serving

__all__ = ["stall_row"]

OWN, THEIRS = "esm, ticking", "aiobotocore, ticking"
RECORDS, SIZE = 10_000, 1024
ENDLESS = 1_000_000_000


def stall_row(effort: BudgetEffort, told: Callable[[str], None], *, records: int = RECORDS) -> Row:
    """A tick every millisecond beside a worker, and beside an aiobotocore loop, in turns."""
    stalls: dict[str, list[tuple[float, float]]] = {}
    with serving(records, SIZE, ENDLESS) as server:
        plan = Plan(
            url=server.url,
            counter=str(server.counter),
            records=records,
            shards=1,
            warm_up=2,
            cpu_s=effort.stall_s,
            wall_s=effort.stall_s,
        )
        for variant in (OWN, THEIRS):
            told(f"stalls: {variant}")
            server.reset()
            stalls[variant] = measure(variant, plan)["stalls"]
    cpu, clock = (median(each[of] for each in stalls[OWN]) for of in (0, 1))
    their_cpu, their_clock = (median(each[of] for each in stalls[THEIRS]) for of in (0, 1))
    bounds = (
        Bound("of aiobotocore's, CPU of the loop's thread", cpu / their_cpu, 1 / 6, 1 / 8, at_least=False, unit=""),
        Bound("of aiobotocore's, by the clock", clock / their_clock, unit=""),
        Bound("longest in CPU, median of the polls", cpu * 1000, None, 50, at_least=False, unit=" ms"),
        Bound("of an aiobotocore loop", their_cpu * 1000, unit=" ms"),
    )
    return Row("10", "longest stall of the loop in a poll of 10,000 x 1 KB, batch 100", bounds)
