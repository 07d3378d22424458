"""Bytes out of and into a file, compressed as its name says: `.zst`, `.gz` (read only), or not at all."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from esm.errors import NotInstalledError, RecordingError

__all__ = ["PART", "Compressor", "check_installed", "compressor", "is_packed", "pieces"]

PART = ".part"
"""What the name of a file ends in that is still written, or was when a crash came."""

PLAIN_BYTES = 1 << 17
"""How much of a plain file is read at once: what is decoded while it is in the processor's cache (measured)."""

PACKED_BYTES = 1 << 14
"""The same of a compressed file, of which each byte may become hundreds."""

_LEVEL = 3


def pieces(path: Path, told: Callable[[int], None], *, start: int = 0) -> Iterator[bytes]:
    """The content, unpacked, piece by piece. `told`: hears how many bytes of the file have been read so far.

    `start`: where to begin in a plain file; of a compressed one it is passed over. Raises `RecordingError`, after all
    that could be had: the compressed data break off or are damaged; and `OSError`.
    """
    with path.open("rb") as file:
        suffix = _suffix(path)
        if suffix == "zst":
            unpacked = _unpacked(file, told, lambda: _zstandard(path).ZstdDecompressor().decompressobj())
        elif suffix == "gz":
            unpacked = _unpacked(file, told, lambda: zlib.decompressobj(wbits=16 + zlib.MAX_WBITS))
        else:
            file.seek(start)
            yield from _plain(file, told)
            return
        damage: tuple[type[Exception], ...] = (zlib.error, EOFError, *_zstd_errors())
        try:
            for piece in unpacked:
                rest = piece[start:]
                start -= len(piece) - len(rest)
                if rest:
                    yield rest
        except damage as error:
            raise RecordingError(path.name, None, f"the compressed data are damaged or break off: {error}") from None


def check_installed(path: Path) -> None:
    """Nothing, when what the file is compressed with is there. Raises `NotInstalledError`."""
    if _suffix(path) == "zst":
        _zstandard(path)


def is_packed(path: Path) -> bool:
    """Whether the file is compressed, as its name says."""
    return _suffix(path) in ("zst", "gz")


class Compressor(Protocol):
    """What makes the file's bytes out of the lines' bytes."""

    def compress(self, data: bytes, /) -> bytes:
        """What is ready of it."""
        ...

    def flush(self, *, end: bool) -> bytes:
        """The rest, so that what was written can be read. `end`: nothing follows."""
        ...


def compressor(path: Path) -> Compressor:
    """What goes with the file's name. Raises `NotInstalledError`."""
    if _suffix(path) == "zst":
        return _Zstd(_zstandard(path))
    if _suffix(path) == "gz":
        return _Gzip()
    return _Plain()


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self, *, end: bool) -> bytes:  # noqa: ARG002  # there is nothing to hold back
        return b""


class _Gzip:
    def __init__(self) -> None:
        self._packing = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)

    def compress(self, data: bytes, /) -> bytes:
        return self._packing.compress(data)

    def flush(self, *, end: bool) -> bytes:
        return self._packing.flush(zlib.Z_FINISH if end else zlib.Z_SYNC_FLUSH)


class _Zstd:
    def __init__(self, zstandard: Any) -> None:
        self._finish, self._block = zstandard.COMPRESSOBJ_FLUSH_FINISH, zstandard.COMPRESSOBJ_FLUSH_BLOCK
        self._packing = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True).compressobj()

    def compress(self, data: bytes, /) -> bytes:
        packed: bytes = self._packing.compress(data)
        return packed

    def flush(self, *, end: bool) -> bytes:
        packed: bytes = self._packing.flush(self._finish if end else self._block)
        return packed


def _plain(file: IO[bytes], told: Callable[[int], None]) -> Iterator[bytes]:
    """Whole lines, as long as they are not beyond measure: then nobody has to put them together again."""
    while piece := file.read(PLAIN_BYTES):
        piece += file.readline(PLAIN_BYTES)
        told(file.tell())
        yield piece


def _unpacked(file: IO[bytes], told: Callable[[int], None], begin: Callable[[], Any]) -> Iterator[bytes]:
    """Frame after frame: files may be joined. Raises `EOFError` when the last one has no end."""
    frame = None
    while packed := file.read(PACKED_BYTES):
        told(file.tell())
        while packed:
            frame = frame or begin()
            yield frame.decompress(packed)
            packed = frame.unused_data if frame.eof else b""
            if frame.eof:
                frame = None
    if frame is not None:
        raise EOFError("the end is missing")


def _suffix(path: Path) -> str:
    return path.name.removesuffix(PART).rpartition(".")[2]


def _zstandard(path: Path) -> Any:
    try:
        import zstandard  # noqa: PLC0415  # it comes with an extra
    except ModuleNotFoundError:
        raise NotInstalledError(path.name, "zstandard", "replay") from None
    return zstandard


def _zstd_errors() -> tuple[type[Exception], ...]:
    try:
        import zstandard  # noqa: PLC0415  # as above
    except ModuleNotFoundError:
        return ()
    return (zstandard.ZstdError,)
