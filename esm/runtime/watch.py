"""Tells of shards that are silent, and begins them anew if asked to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import anyio

from esm.clock import Clock, Millis
from esm.runtime.life import Life
from esm.runtime.status import ShardStatus
from esm.telemetry import facts
from esm.telemetry.observer import Observers

__all__ = ["SilenceWatch"]

LOOKS = 4
"""How often it looks in the time after which a shard is silent (chosen)."""

LOOK_MAX_S = 30.0

AT_ONCE = 50
"""Shards that are looked at in one turn of the loop: thousands would hold it up for a third of a second (measured)."""


class SilenceWatch:
    """Looks at every shard now and then. `after`, `restart_after`: seconds; `None`: begins none anew."""

    def __init__(
        self,
        lives: Mapping[str, Life],
        clock: Clock,
        observers: Observers,
        after: float,
        restart_after: float | None,
    ) -> None:
        self._lives, self._clock, self._observers = lives, clock, observers
        self._after_ms = round(after * 1000)
        self._restart_ms = None if restart_after is None else round(restart_after * 1000)
        self._told: dict[tuple[str, str], Millis] = {}
        shortest = after if restart_after is None else min(after, restart_after)
        self._look_s = min(LOOK_MAX_S, shortest / LOOKS)

    async def run(self) -> None:
        """Looks until it is cancelled."""
        while True:
            await anyio.sleep(self._look_s)
            for life in list(self._lives.values()):
                await self._look(life)

    async def _look(self, life: Life) -> None:
        runner = life.runner
        if runner is None:
            return
        for number, shard in enumerate(runner.each_shard()):
            if number % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)
            key, now = (life.mapping.uuid, shard.shard_id), self._clock.now()
            silent_ms = shard.silent_ms
            restarts = silent_ms is not None and self._restart_ms is not None and silent_ms >= self._restart_ms
            if silent_ms is None:
                self._told.pop(key, None)
            elif restarts or (silent_ms >= self._after_ms and now - self._told.get(key, 0) >= self._after_ms):
                self._told[key] = now
                self._notice(life, shard, silent_ms, now, restarts=restarts)
            if restarts:
                self._told.pop(key, None)
                runner.restart(shard.shard_id)

    def _notice(self, life: Life, shard: ShardStatus, silent_ms: Millis, now: Millis, *, restarts: bool) -> None:
        self._observers.notice(
            facts.ShardSilent(
                at=now,
                mapping=life.mapping.uuid,
                shard=shard.shard_id,
                behind_ms=shard.lag_ms,
                silent_ms=silent_ms,
                restarts=restarts,
            )
        )
