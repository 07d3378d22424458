"""A soak: `python -m tests.soak --minutes 30`. The exit code is 0 when nothing grew, stayed or was lost count of."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.bench.processes import serving
from tests.simulation.ledger import Ledger
from tests.soak.gauge import Held
from tests.soak.soak import Soaked, soak

GROWTH_MAX = 1.05
RECORDS, SIZE, PAGES = 1000, 200, 10**9


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    minutes = parser.parse_args().minutes
    lifetime_s = minutes * 60 + 120
    with tempfile.TemporaryDirectory() as folder, serving(RECORDS, SIZE, PAGES, lifetime_s=lifetime_s) as server:
        done = asyncio.run(soak(server.url, minutes * 60, f"sqlite:///{Path(folder, 'esm.db')}", Told()))
    return verdict(done)


class Told:
    """A line a minute."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def __call__(self, seconds: float, held: Held, ledger: Ledger) -> None:
        if seconds >= self._next_s:
            self._next_s += 60.0
            records = sum(ledger.settled.values())
            print(f"{seconds / 60:5.1f} min  {records:>13,} records settled  {held}", flush=True)  # noqa: T201  # its output


def verdict(done: Soaked) -> int:
    """Says it, as an exit code."""
    said = [
        f"settled: {', '.join(f'{count:,} {way}' for way, count in sorted(done.ways.items()))}",
        f"memory of the last quarter beside the second: {done.growth:.3f} (at most {GROWTH_MAX})",
        f"left behind: {done.left or 'nothing'}; before {done.before}; after {done.after}",
        f"sums that were wrong: {len(done.ledger.broken)} of {len(done.samples)} samples {done.ledger.broken[:3]}",
        f"stopped clean: {done.clean}",
    ]
    print("\n".join(said))  # noqa: T201  # its output
    return 0 if done.growth <= GROWTH_MAX and not done.left and not done.ledger.broken else 1


if __name__ == "__main__":
    sys.exit(main())
