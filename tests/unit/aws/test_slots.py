"""Connections in turn: none is lost, whoever gives up when."""

from __future__ import annotations

import asyncio

from esm.aws.http import _turn
from esm.aws.pool import Slots
from esm.testing.run import run


def test_a_turn_that_nobody_takes_any_more_goes_to_the_next() -> None:
    async def main() -> None:
        slots = Slots(1)
        assert slots.enter()
        first, second = (asyncio.create_task(_turn(slots, 5)) for _ in range(2))
        await asyncio.sleep(0)
        slots.leave()
        first.cancel()
        assert await second
        assert first.cancelled()
        slots.leave()
        assert slots.enter()
        assert not slots.enter()
        assert not await _turn(slots, 0)
        slots.leave()
        assert slots.enter()

    run(main(), shuffle=False)
