"""When a run is over by itself: nothing is read any more, and nothing will be before somebody acts."""

from __future__ import annotations

from collections.abc import Callable

from esm.runtime.status import MappingStatus, WorkerStatus
from esm.telemetry import facts

__all__ = ["Halts", "all_stuck", "is_stuck"]

_STUCK = ("halted", "lost")
_STOPS = (facts.ShardHalted, facts.LeaseLost)


class Halts:
    """An `Observer` that calls `over`, once, when the last shard that went on is halted or lost.

    `status`: what the worker looks like; `None` before there is one. `over_by_itself`: whether it called.
    """

    def __init__(self, over: Callable[[], None]) -> None:
        self.status: Callable[[], WorkerStatus] | None = None
        self.over_by_itself = False
        self.kinds: frozenset[type[facts.Fact]] = frozenset([*_STOPS, facts.ShardEnded])
        self._over = over
        self._any = False

    def notice(self, fact: facts.Fact) -> None:
        """Looks at all shards whenever one of them stops for good."""
        self._any = self._any or isinstance(fact, _STOPS)
        if type(fact) not in self.kinds or not self._any or self.over_by_itself or self.status is None:
            return
        status = self.status()
        if not status.stopping and all_stuck(status):
            self.over_by_itself = True
            self._over()


def all_stuck(status: WorkerStatus) -> bool:
    """Whether no mapping goes on. Those that never ran, as they are disabled, count for nothing."""
    ran = [mapping for mapping in status.mappings if mapping.shards or mapping.state != "Disabled"]
    return bool(ran) and all(is_stuck(mapping) for mapping in ran)


def is_stuck(mapping: MappingStatus) -> bool:
    """Whether some of its shards are halted or lost and all others ended, or wait for one that is."""
    stuck: set[str] = set()
    left = [shard for shard in mapping.shards if shard.state != "ended"]
    while found := [
        shard
        for shard in left
        if shard.state in _STUCK or (shard.state == "waiting" and not stuck.isdisjoint(shard.parents))
    ]:
        stuck.update(shard.shard_id for shard in found)
        left = [shard for shard in left if shard.shard_id not in stuck]
    return bool(stuck) and not left
