"""What of a recording, or of a stream, is replayed, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from esm.clock import Clock, Millis

__all__ = ["Pace", "Selection", "Unmatched"]

_NAMED_SHARDS, _NAMED_KEYS = 5, 3
"""So many of those that are there are named. Keys may be anybody's names: three show how they are written (chosen)."""


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A shard or key that was asked for, and no record matched. `there`: some of those that there are instead."""

    option: Literal["shard", "key"]
    asked: str
    there: tuple[str, ...]
    more: bool


class Selection:
    """Which records are wanted. `None` and empty: all.

    `since`, `until`: epoch ms that a record arrived at, the first in, the last not. `keys`: partition keys, items' keys
    as JSON text, or message groups. Whoever reads tells it what comes by (`notice`), so that it can say what it was
    asked for in vain.
    """

    def __init__(
        self,
        *,
        since: Millis | None = None,
        until: Millis | None = None,
        shards: Iterable[str] = (),
        keys: Iterable[str] = (),
    ) -> None:
        self.since, self.until = since, until
        self.shards, self.keys = frozenset(shards), frozenset(keys)
        self._by_time = since is not None or until is not None
        self._met_shards: set[str] = set()
        self._met_keys: set[str] = set()  # of those that are wanted
        self._some_keys: dict[str, None] = {}  # one more than is named

    def has_shard(self, shard_id: str) -> bool:
        """Whether any record of this shard may be wanted."""
        return not self.shards or shard_id in self.shards

    def of(self, records: Sequence[Any]) -> Sequence[Any]:
        """Those of a shard's records that are wanted."""
        records = self._in_time(records)
        if self.keys:
            records = [record for record in records if record.key in self.keys]
        return records

    def notice(self, shard_id: str, records: Sequence[Any] = ()) -> None:
        """Hears of a shard, and of records in it, wanted or not."""
        self._met_shards.add(shard_id)
        if self.keys and self.has_shard(shard_id):
            keys = {record.key: None for record in self._in_time(records)}
            self._met_keys |= self.keys & keys.keys()
            if len(self._some_keys) <= _NAMED_KEYS:
                self._some_keys |= dict.fromkeys(list(keys)[: _NAMED_KEYS + 1])

    def unmatched(self) -> tuple[Unmatched, ...]:
        """What was asked for in vain, once all that there is was noticed. Without a shard no keys: nobody looked."""
        shards = _unmatched("shard", self.shards - self._met_shards, sorted(self._met_shards), _NAMED_SHARDS)
        if shards and not self.shards & self._met_shards:
            return shards
        return shards + _unmatched("key", self.keys - self._met_keys, list(self._some_keys), _NAMED_KEYS)

    def _in_time(self, records: Sequence[Any]) -> Sequence[Any]:
        return [record for record in records if self._is_within(record.arrived_at)] if self._by_time else records

    def _is_within(self, at: Millis) -> bool:
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


def _unmatched(
    option: Literal["shard", "key"], names: Iterable[str], there: Sequence[str], most: int
) -> tuple[Unmatched, ...]:
    return tuple(Unmatched(option, name, tuple(there[:most]), len(there) > most) for name in sorted(names))


class Pace:
    """When a record is due. `speed`: 1 for the pace that records came at, 2 for twice that; `None`: at once.

    The earliest of the first records is due now, and all others from there on.
    """

    def __init__(self, clock: Clock, speed: float | None) -> None:
        self._clock, self._speed = clock, speed
        self._began: tuple[Millis, Millis] | None = None

    @property
    def holds_back(self) -> bool:
        """Whether records are not all due at once."""
        return self._speed is not None

    def begin(self, items: Sequence[Any], selection: Selection) -> None:
        """Hears what was read first: the earliest record that is wanted is due now. Later calls change nothing."""
        if self._speed is None or self._began is not None:
            return
        wanted = selection.of([item for item in items if hasattr(item, "arrived_at")])
        if wanted:
            self._began = self._clock.now(), min(record.arrived_at for record in wanted)

    async def due(self, records: Sequence[Any]) -> int:
        """Waits until the first is due; gives how many are by then, at least that one."""
        if self._speed is None:
            return len(records)
        wait_ms = self.wait_ms(records[0])
        while wait_ms > 0:
            await asyncio.sleep(wait_ms / 1000)
            wait_ms = self.wait_ms(records[0])
        return next((n for n, record in enumerate(records) if n and self.wait_ms(record) > 0), len(records))

    def wait_ms(self, record: Any) -> float:
        """How long until it is due; 0 or less: it is."""
        if self._speed is None or self._began is None:
            return 0.0
        began, first = self._began
        at: Millis = record.arrived_at
        return began + (at - first) / self._speed - self._clock.now()
