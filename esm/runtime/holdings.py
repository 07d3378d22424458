"""The leases that one runner of a mapping holds: taken, given back, and none left behind when it is closed."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from itertools import islice

from msgspec.structs import replace

from esm.errors import LeaseLostError, StoreError
from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import as_declared
from esm.runtime.tasks import together
from esm.stores.store import LeaseStore

__all__ = ["AT_ONCE", "Holdings"]

AT_ONCE = 64
"""Leases that are taken, or given back, together: one after the other would be slow, thousands a storm (chosen)."""


class Holdings:
    """Of the mapping with this uuid, for `owner`. `last_error`: why the last that stayed was not given back."""

    def __init__(self, store: LeaseStore, mapping: str, owner: str) -> None:
        self.last_error: str | None = None
        self._store, self._mapping, self._owner = store, mapping, owner
        self._held: dict[LeaseKey, Lease] = {}  # as they were taken; another may have some by now
        self._unheard = False  # whether one may be ours all the same: no answer came

    async def take(self, lease: Lease) -> Lease:
        """The lease, ours. Raises `StoreError`, also when its checkpoint is none."""
        try:
            taken = await self._store.take(lease, self._owner)
        except BaseException:
            self._unheard = True
            raise
        self._held[lease.key] = taken
        try:
            return replace(taken, checkpoint=as_declared(taken.checkpoint))
        except ValueError as error:
            raise StoreError(f"lease {lease.key.mapping}/{lease.key.shard_id}: no checkpoint: {error}") from None

    async def release(self, lease: Lease) -> None:
        """Gives it back, if that goes: the next owner takes it all the same."""
        try:
            with suppress(LeaseLostError):  # it is another's
                await self._store.release(lease)
        except BaseException as error:
            self._unheard = True
            if not isinstance(error, StoreError):
                raise
            self.last_error = str(error)
        else:
            self._held.pop(lease.key, None)

    async def close(self) -> None:
        """Gives back what was taken, whatever became of its shard, then that of which only the store knows."""
        await self._release_all(list(self._held.values()))
        if self._unheard:
            try:
                rows = await self._store.load(self._mapping)
            except StoreError as error:
                self.last_error = str(error)
            else:
                await self._release_all(row for row in rows if row.owner == self._owner)

    async def _release_all(self, leases: Iterable[Lease]) -> None:
        left = iter(leases)
        while some := list(islice(left, AT_ONCE)):
            await together(partial(self.release, lease) for lease in some)
