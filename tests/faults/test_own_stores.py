"""Stores of a user's own: what they give is of the types it is said to have, or is refused by the field's name."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from esm.leasing.lease import Lease
from esm.records.position import Checkpoint, LanePositions
from esm.records.window import Window
from esm.telemetry import facts
from esm.testing.run import run
from tests.faults.world import HOUR, Store, World

WINDOWED = {"tumbling_window_in_seconds": 60}


class Loose(Store):
    """Keeps lists where tuples are meant, and another kind of number."""

    def __init__(self, number: Callable[[int], Any]) -> None:
        super().__init__()
        self.number = number

    async def take(self, lease: Lease, owner: str) -> Lease:
        taken = await super().take(lease, owner)
        return replace(taken, checkpoint=self._loose(taken.checkpoint))

    def _loose(self, checkpoint: Checkpoint) -> Checkpoint:
        lanes: Any = [LanePositions(list(layer.settled)) for layer in checkpoint.lanes]  # type: ignore[arg-type]  # so it is
        window = checkpoint.window
        if window is not None:
            window = Window(self.number(window.start), self.number(window.end), window.state)
        return replace(checkpoint, lanes=lanes, window=window)


@pytest.mark.parametrize("number", [Decimal, float])
def test_a_window_goes_on_after_a_restart_whatever_a_store_makes_of_numbers(number: Callable[[int], Any]) -> None:
    async def main() -> None:
        world = World()
        world.store = Loose(number)
        windows: list[dict[str, str]] = []

        def handle(event: dict[str, Any], _context: Any) -> dict[str, Any]:
            windows.append(event["window"])
            return {"state": {"count": event["state"].get("count", 0) + len(event["Records"])}}

        for value in ("1", "2"):
            world.put(value)
            async with world.worker(function=handle, **WINDOWED) as worker:
                await world.until(lambda: len(windows) >= int(value))  # noqa: B023  # done before the next
                (lease,) = await world.store.load(worker.mappings[0].uuid)
        assert windows[1] == windows[0]
        assert lease.checkpoint.window is not None
        assert type(lease.checkpoint.window.start) is int
        assert not world.of(facts.MappingFailed)

    run(main(), until=HOUR // 1000)


def test_what_is_no_checkpoint_is_told_by_its_field() -> None:
    async def main() -> None:
        world = World()
        world.store = Loose(lambda _: "a minute ago")
        world.put("1")
        async with world.worker(function=lambda *_: {"state": {}}, **WINDOWED):
            await world.until(lambda: any(row.checkpoint.window for row in world.store.rows.values()))
        async with world.worker(function=lambda *_: {"state": {}}, **WINDOWED) as worker:
            await world.until(lambda: worker.status().mappings[0].last_error is not None)
            assert "$.window.start" in str(worker.status().mappings[0].last_error)

    run(main(), until=HOUR // 1000)
