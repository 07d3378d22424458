"""A look at thousands of shards holds up nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

from esm.runtime.status import ShardStatus
from esm.runtime.watch import AT_ONCE, SilenceWatch
from esm.telemetry import facts
from esm.telemetry.observer import Observers
from esm.testing.loop import SimClock
from esm.testing.run import run

SHARDS = 3000


def test_thousands_of_shards_are_looked_at_in_small_steps() -> None:
    turns: list[int] = []  # how many shards were looked at by then
    told: list[facts.Fact] = []
    looked = 0

    def each_shard() -> Iterator[ShardStatus]:
        nonlocal looked
        for number in range(SHARDS):
            looked += 1
            yield ShardStatus(shard_id=str(number), state="reading", silent_ms=90_000 if number == SHARDS - 1 else None)

    async def main() -> None:
        life: Any = SimpleNamespace(
            runner=SimpleNamespace(each_shard=each_shard), mapping=SimpleNamespace(uuid="mapping")
        )
        observers = Observers([SimpleNamespace(notice=told.append)])
        watch = asyncio.create_task(SilenceWatch({"one": life}, SimClock(), observers, 60, None).run())
        await asyncio.sleep(14)
        while not told:
            turns.append(looked)
            await asyncio.sleep(0.001 if not looked else 0)
        watch.cancel()

    run(main(), shuffle=False)
    assert looked == SHARDS
    assert max(after - before for before, after in pairwise(turns)) <= AT_ONCE
    assert [type(fact) for fact in told] == [facts.ShardSilent]
