"""What it costs to be watched: one worker, unwatched, with metrics, with logs, with traces, in turns.

    python -m tests.bench --watched --rounds 3

The figure is CPU a record beside the unwatched worker's. A core that is busy handles fewer records a second by as much;
one that is not busy loses less.
"""

from __future__ import annotations

import timeit
from statistics import median

from esm.telemetry.observer import Observers
from tests.bench.meter import Plan
from tests.bench.processes import measure, serving
from tests.bench.workloads import BATCH_SIZE, WORKLOADS

__all__ = ["asking_us", "observability_table", "rounds_of"]

VARIANT = "esm, watched"
WORKLOAD = next(each for each in WORKLOADS if each.name == "10,000 x 200 B")
ENDLESS = 1_000_000_000
ASKED_A_BATCH = 4
"""Before and after a call, after its position is stored, and, once for many batches, after a read."""
SLICE_S = 0.3


def observability_table(rounds: int = 3, seconds: float = 30.0) -> str:
    """Markdown: CPU a record of each way to watch, and what it adds to the unwatched worker's."""
    measured, lines = rounds_of(rounds, seconds), []
    for name in measured[0]:
        added = [watched / off - 1 for watched, off in (each[name] for each in measured)]
        cost, off = (median(each[name][i] for each in measured) for i in (0, 1))
        share = f"{median(added):+.1%} | {min(added):+.1%} to {max(added):+.1%}"
        lines.append(f"| {name} | {off:.3f} | {cost:.3f} | {share} |")
    asking = ASKED_A_BATCH * asking_us() / BATCH_SIZE
    lines.append(f"| nobody: asking whether anybody listens | | {asking:.4f} | {asking / off:.2%} | |")
    head = f"| {WORKLOAD.name}, us a record | unwatched | watched | added, median of {rounds} rounds | from, to |"
    return "\n".join([head, "|---|--:|--:|--:|--:|", *lines]) + "\n"


def asking_us() -> float:
    """Microseconds to ask once, when nobody does: all that an unwatched worker does for those who watch."""
    nobody = Observers(())
    return min(timeit.repeat(lambda: nobody.listening, number=10_000, repeat=5)) * 1e6 / 10_000


def rounds_of(rounds: int, seconds: float, slice_s: float = SLICE_S) -> list[dict[str, tuple[float, float]]]:
    """For each round, in a process of its own, by way to watch: us of CPU a record, and unwatched beside it."""
    with serving(WORKLOAD.records, WORKLOAD.size, ENDLESS) as server:
        found = []
        for _ in range(rounds):
            server.reset()
            plan = Plan(
                url=server.url,
                counter=str(server.counter),
                records=WORKLOAD.records,
                shards=WORKLOAD.esm_shards,
                warm_up=0,
                cpu_s=slice_s,
                wall_s=seconds,
            )
            ways = measure(VARIANT, plan)
            del ways["handled"]
            found.append({name: (way["watched"], way["off"]) for name, way in ways.items()})
    return found
