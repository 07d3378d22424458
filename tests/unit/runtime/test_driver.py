"""A driver ends, and begins nothing more, whatever becomes of what is out."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from esm.runtime.driver import Driver
from esm.runtime.turns import Turns
from esm.testing.loop import SimClock
from esm.testing.run import run


class Endless:
    """A machine that has `lanes` commands out, always."""

    finished = over = False

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.settled = 0
        self.out: set[object] = set()

    def demand(self) -> int:
        return 0

    def take(self, _now: int) -> object | None:
        if len(self.out) >= self.lanes:
            return None
        command = object()
        self.out.add(command)
        return command

    def settle(self, command: object, _report: Any, _now: int) -> None:
        self.settled += 1
        self.out.remove(command)

    def wake_at(self) -> None:
        return None

    def drain(self) -> None:
        """It has no end."""


@pytest.mark.parametrize("lanes_after", [3, 0], ids=["there is more to do", "there is nothing to do"])
def test_a_driver_that_is_cut_off_ends_though_a_call_swallows_its_cancellation(lanes_after: int) -> None:
    async def main() -> None:
        machine, loop = Endless(lanes=3), asyncio.get_running_loop()
        begun = []

        async def perform(command: Any) -> Any:
            begun.append(command)
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                machine.lanes = lanes_after

        clock = SimClock(loop)  # type: ignore[arg-type]  # `run` gives a SimLoop
        driver = Driver[object, Any](machine, partial(partial, perform), clock, lambda *_: None, Turns())
        running = asyncio.create_task(driver.run())
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait([running], timeout=10)
        assert running.cancelled()
        assert (len(begun), machine.settled) == (3, 3)

    run(main(), until=100)
