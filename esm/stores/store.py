"""What the runtime asks of a store of positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from esm.leasing.lease import Lease
from esm.records.position import Checkpoint

__all__ = ["LeaseStore"]


class LeaseStore(Protocol):
    """Rows of `Lease`, written under (owner, epoch).

    Every write but `create` and `take` carries the lease as its owner holds it and raises `LeaseLostError`, having
    written nothing,
    when the row's owner or epoch is another. A repeat of a write whose answer was lost succeeds. All raise
    `StoreError` when the store
    cannot be used.
    """

    async def open(self) -> None:
        """Makes the store ready; called once before all else."""
        ...

    async def close(self) -> None:
        """Gives up what it holds. Nothing that was answered is lost."""
        ...

    async def load(self, mapping: str) -> list[Lease]:
        """All leases of a mapping (of every stream identity), in no order; empty when it never ran."""
        ...

    async def create(self, leases: Sequence[Lease]) -> None:
        """Adds those that are not there yet, all or none of them at once. Those that are there stay as they are."""
        ...

    async def take(self, lease: Lease, owner: str) -> Lease:
        """The lease, now `owner`'s, its epoch one higher.

        Raises `LeaseLostError` when the row changed since `lease` was read.
        """
        ...

    async def renew(self, lease: Lease) -> Lease:
        """The lease with its beat one higher."""
        ...

    async def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> Lease:
        """The lease with this checkpoint, durable when the call returns."""
        ...

    async def release(self, lease: Lease) -> None:
        """Leaves the lease without an owner, its epoch one higher."""
        ...
