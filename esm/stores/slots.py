"""A file beside the database in which newest checkpoints stand: what is written where in it.

A slot is overwritten in place. It has two halves, written in turns, so whatever interrupts a write leaves the one
before it.

    fence | half 0 | half 1          a half: checksum, token, version, length, checkpoint

A token stands for one arming of a slot, and is never used again. What a half says counts only for whom its token is
known to, and `fence` is the token of who may write. Who wants no more to be written changes the fence and reads the
halves afterwards; who has written a half reads the fence afterwards, and what he wrote is accepted if it is still his.
So what was accepted is always seen, and neither waits for the other, who may be stopped for hours.
"""

from __future__ import annotations

import os
import struct
from typing import NamedTuple
from zlib import crc32

__all__ = ["NOBODY", "ROOM", "SLOT", "TOKEN", "SlotView"]

SLOT = 2048
"""Bytes of a slot (chosen: half of it holds the positions of ten lanes)."""

TOKEN = 8
"""Bytes of a token."""

NOBODY = bytes(TOKEN)
"""The token of who may write when nobody may."""

_HALF = struct.Struct(f"<{TOKEN}sQI")
_SUM = struct.Struct("<I")
_HALF_AT = 64
_HALF_SIZE = (SLOT - _HALF_AT) // 2

ROOM = _HALF_SIZE - _HALF.size - _SUM.size
"""Bytes that a checkpoint may have here."""

_TRIES = 20  # a half that is just being written is whole a microsecond later


class _Content(NamedTuple):
    """What a half says."""

    token: bytes
    version: int
    text: bytes


_NEVER_WRITTEN = _Content(NOBODY, 0, b"")


class SlotView:
    """A slot in a file, to be read and written to. `descriptor`: of the file; `at`: where in it."""

    __slots__ = ("_at", "_descriptor")

    def __init__(self, descriptor: int, at: int) -> None:
        self._descriptor, self._at = descriptor, at

    def arm(self, token: bytes) -> None:
        """From now on only what is put with this token is accepted. Raises `OSError`."""
        if os.pwrite(self._descriptor, token, self._at) != TOKEN:
            raise OSError("a slot was not written whole")

    def recall(self, token: bytes) -> None:
        """What is put with this token from now on is not accepted. Raises `OSError`."""
        if self._fence() == token:
            self.arm(NOBODY)

    def put(self, token: bytes, version: int, text: bytes) -> bool:
        """Writes a half. Whether it is accepted: the slot is armed with `token` afterwards. Raises `OSError`."""
        body = _HALF.pack(token, version, len(text)) + text
        half = self._at + _HALF_AT + _HALF_SIZE * (version & 1)
        written = os.pwrite(self._descriptor, _SUM.pack(crc32(body)) + body, half)
        return self._fence() == token and written == _SUM.size + len(body)

    def newest(self, token: bytes) -> bytes | None:
        """The newest that was put with this token; `None`: nothing was. Raises `OSError`."""
        for _ in range(_TRIES):
            data = os.pread(self._descriptor, SLOT, self._at).ljust(SLOT, b"\0")  # a file may end within its last slot
            halves = [_parsed(data[_HALF_AT + _HALF_SIZE * half :][:_HALF_SIZE]) for half in (0, 1)]
            if None not in halves:
                break
        found = [half for half in halves if half is not None and half.token == token]
        return max(found, key=lambda half: half.version).text if found else None

    def _fence(self) -> bytes:
        return os.pread(self._descriptor, TOKEN, self._at)


def _parsed(half: bytes) -> _Content | None:
    """`None`: it is broken."""
    (checksum,) = _SUM.unpack_from(half)
    token, version, length = _HALF.unpack_from(half, _SUM.size)
    if not version and not checksum:
        return _NEVER_WRITTEN
    end = _SUM.size + _HALF.size + length
    if end > len(half) or crc32(half[_SUM.size : end]) != checksum:
        return None
    return _Content(token, version, half[_SUM.size + _HALF.size : end])
