"""`python -m tests.kill --rounds 100 --seed 1`: kills workers at named crash points, and prints what it did to them."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from tests.kill.rounds import Tally, play_many
from tests.servers.plugin import run_ministack

__all__ = ["main"]


def main() -> None:
    """Exits with 1 when anything is lost, out of order, or re-delivered beyond a batch a lane."""
    parser = argparse.ArgumentParser(prog="python -m tests.kill", description=main.__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--jobs", type=int, default=2, help="rounds at once")
    options = parser.parse_args()
    accounts = [f"{200_000_000_000 + i}" for i in range(options.jobs)]
    seeds = [options.seed + i for i in range(options.rounds)]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, contextmanager(run_ministack)(Path(name)) as url:
        tally = asyncio.run(play_many(url, accounts, Path(name), seeds))
    print(table(tally, options.seed, time.perf_counter() - started))  # noqa: T201  # the table is what it is for
    sys.exit(bool(tally.faults))


def table(tally: Tally, seed: int, seconds: float) -> str:
    """The summary."""
    most, batch = tally.redelivered
    rows = [
        ("rounds", f"{tally.rounds} (seeds from {seed}, {seconds:.0f} s)"),
        ("lives, kills", f"{tally.lives}, {tally.kills}"),
        ("records, failure records", f"{tally.records}, {tally.documents}"),
        ("lost", str(tally.lost)),
        ("out of order per key", str(tally.out_of_order)),
        ("re-delivered, in all", str(tally.redelivered_in_all)),
        ("re-delivered, most of a lane after a kill", f"{most} (batch size {batch})"),
        ("lanes with more than a batch after a kill", str(tally.over_a_batch)),
        ("killed within the function", share(tally.in_handler, tally.kills)),
        ("killed in mid-batch", share(tally.mid_batch, tally.kills)),
        ("other faults", str(len(tally.faults))),
        *((f"  at {point}", str(count)) for point, count in sorted(tally.points.items())),
    ]
    return "\n".join([*(f"{name:44}{value}" for name, value in rows), *tally.faults[:50]])


def share(part: int, whole: int) -> str:
    """A count, and what part of the whole it is."""
    return f"{part} of {whole} ({100 * part / max(1, whole):.0f} %)"


if __name__ == "__main__":
    main()
