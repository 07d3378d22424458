"""What a mapping remembers of shards that ended: whether something follows them, and when their rows may go."""

from __future__ import annotations

from collections.abc import Iterable

from esm.clock import Millis
from esm.leasing.lease import Lease
from esm.leasing.lineage import removable
from esm.records.record import Shard

__all__ = ["EndedShards"]

CHILDREN_WITHIN_MS: Millis = 60_000
"""For how long a shard that named no child, as none of DynamoDB's does, is taken to have one all the same (chosen)."""

UNLISTED_MS: Millis = 600_000
"""How long a shard that ended must not be listed before its row is removed: a list may be out of step (chosen)."""


class EndedShards:
    """Of one stream."""

    def __init__(self) -> None:
        self._childless: dict[str, Millis] = {}  # until when a child is expected
        self._unlisted: dict[str, Millis] = {}  # since when they are not listed any more

    def add(self, shard_id: str, now: Millis) -> None:
        """It ended just now."""
        self._childless[shard_id] = now + CHILDREN_WITHIN_MS

    def await_children(self, leases: Iterable[Lease], now: Millis) -> bool:
        """Whether one of them ended lately that nothing follows yet."""
        if self._childless:
            followed = {parent for lease in leases for parent in lease.parents}
            self._childless = {
                shard_id: until
                for shard_id, until in self._childless.items()
                if shard_id not in followed and now < until
            }
        return bool(self._childless)

    def gone(self, leases: list[Lease], shards: list[Shard], now: Millis) -> list[Lease]:
        """Of `leases` those that nobody needs and that have not been listed for long enough. `shards`: listed now."""
        unlisted = removable(leases, shards)
        self._unlisted = {lease.key.shard_id: self._unlisted.get(lease.key.shard_id, now) for lease in unlisted}
        return [lease for lease in unlisted if now - self._unlisted[lease.key.shard_id] >= UNLISTED_MS]
