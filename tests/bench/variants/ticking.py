"""A poller whose loop is asked to turn every millisecond: the longest that it did not, in each poll.

Measured in CPU time of the loop's thread, so that other programs that have the core meanwhile do not count; and by the
clock, where they do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from tests.bench.meter import Meter, Plan
from tests.bench.variants.aiobotocore_loop import poll
from tests.bench.variants.esm_worker import work

__all__ = ["run_aiobotocore", "run_esm"]

TICK_S = 0.001


@dataclass
class Ticks:
    """The longest time between two turns since the last page began, and that of each page before: (CPU, clock)."""

    meter: Meter
    longest: tuple[float, float] = (0.0, 0.0)
    pages: list[tuple[float, float]] = field(default_factory=list)
    _page: int = 0

    async def run(self) -> None:
        """Ticks until it is cancelled."""
        cpu, clock = time.thread_time(), time.perf_counter()
        while True:
            await asyncio.sleep(TICK_S)
            now_cpu, now_clock = time.thread_time(), time.perf_counter()
            self.longest = max(self.longest, (now_cpu - cpu, now_clock - clock - TICK_S))
            cpu, clock = now_cpu, now_clock
            self._turn()

    def _turn(self) -> None:
        page = self.meter.records // max(1, self.meter.plan.records)
        if page > self._page:
            self._page = page
            self.pages.append(self.longest)
            self.longest = (0.0, 0.0)


def run_esm(plan: Plan, meter: Meter) -> None:
    """The worker."""
    asyncio.run(_beside(work(plan, meter), meter))


def run_aiobotocore(plan: Plan, meter: Meter) -> None:
    """The loop over aiobotocore; it turns between two batches."""

    async def turn(event: dict[str, Any], context: Any) -> None:
        meter.handle_now(event, context)
        await asyncio.sleep(0)

    meter.handle = turn  # type: ignore[method-assign]  # it is this very meter that counts
    asyncio.run(_beside(poll(plan, meter), meter))


async def _beside(working: Awaitable[None], meter: Meter) -> None:
    ticks = Ticks(meter)
    ticking = asyncio.create_task(ticks.run())
    await working
    ticking.cancel()
    meter.found = {"stalls": ticks.pages[1:]}  # the first page has the start in it
