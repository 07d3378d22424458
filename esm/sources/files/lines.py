"""Blocks of whole lines out of a file: what is decoded at once."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from esm.errors import RecordingError
from esm.sources.files.compressed import pieces

__all__ = ["BLOCK_BYTES", "LINE_BYTES_MAX", "Block", "LineFile"]

BLOCK_BYTES = 1 << 16
"""A block is at least as large, but for the last (chosen: a larger one is no faster)."""

LINE_BYTES_MAX = 64 << 20
"""A line longer than this is none of a recording's: the largest record takes a quarter (chosen)."""


@dataclass(frozen=True, slots=True)
class Block:
    """Whole lines. `offset`: where the first begins, in the unpacked content.

    `torn`: the last line has no end: the writer was cut off, or the file was.
    """

    data: bytes
    offset: int
    torn: bool = False


class LineFile:
    """One file. `read`: bytes of it read so far, of `size`; both as it lies on the disk.

    `offset`: where to begin, as a `Block` said. Raises `RecordingError` when it is not there.
    """

    def __init__(self, path: Path, *, offset: int = 0) -> None:
        self.path = path
        self.read = 0
        self._offset = offset
        try:
            found = path.stat()
        except OSError as error:
            raise RecordingError(str(path), None, error.strerror or type(error).__name__) from None
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, and nothing can be read twice of it
            what = "Is a directory" if stat.S_ISDIR(found.st_mode) else "is no regular file; write it into one first"
            raise RecordingError(str(path), None, what)
        self.size = found.st_size

    def blocks(self) -> Iterator[Block]:
        """All of it. Raises `RecordingError`: it cannot be read, or unpacked to its end; all before that was given."""
        held: list[bytes] = []
        size, has_end = 0, False
        try:
            for piece in pieces(self.path, self._told, start=self._offset):
                held.append(piece)
                size += len(piece)
                has_end = has_end or b"\n" in piece
                if size >= BLOCK_BYTES and (has_end or size > LINE_BYTES_MAX):  # a long line is joined once, at its end
                    whole, rest = _cut(b"".join(held))
                    self._check(rest)
                    held, size, has_end = [rest] if rest else [], len(rest), False
                    if whole:
                        yield self._block(whole)
        except OSError as error:
            raise RecordingError(self.path.name, None, error.strerror or type(error).__name__) from None
        except RecordingError as error:
            yield from self._last(b"".join(held))
            raise RecordingError(error.file, self.line_at(self._offset), error.problem) from None
        yield from self._last(b"".join(held))

    def line_at(self, offset: int) -> int:
        """The number of the line that begins there, from 1: counted when somebody asks, which is seldom."""
        lines, left = 1, offset
        try:
            for piece in pieces(self.path, lambda _: None):
                lines += piece[:left].count(b"\n")
                left -= len(piece)
                if left <= 0:
                    break
        except RecordingError:
            pass  # it is counted as far as it can be unpacked
        return lines

    def _told(self, read: int) -> None:
        self.read = read

    def _last(self, data: bytes) -> Iterator[Block]:
        whole, rest = _cut(data)
        if whole:
            yield self._block(whole)
        if rest:
            yield self._block(rest, torn=True)

    def _block(self, data: bytes, *, torn: bool = False) -> Block:
        block = Block(data, self._offset, torn)
        self._offset += len(data)
        return block

    def _check(self, rest: bytes) -> None:
        if len(rest) > LINE_BYTES_MAX:
            raise RecordingError(
                self.path.name, self.line_at(self._offset), "no end of this line in 64 MB: no file of JSON lines"
            )


def _cut(data: bytes) -> tuple[bytes, bytes]:
    """The whole lines, and the beginning of the one after them."""
    end = data.rfind(b"\n") + 1
    return data[:end], data[end:]
