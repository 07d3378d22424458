"""The newest checkpoints of a database's leases, which stand in slots beside it until their rows have them.

    recalled --taken, or stored by a transaction--> armed: its checkpoints go into a slot, at a tenth of the price
    recalled --either, and at its end--> recalled
    armed --its owner or epoch changes, or a transaction stores a checkpoint--> recalled

A process has a file for its slots, and in it a slot for each lease it ever held. A lease is armed in one slot at most:
arming and recalling are parts of write transactions, of which there is one at a time. What a slot has under its row's
owner and epoch, and is not void, is newer than the row. So who reads rows adds what slots have, and reads that first;
who changes a row's epoch recalls it before; and what slots have of a row that gets a checkpoint is void once that is
committed. What a process left behind the next one writes into the rows.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from glob import escape
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import TypeAlias

from msgspec.structs import replace

from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint
from esm.stores.presence import is_free
from esm.stores.rows import checkpoint_of, checkpoint_text, order_of
from esm.stores.slots import NOBODY, ROOM, SLOT, SlotView, digest, owner_digest, slots_of

__all__ = ["Contents", "Newest"]

Contents: TypeAlias = dict[tuple[bytes, bytes, int], bytes]
"""Checkpoints as JSON, by the digests of key and owner, and the epoch."""


class _Own:
    """A slot of this process, armed for a lease. `version`: the newest in it; `order`: of the newest checkpoint."""

    __slots__ = ("epoch", "order", "owner", "owner_digest", "token", "version", "view")

    def __init__(self, view: SlotView, lease: Lease, version: int) -> None:
        self.view, self.version, self.token = view, version, token_bytes(len(NOBODY))
        self.owner, self.epoch = lease.owner, lease.epoch
        self.owner_digest = owner_digest(lease.owner or "")
        self.order = order_of(lease.checkpoint)

    def is_of(self, lease: Lease) -> bool:
        return self.epoch == lease.epoch and self.owner == lease.owner


class Newest:
    """The slots of one process, and those of others.

    `write` and `is_there` are for the event loop's thread, too. All is for the store's, within a write
    transaction that ends with `committed` or `undone`, and raises `OSError`.
    """

    def __init__(self, database: Path, *, writes: bool) -> None:
        self._database, self._writes = database, writes
        self._path: Path | None = None
        self._descriptor = -1
        self._own: dict[LeaseKey, _Own] = {}
        self._recalled: dict[LeaseKey, list[SlotView]] = {}  # in this transaction
        self._afterwards: list[Callable[[], None]] = []
        self._others: dict[bytes, list[SlotView]] | None = None  # those of other files, once they were looked for
        self._opened: list[int] = []

    # -- in the event loop -----------------------------------------------------------------------------------------

    def write(self, lease: Lease, checkpoint: Checkpoint) -> bool:
        """Whether it stands in the lease's slot now, durable as any other. If not, a transaction has to store it.

        Raises `OSError`.
        """
        own = self._own.get(lease.key)
        if own is None or not own.is_of(lease) or checkpoint.ended:
            return False
        text, order = checkpoint_text(checkpoint), order_of(checkpoint)
        if len(text) > ROOM or order < own.order:
            return False
        version = own.version + 1
        if not own.view.put(version, own.epoch, own.owner_digest, text, own.token):
            return False
        own.version, own.order = version, order
        return True

    def is_there(self) -> bool:
        """Whether the path still leads to the file that is written to. Raises `OSError`."""
        return self._path is None or os.path.samestat(self._path.stat(), os.fstat(self._descriptor))

    # -- within a transaction --------------------------------------------------------------------------------------

    @property
    def is_used(self) -> bool:
        """Whether this process has armed a lease yet."""
        return self._path is not None

    def held(self) -> list[LeaseKey]:
        """The leases that this process has slots for."""
        return list(self._own)

    def may_have(self, row: Lease) -> bool:
        """Whether this process's slot of it may have something that the row has not: it is still this owner's."""
        return row.owner == self._own[row.key].owner

    def contents(self) -> Contents:
        """What all slots have; to be read before the rows that it is for."""
        found: Contents = {}
        for views in self._foreign().values():
            for view in views:
                _add(found, view)
        for own in self._own.values():
            _add(found, own.view)
        return found

    def seen(self, row: Lease) -> Lease:
        """The row with its newest checkpoint."""
        return _newest(row, self._views(row))

    def recalled(self, row: Lease) -> Lease:
        """The row with its newest checkpoint; no slot accepts another one."""
        views = self._recalled[row.key] = self._views(row)
        self._disarm(views)
        return _newest(row, views)

    def supersede(self, key: LeaseKey) -> None:
        """The row, which was recalled, gets a checkpoint: what slots have of it is void once that is committed."""
        for view in self._recalled[key]:
            slot = view.read()
            if slot.content is not None:
                self._afterwards.append(partial(view.floor, slot.version))

    def refuse(self, keys: Iterable[LeaseKey]) -> None:
        """The rows go: no slot accepts a checkpoint of them."""
        for key in keys:
            self._disarm(self._views_of(key))

    def arm(self, lease: Lease) -> None:
        """This process's slot accepts the lease's checkpoints, unless none is to come; of its row nothing is armed."""
        if lease.owner is None or lease.checkpoint.ended:
            return
        own = self._own.get(lease.key)
        view = self._new_slot(lease.key) if own is None else own.view
        own = _Own(view, lease, view.read().version)
        self._own[lease.key] = own
        view.fence(own.token)

    def void(self, keys: Iterable[LeaseKey]) -> None:
        """There is no row of these: what slots have of them is of rows that were removed."""
        synced = set()
        for key in keys:
            for view in self._views_of(key):
                slot = view.read()
                if slot.content is not None or slot.fence != NOBODY:
                    view.fence(NOBODY)
                    view.floor(slot.version)
                    synced.add(view.descriptor)
        for descriptor in synced:
            os.fsync(descriptor)  # or what a power cut brings back might be taken for the new row's

    def abandoned(self) -> Contents:
        """What is in the files of processes that are gone; the files go, too, once this is committed."""
        found: Contents = {}
        for path in self._files():
            with suppress(FileNotFoundError):
                descriptor = os.open(path, os.O_RDWR)
                self._opened.append(descriptor)
                if is_free(descriptor):
                    for _, view in slots_of(descriptor):
                        _add(found, view)
                    self._afterwards.append(partial(path.unlink, missing_ok=True))
        return found

    def committed(self) -> None:
        """The transaction is durable. Does all that is left to do, and raises the first fault of it."""
        faults = []
        for each in self._afterwards:
            try:
                each()
            except OSError as fault:
                faults.append(fault)
        self._afterwards.clear()
        self._end_transaction()
        if faults:
            raise faults[0]

    def undone(self) -> None:
        """The transaction has changed nothing."""
        self._afterwards.clear()
        self._end_transaction()

    def close(self, *, emptied: bool) -> None:
        """Ends the use of the file, which goes when it is `emptied` into the rows."""
        if self._path is not None:
            if emptied:
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._path = None
        self._own.clear()

    def _disarm(self, views: list[SlotView]) -> None:
        for view in views if self._writes else ():  # else the database refuses what comes next
            view.fence(NOBODY)

    # -- slots -----------------------------------------------------------------------------------------------------

    def _views(self, row: Lease) -> list[SlotView]:
        """The slots that may have something of a row: this process's alone, if it is armed there."""
        own = self._own.get(row.key)
        if own is not None and own.is_of(row) and own.view.read().fence == own.token:
            return [own.view]
        return self._views_of(row.key) if row.owner is not None else []

    def _views_of(self, key: LeaseKey) -> list[SlotView]:
        own = self._own.get(key)
        return [*([] if own is None else [own.view]), *self._foreign().get(digest(key), [])]

    def _foreign(self) -> dict[bytes, list[SlotView]]:
        if self._others is None:
            self._others = {}
            for path in self._files():
                with suppress(FileNotFoundError):
                    descriptor = os.open(path, os.O_RDWR if self._writes else os.O_RDONLY)
                    self._opened.append(descriptor)
                    for key, view in slots_of(descriptor):
                        self._others.setdefault(key, []).append(view)
        return self._others

    def _files(self) -> list[Path]:
        """Those of others."""
        found = self._database.parent.glob(f"{escape(self._database.name)}-newest-*")
        return [path for path in found if path != self._path]

    def _new_slot(self, key: LeaseKey) -> SlotView:
        if self._path is None:
            self._make_file()
        view = SlotView(self._descriptor, SLOT * len(self._own))
        view.name(digest(key))
        return view

    def _make_file(self) -> None:
        while True:
            path = self._database.with_name(f"{self._database.name}-newest-{token_hex(8)}")
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            os.fchmod(descriptor, self._database.stat().st_mode & 0o777)  # who shares the database shares this, too
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # for as long as this process lives
            if os.fstat(descriptor).st_nlink:
                self._path, self._descriptor = path, descriptor
                return
            os.close(descriptor)  # it was taken for one that was left behind, between the two calls

    def _end_transaction(self) -> None:
        self._recalled.clear()
        self._others = None
        while self._opened:
            os.close(self._opened.pop())


def _add(found: Contents, view: SlotView) -> None:
    slot = view.read()
    if slot.content is not None:
        found[slot.key, slot.content.owner, slot.content.epoch] = slot.content.text


def _newest(row: Lease, views: list[SlotView]) -> Lease:
    """The row with what these slots have of its owner and epoch."""
    found = [
        checkpoint_of(content.text)
        for view in views
        if (content := view.read().content) is not None
        and (content.owner, content.epoch) == (owner_digest(row.owner or ""), row.epoch)
    ]
    return replace(row, checkpoint=max(found, key=order_of)) if found else row
