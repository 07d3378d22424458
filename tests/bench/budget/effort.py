"""How long each part of the budget is measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.bench.comparison import Effort
from tests.bench.queue_meter import Window

__all__ = ["FULL", "TINY", "BudgetEffort"]


@dataclass(frozen=True)
class BudgetEffort:
    """`streams`: of comparisons of pollers; `queue`, `delays`: of one turn on a queue, and `queue_rounds` of them.

    `hold_s`: for how long the most idle shards are held, `step_s`: fewer ones. `shards`: how many idle ones there are,
    step by step, over HTTP, and over HTTPS; `frozen`: out of the garbage collector's sight. `idle_queues`: few, and
    many, each for `idle_queues_s` after so many receives of each (`idle_queues_waves`). `around`, `filtered`: calls and
    records of a round.
    """

    streams: Effort = field(default_factory=lambda: Effort(rounds=5, cpu_s=0.8, wall_s=1.3))
    drawn: Effort = field(default_factory=lambda: Effort(rounds=1, cpu_s=0.4, wall_s=0.8))
    queue: Window = field(default_factory=lambda: Window(warm_up_s=0.8, seconds=1.5))
    delays: Window = field(default_factory=lambda: Window(warm_up_s=0.5, seconds=6.0))
    queue_rounds: int = 5
    stall_s: float = 3.0
    stream_delays_s: float = 8.0
    hold_s: float = 20.0
    step_s: float = 4.0
    http: tuple[int, ...] = (200, 1000, 3000, 7000)
    frozen: tuple[int, ...] = (10_000,)
    https: tuple[int, ...] = (200, 1000, 5000)
    https_uvloop: tuple[int, ...] = (1000, 8000)
    idle_queues: tuple[int, int] = (200, 2000)
    idle_queues_s: float = 20.0
    idle_queues_waves: int = 6
    around: int = 1000
    filtered: int = 2000


FULL = BudgetEffort()
TINY = BudgetEffort(
    streams=Effort(rounds=1, cpu_s=0.05, wall_s=0.1),
    drawn=Effort(rounds=1, cpu_s=0.05, wall_s=0.1),
    queue=Window(warm_up_s=0, seconds=0.1),
    delays=Window(warm_up_s=0, seconds=0.2),
    queue_rounds=1,
    stall_s=0.2,
    stream_delays_s=2.5,
    hold_s=0.2,
    step_s=0.1,
    http=(2, 6),
    frozen=(),
    https=(),
    https_uvloop=(),
    idle_queues=(2, 4),
    idle_queues_s=0.2,
    idle_queues_waves=1,
    around=20,
    filtered=50,
)
"""So that it runs; its figures mean nothing."""
