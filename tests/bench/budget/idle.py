"""Idle shards, rows 8 and 9: how many a core holds at one poll a second, how late their polls are, what each takes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.budget.effort import BudgetEffort
from tests.bench.budget.rows import Bound, Row
from tests.bench.meter import Plan
from tests.bench.processes import measure, serving
from tests.bench.queue_meter import measure_idle_queues

__all__ = ["Step", "idle_queues_row", "idle_rows", "ramp"]

ESM = "esm"
PATIENCE_S = 25.0
"""How long a step may take to begin, and to end."""
WARM_UP = 6
"""Polls of a shard before it counts: the last shards have begun by then, and what their begin held up is over."""
KEEPING_UP = 0.9
"""Of a poll a second from each shard: fewer, and the core is full."""


@dataclass(frozen=True)
class Step:
    """So many shards, held for `seconds`. `late_p50_ms`, `late_p99_ms`: beyond a second after the poll before."""

    shards: int
    seconds: float
    polls: int
    cpu_s: float
    late_p50_ms: int | None
    late_p99_ms: int | None
    rss_mib: float

    @classmethod
    def of(cls, shards: int, measured: dict[str, Any]) -> Step:
        """What one process measured."""
        late = {name: measured[name] for name in ("late_p50_ms", "late_p99_ms")}
        seconds, cpu_s = measured["wall_s"], measured["cpu_s"]
        return cls(shards, seconds, measured["polls"], cpu_s, rss_mib=measured["rss_now_mib"], **late)

    @property
    def held(self) -> bool:
        """Whether all of them were polled about once a second."""
        return self.polls / self.seconds >= KEEPING_UP * self.shards

    @property
    def poll_us(self) -> float:
        """CPU of a poll."""
        return self.cpu_s * 1e6 / self.polls

    @property
    def shards_a_core(self) -> float:
        """How many polls a second of CPU is enough for."""
        return 1e6 / self.poll_us

    def words(self) -> str:
        """What it was like."""
        held = "" if self.held else f", of which only {self.polls / self.seconds:,.0f} were polled in a second"
        return (
            f"{self.shards:,} for {self.seconds:.0f} s{held}: {self.cpu_s / self.seconds:.2f} of a core, "
            f"late p50 {self.late_p50_ms} ms, p99 {self.late_p99_ms} ms, {self.rss_mib:.0f} MiB"
        )


def ramp(
    variant: str, counts: Sequence[int], effort: BudgetEffort, told: Callable[[str], None], *, tls: bool
) -> list[Step]:
    """More and more shards, up to the first step that is not held; the last is held for longer."""
    steps: list[Step] = []
    for count in counts:
        told(f"idle: {count:,} shards, {variant}{', TLS' if tls else ''}")
        seconds = effort.hold_s if count == counts[-1] else effort.step_s
        try:
            steps.append(_step(variant, count, seconds, tls=tls))
        except subprocess.TimeoutExpired:
            break
        if not steps[-1].held:
            break
    return steps


def idle_rows(effort: BudgetEffort, told: Callable[[str], None]) -> tuple[list[Row], dict[str, list[Step]]]:
    """Both rows, and the steps they come from."""
    found = {
        "http": ramp("esm", effort.http, effort, told, tls=False),
        "http, frozen": ramp("esm, frozen", effort.frozen, effort, told, tls=False),
        "https": ramp("esm", effort.https, effort, told, tls=True),
        "https, uvloop": ramp("esm, uvloop", effort.https_uvloop, effort, told, tls=True),
    }
    words = "; ".join(f"{name}: {' / '.join(step.words() for step in steps)}" for name, steps in found.items())
    bounds = (
        Bound("http, held", _most(found["http"]), 7000, unit=" shards"),
        Bound("https, held", _most(found["https"]), 5000, unit=" shards"),
        Bound("https on uvloop, held", _most(found["https, uvloop"]), None, 8000, unit=" shards"),
        Bound("http, frozen, held", _most(found["http, frozen"]), None, 10_000, unit=" shards"),
        *(Bound(f"{name}, a core's worth by CPU", _worth(steps), unit=" shards") for name, steps in found.items()),
        *(
            Bound(f"{name}, late p99", _late(steps), None, 50, at_least=False, unit=" ms")
            for name, steps in found.items()
        ),
    )
    return [Row("8", "idle shards a core at one poll a second", bounds, words), _memory(found["http"])], found


def idle_queues_row(effort: BudgetEffort, told: Callable[[str], None]) -> Row:
    """What a queue costs in which nothing is: its long poll comes back every twenty seconds, and keeps a connection."""
    few, many = effort.idle_queues
    found = []
    for count in (few, many):
        told(f"idle: {count:,} queues")
        found.append(measure_idle_queues(ESM, count, effort.idle_queues_s, waves=effort.idle_queues_waves))
    first, last = found
    each = (last.rss_mib - first.rss_mib) * 1024 / (many - few)
    bounds = (
        Bound(f"{many:,}: polls of each within {last.seconds:.0f} s", last.receives / many, unit=""),
        Bound(f"{many:,}: of a core", last.cpu_s / last.seconds, unit="%"),
        Bound("CPU of a poll", last.poll_us, unit=" us"),
        Bound("memory of one, with its connections", each, unit=" KiB"),
    )
    return Row("9", "idle queues, long polls of 20 s", bounds)


def _most(steps: list[Step]) -> int | None:
    return max((step.shards for step in steps if step.held), default=None)


def _worth(steps: list[Step]) -> float | None:
    return steps[-1].shards_a_core if steps else None


def _late(steps: list[Step]) -> float | None:
    return steps[-1].late_p99_ms if steps else None


def _memory(steps: list[Step]) -> Row:
    """Between the fewest, who have filled the pool of connections as well, and the most."""
    each = None
    if len(steps) > 1:
        few, many = steps[0], steps[-1]
        each = (many.rss_mib - few.rss_mib) * 1024 / (many.shards - few.shards)
    whole = None if each is None else steps[0].rss_mib + each * (10_000 - steps[0].shards) / 1024
    bounds = (
        Bound("beyond the pool", each, 16, 6, at_least=False, unit=" KiB"),
        Bound("the process at 10,000, by that", whole, None, 128, at_least=False, unit=" MiB"),
    )
    return Row("9", "memory of an idle shard", bounds)


def _step(variant: str, shards: int, seconds: float, *, tls: bool) -> Step:
    with serving(0, 0, 0, tls=tls) as server:
        plan = Plan(
            url=server.url,
            counter=str(server.counter),
            records=0,
            shards=shards,
            warm_up=WARM_UP * shards,
            cpu_s=1e9,
            wall_s=seconds,
            authority=server.authority,
        )
        return Step.of(shards, measure(variant, plan, patience_s=2 * PATIENCE_S + seconds))
