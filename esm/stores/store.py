"""What the runtime asks of a store of positions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol, cast

from esm.clock import Millis
from esm.leasing.lease import Lease
from esm.leasing.moves import Move, Moved
from esm.records.position import Checkpoint

__all__ = ["LeaseStore", "OperatedStore", "PromptStore", "at_once"]


class LeaseStore(Protocol):
    """Rows of `Lease`, written under (owner, epoch).

    `checkpoint`, `renew` and `release` carry the lease as its owner holds it and raise `LeaseLostError`, having written
    nothing, when the row is gone or its owner or epoch is another. A repeat of a write whose answer was lost succeeds.
    All raise `StoreError` when the store cannot be used.
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

        Raises `LeaseLostError` when the row changed since `lease` was read: it has another owner or epoch, or another
        owner's beat has moved on.
        """
        ...

    async def renew(self, lease: Lease) -> Lease:
        """The lease with its beat one higher."""
        ...

    async def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> Lease:
        """The lease with this checkpoint, durable when the call returns.

        Raises `StoreError` naming the lease, having written nothing, when it goes back: `settled` lower than stored, or
        not `ended` where the stored one is. The same again is fine.
        """
        ...

    async def release(self, lease: Lease) -> None:
        """Leaves the lease without an owner, its epoch one higher."""
        ...

    async def remove(self, leases: Sequence[Lease]) -> None:
        """Removes the rows of those that are ended and of the epoch they were read with; the others stay."""
        ...

    async def forget(self, mapping: str) -> None:
        """Removes every row of a mapping, whoever owns it; none is no fault."""
        ...


class PromptStore(LeaseStore, Protocol):
    """One that can write a position without a wait."""

    def checkpoint_at_once(self, lease: Lease, checkpoint: Checkpoint) -> Lease | None:
        """As `checkpoint`; `None`: it is not stored, and `checkpoint` has to be awaited, which says why."""
        ...


def at_once(store: LeaseStore) -> Callable[[Lease, Checkpoint], Lease | None]:
    """`checkpoint_at_once` of a `PromptStore`, and what always gives `None` for any other.

    Whoever gives a store another `checkpoint`, and not this beside it, wants that one called.
    """
    for kind in type(store).__mro__:
        if "checkpoint_at_once" in vars(kind):
            return cast("PromptStore", store).checkpoint_at_once
        if "checkpoint" in vars(kind):
            break
    return lambda _lease, _checkpoint: None


class OperatedStore(LeaseStore, Protocol):
    """A store whose positions can be looked at and moved by hand, from outside the worker that uses them."""

    async def load_all(self) -> list[Lease]:
        """The leases of all mappings, in no order."""
        ...

    async def living(self, owners: Iterable[str]) -> frozenset[str]:
        """Those of the owners that are alive. Who cannot be judged is."""
        ...

    async def move(self, moves: Sequence[Move], *, at: Millis, who: str, command: str) -> list[Lease]:
        """The leases, moved (`esm.leasing.moves.moved`) and written down: all of them, or none.

        Raises `LeaseLostError`, having written nothing, when one of them changed since it was read.
        """
        ...

    async def moves(self) -> list[Moved]:
        """All moves there ever were, the oldest first."""
        ...
