"""Positions kept in this process, and gone with it: for tests, simulation and throw-away runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from esm.clock import Millis
from esm.errors import StoreError
from esm.leasing.fencing import advanced, released, renewed, taken
from esm.leasing.lease import Lease, LeaseKey
from esm.leasing.moves import Move, Moved, log_entry, moved
from esm.records.position import Checkpoint

__all__ = ["MemoryStore"]


class MemoryStore:
    """An `OperatedStore` in a dict. One worker at a time; no call waits for anything.

    `rows`: the dict itself. It outlives `close()`; a second store over the same dict is what a second process sees, or
    the same one after a crash.
    """

    def __init__(self, rows: dict[LeaseKey, Lease] | None = None) -> None:
        self.rows: dict[LeaseKey, Lease] = {} if rows is None else rows
        self._owners: set[str] = set()
        self._moves: list[Moved] = []
        self._open = False

    async def checkpoint(self, lease: Lease, checkpoint: Checkpoint) -> Lease:
        """`lease` with this checkpoint. Raises `LeaseLostError`; `StoreError` when it goes back."""
        self._put(advanced(self._row(lease), lease, checkpoint))
        return replace(lease, checkpoint=checkpoint)

    async def open(self) -> None:
        """Raises `StoreError` while another worker has it open: who wants two shares a file."""
        if self._open:
            raise StoreError("memory: is open in another worker already; workers share positions in sqlite:///PATH")
        self._open = True

    async def close(self) -> None:
        """Lets the next worker open it. Closing twice is fine."""
        self._open = False
        self._owners.clear()

    async def load(self, mapping: str) -> list[Lease]:
        """All leases of a mapping."""
        self._usable()
        return [lease for lease in self.rows.values() if lease.key.mapping == mapping]

    async def create(self, leases: Sequence[Lease]) -> None:
        """Adds those that are not there yet."""
        self._usable()
        for lease in leases:
            self.rows.setdefault(lease.key, lease)

    async def take(self, lease: Lease, owner: str) -> Lease:
        """The row, now `owner`'s, who lives from here on until `close`. Raises `LeaseLostError`."""
        self._owners.add(owner)
        return self._put(taken(self._row(lease), lease, owner))

    async def renew(self, lease: Lease) -> Lease:
        """The row with its beat one higher. Raises `LeaseLostError`."""
        return self._put(renewed(self._row(lease), lease))

    async def release(self, lease: Lease) -> None:
        """Leaves the row without an owner. Raises `LeaseLostError`."""
        self._put(released(self._row(lease), lease))

    async def remove(self, leases: Sequence[Lease]) -> None:
        """Removes those that are ended and of the epoch they were read with."""
        self._usable()
        for lease in leases:
            row = self.rows.get(lease.key)
            if row is not None and row.checkpoint.ended and row.epoch == lease.epoch:
                del self.rows[lease.key]

    async def forget(self, mapping: str) -> None:
        """Removes all leases of a mapping."""
        self._usable()
        for key in [key for key in self.rows if key.mapping == mapping]:
            del self.rows[key]

    async def load_all(self) -> list[Lease]:
        """The leases of all mappings."""
        self._usable()
        return list(self.rows.values())

    async def living(self, owners: Iterable[str]) -> frozenset[str]:
        """Those of the owners that took a lease since it was opened."""
        self._usable()
        return frozenset(self._owners & set(owners))

    async def move(self, moves: Sequence[Move], *, at: Millis, who: str, command: str) -> list[Lease]:
        """The leases, moved and written down. Raises `LeaseLostError`."""
        self._usable()
        leases = [moved(self.rows.get(each.key), each) for each in moves]
        for each, lease in zip(moves, leases, strict=True):
            self._put(lease)
            self._moves.append(log_entry(each, lease, at=at, who=who, command=command))
        return leases

    async def moves(self) -> list[Moved]:
        """All moves since this object was made, the oldest first."""
        self._usable()
        return list(self._moves)

    def _row(self, lease: Lease) -> Lease | None:
        self._usable()
        return self.rows.get(lease.key)

    def _put(self, lease: Lease) -> Lease:
        self.rows[lease.key] = lease
        return lease

    def _usable(self) -> None:
        if not self._open:
            raise StoreError("memory: is not open")
