"""`python -m tests.bench`: esm beside other pollers, in one run on this machine."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tests.bench.around import around_table
from tests.bench.budget.effort import FULL, BudgetEffort
from tests.bench.budget.run import bench_budget
from tests.bench.client import VARIANTS
from tests.bench.comparison import Effort, compare
from tests.bench.filters import filter_table
from tests.bench.filters import write as write_filters
from tests.bench.observability import observability_table
from tests.bench.queues import bench_queues
from tests.bench.report import tables, write
from tests.bench.workloads import WORKLOADS

RESULTS = Path(__file__).parent / "results"
QUICK = Effort(rounds=1, cpu_s=0.4, wall_s=0.8)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round; nothing is written")
    parser.add_argument("--rounds", type=int, default=Effort.rounds)
    parser.add_argument("--only", metavar="NAME", nargs="+", default=list(VARIANTS), help=", ".join(VARIANTS))
    parser.add_argument("--queues", action="store_true", help="the pollers of a queue, and nothing else")
    parser.add_argument("--budget", action="store_true", help="the budget, row by row, and nothing else")
    parser.add_argument("--minute", action="store_true", help="of the budget: idle shards are held for a whole minute")
    parser.add_argument("--watched", action="store_true", help="what metrics, logs and traces cost, and nothing else")
    parser.add_argument("--workload", metavar="TEXT", default="", help="those whose name has this in it")
    options = parser.parse_args()
    workloads = tuple(workload for workload in WORKLOADS if options.workload in workload.name)
    if options.budget:
        bench_budget(RESULTS, _budget_effort(options), _tell, kept=not options.quick)
        return
    if options.queues:
        bench_queues(RESULTS, quick=options.quick, rounds=options.rounds, told=_tell)
        return
    if options.watched:
        sys.stdout.write(observability_table(options.rounds, seconds=5.0 if options.quick else 30.0))
        sys.stdout.write("\n" + around_table())
        return
    effort = QUICK if options.quick else Effort(rounds=options.rounds)
    rows = compare(workloads, options.only, effort, _tell)
    _tell("")
    sys.stdout.write("\n" + tables(rows, options.only))
    if not options.workload:
        sys.stdout.write("\n" + (filter_table() if options.quick else write_filters(RESULTS).read_text()))
    if not options.quick and options.only == list(VARIANTS) and workloads == WORKLOADS:
        sys.stdout.write(f"\nwritten to {write(RESULTS, rows, options.only, effort)}, and as JSON beside it\n")
        bench_queues(RESULTS, quick=False, rounds=options.rounds, told=_tell)
        bench_budget(RESULTS, _budget_effort(options), _tell)


def _budget_effort(options: argparse.Namespace) -> BudgetEffort:
    if options.quick:
        return replace(FULL, streams=QUICK, queue_rounds=1, hold_s=5.0)
    return replace(FULL, hold_s=60.0) if options.minute else FULL


def _tell(text: str) -> None:
    """Shows how far it is, on a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


if __name__ == "__main__":
    _main()
