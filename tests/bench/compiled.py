"""`python -m tests.bench.compiled`: what compiling brings, after `make compiled`; pure and compiled take turns."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.bench.comparison import Effort, compare
from tests.bench.processes import COMPILED
from tests.bench.queue_meter import Window
from tests.bench.queues import CASES, compare_queues, queue_tables
from tests.bench.report import machine, tables, under
from tests.bench.workloads import WORKLOADS

RESULTS = Path(__file__).parent / "results" / "compiled"
VARIANTS = ["aiobotocore", "esm", "esm, compiled"]
ROUNDS = 5
HEAD = """# What compiling brings

`make bench-compiled` made this page, in one run: `esm` as it is beside the wheel of `make compiled`, and an aiobotocore
loop. A server of canned answers runs on one core, one client at a time on another. They take turns, every other round
the other way round; figures are medians of CPU time, ratios are taken within a round.
"""


def main() -> int:
    """Measures, prints and writes; 2 when nothing was compiled."""
    if not COMPILED.is_dir():
        sys.stderr.write("nothing is compiled: run make compiled\n")
        return 2
    streams = compare(WORKLOADS, VARIANTS, Effort(ROUNDS), _tell)
    queues = compare_queues(CASES, VARIANTS, ROUNDS, Window(), _tell)
    parts = [HEAD, tables(streams, VARIANTS), queue_tables(queues, VARIANTS), under(machine(), ROUNDS)]
    RESULTS.mkdir(exist_ok=True)
    page = RESULTS / "compared.md"
    page.write_text("\n".join(parts) + "\n")
    sys.stdout.write(f"\n{page.read_text()}\nwritten to {page}\n")
    return 0


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
