"""How cost grows with the work: idle shards, the size of a batch, the size of a record; as a table, and drawn."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.budget.effort import BudgetEffort
from tests.bench.budget.idle import Step
from tests.bench.comparison import compare
from tests.bench.report import figure, table
from tests.bench.workloads import BATCH_SIZE, Workload

__all__ = ["Curve", "curves", "draw", "scaling_tables"]

VARIANTS = ("esm", "aiobotocore")
BATCHES = (10, 100, 1000, 10_000)
SIZES = ((100, 10_000), (1024, 4000), (10_240, 400), (51_200, 80))
"""Bytes of a record, and how many a poll brings: about as many bytes in each."""


@dataclass(frozen=True)
class Curve:
    """`lines`: by poller, what each of `points` costs, in microseconds of CPU."""

    what: str
    unit: str
    points: tuple[int, ...]
    lines: dict[str, list[float]]


def curves(effort: BudgetEffort, idle: Sequence[Step], told: Callable[[str], None]) -> list[Curve]:
    """One for each kind of growth. `idle`: the steps of shards, as they were measured."""
    of_shards = Curve(
        "idle shards, polled once a second",
        "us a poll",
        tuple(step.shards for step in idle),
        {"esm": [step.poll_us for step in idle]},
    )
    batches = [_workload(f"batch {size:,}", 10_000, 200, size) for size in BATCHES]
    sizes = [_workload(f"{size:,} B", records, size, BATCH_SIZE) for size, records in SIZES]
    return [
        of_shards,
        Curve("batch size, 10,000 x 200 B a poll", "us a record", BATCHES, _costs(batches, effort, told)),
        Curve(
            "bytes of a record, batch 100", "us a record", tuple(size for size, _ in SIZES), _costs(sizes, effort, told)
        ),
    ]


def scaling_tables(found: Sequence[Curve]) -> str:
    """Markdown: a table for each."""
    return "\n\n".join(
        table(
            [
                [f"{curve.what}: {curve.unit}", *(f"{point:,}" for point in curve.points)],
                *([name, *map(figure, costs)] for name, costs in curve.lines.items()),
            ]
        )
        for curve in found
    )


def draw(found: Sequence[Curve], path: Path) -> None:
    """The same as an SVG; both axes are logarithmic, so a line that is level or straight is what is wanted."""
    from matplotlib import rc_context  # noqa: PLC0415  # heavy, and only for this
    from matplotlib.figure import Figure  # noqa: PLC0415  # as above

    with rc_context({"svg.hashsalt": "esm", "svg.fonttype": "none", "font.size": 9}):
        drawn = Figure(figsize=(4 * len(found), 3.2), layout="constrained")
        lines = [_draw(axes, curve) for axes, curve in zip(drawn.subplots(1, len(found)), found, strict=True)]
        drawn.legend(handles=max(lines, key=len), loc="outside upper center", ncols=len(VARIANTS), frameon=False)
        drawn.savefig(path, format="svg", metadata={"Date": None})


def _draw(axes: Any, curve: Curve) -> list[Any]:
    """Its lines. Ticks stand where it was measured; the other axis has whole decades, or the level would look steep."""
    lines = [axes.plot(curve.points, costs, marker="o", label=name)[0] for name, costs in curve.lines.items()]
    seen = [math.log10(cost) for costs in curve.lines.values() for cost in costs]
    axes.set(xscale="log", yscale="log", xlabel=curve.what, ylabel=f"CPU, {curve.unit}")
    axes.set_xticks(curve.points, [f"{point:,}" for point in curve.points])
    decades = [10.0**power for power in range(math.floor(min(seen)), math.ceil(max(seen)) + 1)]
    axes.set_yticks(decades, [f"{decade:,g}" for decade in decades])
    axes.set_ylim(decades[0], decades[-1])
    axes.minorticks_off()
    axes.grid(visible=True, alpha=0.3)
    return lines


def _workload(name: str, records: int, size: int, batch_size: int) -> Workload:
    return Workload(name, records, size, esm_shards=4, queue_shards=1, batch_size=batch_size)


def _costs(workloads: Sequence[Workload], effort: BudgetEffort, told: Callable[[str], None]) -> dict[str, list[float]]:
    rows = compare(workloads, VARIANTS, effort.drawn, told)
    return {variant: [row.cost(variant) for row in rows] for variant in VARIANTS}
