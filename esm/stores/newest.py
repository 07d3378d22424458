"""The newest checkpoints of a database's leases, which stand in slots beside it until their rows have them.

    recalled --taken, or stored by a transaction--> armed: its checkpoints go into a slot, at a tenth of the price
    recalled --either, and at its end--> recalled
    armed --its owner or epoch changes, or a transaction stores a checkpoint--> recalled

A process has a file for its slots. The row of a lease that is armed says where: the file, the place in it, and a token
drawn at the arming. What the slot has of this token is newer than the row, and nothing else is. So what a slot has is
void in the very transaction that gives its row a checkpoint or an owner, for the row says another place then, and is as
it was if that is undone. Who changes what a row says recalls the slot before: nothing more is accepted there.

Arming is a part of the transaction, too, but nothing is written to the slot before that is committed. Rows get what
their slots have again and again (`changed`), and at the end; what a process left behind the next one gives them.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections import deque
from contextlib import suppress
from glob import escape
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import NamedTuple

from msgspec.structs import replace

from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint
from esm.stores.presence import is_free
from esm.stores.rows import checkpoint_of, checkpoint_text, order_of
from esm.stores.slots import ROOM, SLOT, TOKEN, SlotView

__all__ = ["Newest", "Place", "Stored"]


class Place(NamedTuple):
    """What a row says of its newest checkpoint: of which epoch it is, in which file and where, under which token."""

    epoch: int
    file: str
    at: int
    token: bytes

    def text(self) -> str:
        """As it stands in the row."""
        return f"{self.epoch}:{self.file}:{self.at}:{self.token.hex()}"

    @classmethod
    def of(cls, text: str) -> Place:
        """Raises `ValueError`, `TypeError`."""
        match = _PLACE.fullmatch(text)
        if match is None:
            raise ValueError("no place")
        epoch, file, at, token = match.groups()
        return cls(int(epoch), file, int(at), bytes.fromhex(token))


_FILE = "[0-9a-f]{16}"
_PLACE = re.compile(rf"(\d{{1,19}}):({_FILE}):(\d{{1,12}}):([0-9a-f]{{{2 * TOKEN}}})")


class Stored(NamedTuple):
    """A row: the lease as the row has it, and where its newest checkpoint stands; `None`: in the row."""

    lease: Lease
    place: Place | None


class _Own:
    """A slot of this process, armed for a lease.

    `version`, `order`: of its newest checkpoint; `copied`: the version that its row has.
    """

    __slots__ = ("copied", "epoch", "order", "owner", "place", "token", "version", "view")

    def __init__(self, view: SlotView, place: Place, lease: Lease) -> None:
        self.view, self.place, self.token = view, place, place.token
        self.owner, self.epoch = lease.owner, lease.epoch
        self.order = order_of(lease.checkpoint)
        self.version = self.copied = 0


class Newest:
    """The slots of one process, and those of others that rows name.

    `write` and `is_there` are for the event loop's thread, too. All else is for the store's, within a write transaction
    that ends with `committed` or `undone`, or one that only reads; it raises `OSError`. `arms`: whether this process
    uses slots of its own.
    """

    def __init__(self, database: Path, *, writes: bool) -> None:
        self.writes, self.arms = writes, False
        self._database = database
        self._file: str | None = None
        self._descriptor = -1
        self._own: dict[LeaseKey, _Own] = {}
        self._slots = 0
        self._has_gathered = False
        self._free: deque[int] = deque()  # the one that is free for the longest time is used next
        # What the transaction comes to:
        self._changes: dict[LeaseKey, _Own | None] = {}
        self._drawn: list[int] = []
        self._let_go: list[int] = []
        self._copied: list[tuple[_Own, int]] = []
        self._gone: list[Path] = []
        self._gathering = False
        self._opened: dict[str, int | None] = {}

    # -- in the event loop -----------------------------------------------------------------------------------------

    def write(self, lease: Lease, checkpoint: Checkpoint) -> bool:
        """Whether it stands in the lease's slot now, durable as any other. If not, a transaction has to store it.

        Raises `OSError`.
        """
        own = self._own.get(lease.key)
        if own is None or own.epoch != lease.epoch or own.owner != lease.owner or checkpoint.ended:
            return False
        text, order = checkpoint_text(checkpoint), order_of(checkpoint)
        if len(text) > ROOM or order < own.order:
            return False
        if not own.view.put(own.token, own.version + 1, text):
            return False
        own.version += 1
        own.order = order
        return True

    def is_there(self) -> bool:
        """Whether the path still leads to the file that is written to. Raises `OSError`."""
        return self._file is None or os.path.samestat(self._path(self._file).stat(), os.fstat(self._descriptor))

    # -- within a transaction --------------------------------------------------------------------------------------

    @property
    def is_used(self) -> bool:
        """Whether this process has a file of its own."""
        return self._file is not None

    @property
    def gathers(self) -> bool:
        """Whether rows lack what processes left behind that were gone before this one."""
        return self.arms and not (self._has_gathered or self._gathering)

    def seen(self, row: Stored) -> Lease:
        """The row with its newest checkpoint. Raises `ValueError`, `TypeError` for one that is none."""
        view = None
        if row.place is not None and row.place.epoch == row.lease.epoch:
            view = self._view(row.place)
        text = None if row.place is None or view is None else view.newest(row.place.token)
        if text is None:
            return row.lease
        checkpoint = checkpoint_of(text)
        # A power cut may have taken from the slot what its row was given before.
        ahead = order_of(checkpoint) >= order_of(row.lease.checkpoint)
        return replace(row.lease, checkpoint=checkpoint) if ahead else row.lease

    def recalled(self, row: Stored) -> Lease:
        """The same; its slot accepts no other one."""
        if row.place is not None:
            self.recall(row.place)
        return self.seen(row)

    def recall(self, place: Place) -> None:
        """The slot accepts nothing under this token any more."""
        view = self._view(place) if self.writes else None  # else the database refuses what comes next
        if view is not None:
            view.recall(place.token)

    def arm(self, lease: Lease) -> Place | None:
        """Where its checkpoints go as soon as this is committed, which its row must say; `None`: into the row.

        Nothing of the row is armed.
        """
        over = lease.owner is None or lease.checkpoint.ended
        if over or not self.arms or len(checkpoint_text(lease.checkpoint)) > ROOM:  # so may the next one be
            self.let_go(lease.key)
            return None
        at = self._slot_of(lease.key)
        if at is None:
            at = self._draw()
        place = Place(lease.epoch, self._own_file(), at, token_bytes(TOKEN))
        own = _Own(SlotView(self._descriptor, at), place, lease)
        own.view.arm(place.token)
        self._changes[lease.key] = own
        return place

    def let_go(self, key: LeaseKey) -> None:
        """This process's slot of it, if any, is free once this is committed: no row names it."""
        at = self._slot_of(key)
        if at is not None:
            self._changes[key] = None
            self._let_go.append(at)

    def notice(self, key: LeaseKey, place: Place | None) -> None:
        """Its row names this place. If that is not this process's slot of it, somebody else changed it."""
        own = self._current(key)
        if own is not None and own.place != place:
            self.let_go(key)

    def held(self) -> list[LeaseKey]:
        """The leases that this process has slots for."""
        return list(self._own)

    def changed(self) -> list[LeaseKey]:
        """Those whose slots have what their rows have not yet."""
        return [key for key, own in list(self._own.items()) if own.version != own.copied]

    def version(self, key: LeaseKey) -> int | None:
        """The newest that this process's slot of it has, at least; `None`: it has none, after `notice`."""
        own = self._current(key)
        return None if own is None else own.version

    def copied(self, key: LeaseKey, version: int) -> None:
        """Its row has this version once this is committed."""
        own = self._current(key)
        if own is not None:
            self._copied.append((own, version))

    def left_behind(self) -> set[str]:
        """The files of processes that are gone; they go, too, once this is committed."""
        found, self._gathering = set(), True
        for path in self._database.parent.glob(f"{escape(self._database.name)}-newest-*"):
            name = path.name.removeprefix(f"{self._database.name}-newest-")
            if name != self._file and re.fullmatch(_FILE, name):
                descriptor = self._open(name)
                if descriptor is not None and is_free(descriptor):
                    found.add(name)
                    self._gone.append(path)
        return found

    def spare(self, text: str) -> None:
        """The file stays that this text of a row names: what it has could not be written into the row."""
        self._gone = [path for path in self._gone if path.name.rpartition("-")[2] not in text]

    def committed(self) -> None:
        """The transaction is durable."""
        self._drawn.clear()
        for key, own in self._changes.items():
            if own is None:
                self._own.pop(key, None)
            else:
                self._own[key] = own
        self._free.extend(self._let_go)
        for own, version in self._copied:
            own.copied = version
        for path in self._gone:
            with suppress(OSError):  # the next one does it
                path.unlink()
        self._has_gathered = self._has_gathered or self._gathering
        self._end_transaction()

    def undone(self) -> None:
        """The transaction has changed nothing in the database: rows say of slots what they said before."""
        self._free.extend(self._drawn)
        self._drawn.clear()
        self._end_transaction()

    def close(self, *, emptied: bool) -> None:
        """Ends the use of the file, which goes when it is `emptied` into the rows."""
        self._own.clear()
        if self._file is None:
            return
        path, self._file = self._path(self._file), None
        try:
            if emptied:
                path.unlink(missing_ok=True)
        finally:
            os.close(self._descriptor)

    # -- slots -----------------------------------------------------------------------------------------------------

    def _view(self, place: Place) -> SlotView | None:
        descriptor = self._open(place.file)
        return None if descriptor is None else SlotView(descriptor, place.at)

    def _current(self, key: LeaseKey) -> _Own | None:
        """What is armed for it, as the transaction has it now."""
        return self._changes[key] if key in self._changes else self._own.get(key)

    def _slot_of(self, key: LeaseKey) -> int | None:
        own = self._current(key)
        return None if own is None else own.place.at

    def _draw(self) -> int:
        if not self._free:
            self._free.append(SLOT * self._slots)
            self._slots += 1
        at = self._free.popleft()
        self._drawn.append(at)
        return at

    def _end_transaction(self) -> None:
        self._changes.clear()
        self._let_go.clear()
        self._copied.clear()
        self._gone.clear()
        self._gathering = False
        while self._opened:
            _, descriptor = self._opened.popitem()
            if descriptor is not None:
                with suppress(OSError):
                    os.close(descriptor)

    # -- files -----------------------------------------------------------------------------------------------------

    def _path(self, file: str) -> Path:
        return self._database.with_name(f"{self._database.name}-newest-{file}")

    def _open(self, file: str) -> int | None:
        """The descriptor of a file, for as long as the transaction lasts; `None`: it is not there."""
        if file == self._file:
            return self._descriptor
        if file not in self._opened:
            self._opened[file] = None
            with suppress(FileNotFoundError):
                self._opened[file] = os.open(self._path(file), os.O_RDWR if self.writes else os.O_RDONLY)
        return self._opened[file]

    def _own_file(self) -> str:
        while self._file is None:
            file = token_hex(8)
            descriptor = os.open(self._path(file), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                self._share(descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # for as long as this process lives
                if os.fstat(descriptor).st_nlink:  # else it was taken for one that was left behind
                    self._file, self._descriptor = file, descriptor
            except BaseException:
                self._path(file).unlink(missing_ok=True)
                raise
            finally:
                if self._file is None:
                    os.close(descriptor)
        return self._file

    def _share(self, descriptor: int) -> None:
        """Who may use the database may use this, too, also when root was the first to work with it."""
        database = self._database.stat()
        if os.geteuid() == 0:
            os.fchown(descriptor, database.st_uid, database.st_gid)
        os.fchmod(descriptor, database.st_mode & 0o777)
