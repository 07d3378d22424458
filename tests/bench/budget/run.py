"""The whole budget in one run: measured, printed, and written to `results/budget.json`, `.md` and `.svg`."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.budget.effort import BudgetEffort
from tests.bench.budget.idle import Step, idle_queues_row, idle_rows
from tests.bench.budget.inside import inside_rows
from tests.bench.budget.queues import delay_rows, queue_row, queue_tls_row
from tests.bench.budget.rows import Row, budget_table
from tests.bench.budget.scaling import Curve, curves, draw, scaling_tables
from tests.bench.budget.stalls import stall_row
from tests.bench.budget.streams import stream_costs, stream_rows, tls_row
from tests.bench.report import machine, under

__all__ = ["Budget", "bench_budget", "budget_page", "measure_budget", "write_budget"]


@dataclass(frozen=True)
class Budget:
    """What one run gave. `loads`: of the machine, the mean of a minute, before it and after. `rounds`: of pollers."""

    rows: list[Row]
    idle: dict[str, list[Step]]
    curves: list[Curve]
    seconds: float
    loads: tuple[float, float]
    rounds: int = 1

    @property
    def missed(self) -> list[str]:
        """The numbers of the rows in which something that must be was not reached."""
        return [row.number for row in self.rows if row.met is False]


def measure_budget(effort: BudgetEffort, told: Callable[[str], None], *, node: bool = True) -> Budget:
    """Every row, in the budget's order. `node`: whether what runs on Node takes part, if it is there."""
    began, load = time.perf_counter(), os.getloadavg()[0]
    costs = stream_costs(effort, told, node=node)
    rows = [*stream_rows(costs), queue_row(effort, told, node=node), stall_row(effort, told), *delay_rows(effort, told)]
    told("inside one process")
    rows += inside_rows(effort, costs)
    found, idle = idle_rows(effort, told)
    rows += [*found, idle_queues_row(effort, told), tls_row(effort, told), queue_tls_row(effort, told)]
    drawn = curves(effort, idle["http"], told)
    rows.sort(key=lambda row: int(row.number) if row.number.isdecimal() else sys.maxsize)
    return Budget(rows, idle, drawn, time.perf_counter() - began, (load, os.getloadavg()[0]), effort.streams.rounds)


def budget_page(budget: Budget) -> str:
    """Markdown: what was measured, the budget, how cost grows, and what it ran on."""
    parts = (_HEAD, budget_table(budget.rows), _SCALING, scaling_tables(budget.curves), "", _under(machine(), budget))
    return "\n".join(parts) + "\n"


def write_budget(folder: Path, budget: Budget) -> Path:
    """Writes the three files; gives the page."""
    folder.mkdir(exist_ok=True)
    data = {
        "machine": machine(),
        "load": budget.loads,
        "seconds": budget.seconds,
        "rounds": budget.rounds,
        "missed": budget.missed,
        "rows": [asdict(row) | {"met": row.met} for row in budget.rows],
        "idle": {name: [asdict(step) for step in steps] for name, steps in budget.idle.items()},
        "curves": [asdict(curve) for curve in budget.curves],
    }
    (folder / "budget.json").write_text(json.dumps(data, indent=1) + "\n")
    draw(budget.curves, folder / "budget.svg")
    page = folder / "budget.md"
    page.write_text(budget_page(budget))
    return page


def bench_budget(
    folder: Path, effort: BudgetEffort, told: Callable[[str], None], *, kept: bool = True
) -> Sequence[str]:
    """Measures, prints, and writes when it is `kept`; gives the numbers of the rows that were missed."""
    budget = measure_budget(effort, told)
    told("")
    sys.stdout.write(f"\n{budget_page(budget)}")
    if kept:
        sys.stdout.write(f"\nwritten to {write_budget(folder, budget)}, as JSON and as a drawing beside it\n")
    missed = ", ".join(budget.missed)
    sys.stdout.write(f"\nnot all that must be was reached in: {missed}\n" if missed else "\nall musts were reached\n")
    return budget.missed


_HEAD = """# The budget

`python -m tests.bench --budget` made this page, in one run. A server of canned answers runs on one core, one client at
a time on another. `esm` is the public `Worker` with positions in SQLite, botocore in the process, and an async function
that does nothing. Pollers take turns, every other round the other way round; ratios are taken within a round, of CPU
time, user and system, all threads, and are medians of the rounds. Delays and lateness are by the clock, so whatever
else the machine does is in them.

A core's worth of idle shards is how many polls its CPU is enough for, by the cost of one at the last step of the ramp;
held is what the ramp got to. A poll is late by what lies beyond a second since the one before, as the server saw it.
"""

_SCALING = """
## How cost grows

![CPU against the number of shards, the size of a batch and of a record](budget.svg)
"""


def _under(where: dict[str, Any], budget: Budget) -> str:
    before, after = budget.loads
    return (
        f"{under(where, budget.rounds)}\n"
        f"The run took {budget.seconds / 60:.0f} minutes. The load of the machine was {before:.1f} before it,\n"
        f"and with the benchmark itself {after:.1f} at its end; a machine that does nothing else shows about 2."
    )
