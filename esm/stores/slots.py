"""The file beside the database in which newest checkpoints stand: what is written where in it.

Each lease has a slot of its own, which is overwritten in place. A slot has two halves, written in turns, so whatever
interrupts a write leaves the one before it.

    fence, floor, digest of the key | half 0 | half 1          a half: checksum, version, epoch, owner, checkpoint

`fence` is the token of who may write. Who wants no more to be written changes it and reads the halves
afterwards; who has written a half reads the fence afterwards, and what he wrote is accepted if it is still his. So what
was accepted is always seen, and neither waits for the other, who may be stopped for hours. Versions up to `floor` are
void: the row of the database is newer.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from hashlib import blake2s
from typing import NamedTuple
from zlib import crc32

from esm.leasing.lease import LeaseKey

__all__ = ["NOBODY", "ROOM", "SLOT", "Content", "Slot", "SlotView", "digest", "owner_digest", "slots_of"]

SLOT = 2048
"""Bytes of a slot (chosen: half of it holds the positions of ten lanes)."""

NOBODY = bytes(8)
"""The token of who may write when nobody may."""

_HEAD = struct.Struct("<8sQ16s")
_FLOOR = struct.Struct("<Q")
_HALF = struct.Struct("<QQ8sI")
_SUM = struct.Struct("<I")
_HALF_AT = 64
_HALF_SIZE = (SLOT - _HALF_AT) // 2

ROOM = _HALF_SIZE - _HALF.size - _SUM.size
"""Bytes that a checkpoint may have here."""

_TRIES = 20  # a half that is just being written is whole a microsecond later


class Content(NamedTuple):
    """What a half says: a checkpoint's JSON, and of which owner and epoch it is."""

    version: int
    epoch: int
    owner: bytes
    text: bytes


_NOTHING = Content(0, 0, b"", b"")


class Slot(NamedTuple):
    """A slot as it was read. `fence`: whose token it has. `version`: the newest written, or void.

    `content`: the newest that is not void; `None`: there is none.
    """

    fence: bytes
    key: bytes
    version: int
    content: Content | None


class SlotView:
    """A slot in a file, to be read and written to. `descriptor`: of the file; `at`: where in it."""

    __slots__ = ("_at", "descriptor")

    def __init__(self, descriptor: int, at: int) -> None:
        self.descriptor, self._at = descriptor, at

    def read(self) -> Slot:
        """As it is now."""
        for _ in range(_TRIES):
            slot, whole = _parsed(os.pread(self.descriptor, SLOT, self._at))
            if whole:
                break
        return slot

    def put(self, version: int, epoch: int, owner: bytes, text: bytes, token: bytes) -> bool:
        """Writes a half. Whether it is accepted: the fence is `token` afterwards. If not, the half is empty again."""
        body = _HALF.pack(version, epoch, owner, len(text)) + text
        half = self._at + _HALF_AT + _HALF_SIZE * (version & 1)
        written = os.pwrite(self.descriptor, _SUM.pack(crc32(body)) + body, half)
        if os.pread(self.descriptor, len(token), self._at) == token and written == _SUM.size + len(body):
            return True
        os.pwrite(self.descriptor, bytes(_SUM.size + _HALF.size), half)
        return False

    def fence(self, token: bytes) -> None:
        """From now on only what is put with this token is accepted; `NOBODY`'s: nothing."""
        os.pwrite(self.descriptor, token, self._at)

    def floor(self, version: int) -> None:
        """Versions up to this one are void."""
        os.pwrite(self.descriptor, _FLOOR.pack(version), self._at + len(NOBODY))

    def name(self, key: bytes) -> None:
        """The first that is written of it: whose it is, and that nothing is in it."""
        os.pwrite(self.descriptor, _HEAD.pack(NOBODY, 0, key).ljust(SLOT, b"\0"), self._at)


def slots_of(descriptor: int) -> Iterator[tuple[bytes, SlotView]]:
    """All slots of a file, with the digests of their keys."""
    for at in range(0, os.fstat(descriptor).st_size // SLOT * SLOT, SLOT):
        _, _, key = _HEAD.unpack(os.pread(descriptor, _HEAD.size, at))
        yield key, SlotView(descriptor, at)


def digest(key: LeaseKey) -> bytes:
    """Sixteen bytes that stand for a key."""
    return blake2s(repr((key.mapping, key.stream, key.shard_id)).encode(), digest_size=16).digest()


def owner_digest(owner: str) -> bytes:
    """Eight bytes that stand for an owner."""
    return blake2s(owner.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _parsed(data: bytes) -> tuple[Slot, bool]:
    """The slot, and whether neither half is broken."""
    fence, floor, key = _HEAD.unpack_from(data)
    halves = [_half(data[_HALF_AT + _HALF_SIZE * half :][:_HALF_SIZE]) for half in (0, 1)]
    newest = max((half for half in halves if half is not None), default=_NOTHING)
    content = newest if newest.version > floor else None
    return Slot(fence, key, max(newest.version, floor), content), None not in halves


def _half(data: bytes) -> Content | None:
    """`None`: it is broken."""
    (checksum,) = _SUM.unpack_from(data)
    version, epoch, owner, length = _HALF.unpack_from(data, _SUM.size)
    if not version and not checksum:
        return _NOTHING  # never written
    end = _SUM.size + _HALF.size + length
    if end > len(data) or crc32(data[_SUM.size : end]) != checksum:
        return None
    return Content(version, epoch, owner, data[_SUM.size + _HALF.size : end])
