"""`python -m tests.mutations --count 100000`: reads changed files of settings, and prints what became of them."""

from __future__ import annotations

import argparse
import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from tests.mutations.judge import Judgement, judge

__all__ = ["main"]

CHUNK = 500
REPORT = 5_000


def main() -> None:
    """Exits with 1 when any file raises what it should not, or takes a second."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=main.__doc__)
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000_000))
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    began = time.perf_counter()
    total = Judgement()
    print(f"{options.count:,} files from seed {options.seed}", flush=True)  # noqa: T201  # it is what replays them
    with ProcessPoolExecutor(options.jobs) as pool:
        starts = range(options.seed, options.seed + options.count, CHUNK)
        counts = [min(CHUNK, options.seed + options.count - start) for start in starts]
        for found in pool.map(judge, starts, counts):
            total.outcomes += found.outcomes
            total.faults += found.faults
            total.slowest = max(total.slowest, found.slowest)
            for seed, what in found.faults:
                print(f"  seed {seed}: {what}", flush=True)  # noqa: T201  # as above
            read = sum(total.outcomes.values()) + len(total.faults)
            if not read % REPORT:
                print(f"  {read:,} read, {len(total.faults)} faults", flush=True)  # noqa: T201  # it takes a while
    rows = [*sorted(total.outcomes.items()), ("faults", len(total.faults))]
    for what, number in rows:
        print(f"  {what:<40}{number:>9,}")  # noqa: T201  # the table is what it is for
    slowest, seed = total.slowest
    print(f"  slowest {slowest:.3f} s (seed {seed}); {time.perf_counter() - began:.0f} s in all")  # noqa: T201  # as above
    sys.exit(bool(total.faults))


if __name__ == "__main__":
    main()
