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
from tests.bench.comparison import Effort, check, compare
from tests.bench.filters import filter_table
from tests.bench.filters import write as write_filters
from tests.bench.observability import observability_table
from tests.bench.peers import absent, present
from tests.bench.queues import bench_queues
from tests.bench.report import page, write
from tests.bench.workloads import WORKLOADS

RESULTS = Path(__file__).parent / "results"
QUICK = Effort(rounds=1, cpu_s=0.4, wall_s=0.8)
DESCRIPTION = """\
esm beside other pollers, in one run on this machine: pollers of streams, filters, pollers of queues, and the budget.
All of it takes about half an hour; every table is printed, and written to tests/bench/results.
"""
EXAMPLES = """\
pollers of streams:
  {variants}

examples:
  python -m tests.bench --quick                                            a first look, in two minutes
  python -m tests.bench --only esm aiobotocore --workload '10,000 x 200'   two of them, one workload
  python -m tests.bench --budget --minute                                  what had to be reached, and what was

What is not installed is left out: python -m tests.bench.peers installs what runs on Node, and with --localstack
LocalStack's pollers. python -m tests.bench.isolation and python -m tests.bench.replay measure apart from all this.
"""


def _main() -> None:
    parser = _parser()
    options = parser.parse_args()
    if options.budget:
        bench_budget(RESULTS, _budget_effort(options), _tell, kept=not options.quick)
    elif options.queues:
        bench_queues(RESULTS, quick=options.quick, rounds=options.rounds, told=_tell)
    elif options.watched:
        sys.stdout.write(observability_table(options.rounds, seconds=5.0 if options.quick else 30.0))
        sys.stdout.write("\n" + around_table())
    elif missing := absent(options.only or ()):
        parser.error(missing)
    elif not any(options.workload in workload.name for workload in WORKLOADS):
        parser.error(f"no workload has {options.workload!r} in it: {'; '.join(each.name for each in WORKLOADS)}")
    else:
        _bench_streams(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=DESCRIPTION,
        epilog=EXAMPLES.format(variants="; ".join(VARIANTS)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--queues", action="store_true", help="the pollers of a queue, and nothing else")
    parts.add_argument("--budget", action="store_true", help="the budget, row by row, and nothing else")
    parts.add_argument("--watched", action="store_true", help="what metrics, logs and traces cost, and nothing else")
    parts.add_argument(
        "--only", metavar="NAME", nargs="+", choices=VARIANTS, help="these pollers of streams, and nothing else"
    )
    parser.add_argument("--workload", metavar="TEXT", default="", help="of streams: those whose name has this in it")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="one short round, of streams and filters unless told otherwise; nothing is written",
    )
    parser.add_argument("--rounds", type=int, default=Effort.rounds, help="how many turns each has (%(default)s)")
    parser.add_argument("--minute", action="store_true", help="of the budget: idle shards are held for a whole minute")
    return parser


def _bench_streams(options: argparse.Namespace) -> None:
    """All of it, unless it is about some pollers or some workloads only."""
    workloads = tuple(workload for workload in WORKLOADS if options.workload in workload.name)
    variants = options.only or present(VARIANTS)
    effort = QUICK if options.quick else Effort(rounds=options.rounds)
    for variant in variants:
        _tell(f"every record is handled: {variant}")
        check(variant)
    rows = compare(workloads, variants, effort, _tell)
    text = page(rows, variants, effort.rounds)
    _tell("")
    sys.stdout.write(f"\n{text}")
    if options.only or options.workload:
        return
    sys.stdout.write("\n" + (filter_table() if options.quick else write_filters(RESULTS).read_text()))
    if not options.quick:
        sys.stdout.write(f"\nwritten to {write(RESULTS, rows, text, effort)}, and as JSON beside it\n")
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
