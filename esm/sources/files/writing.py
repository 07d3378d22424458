"""Recordings as they are written: into `NAME.part`, which becomes NAME when it is complete.

writing NAME.part --full, or old enough--> NAME; the next file, with the next number
                  --close----------------> NAME
                  --a crash--------------> NAME.part stays: all its whole lines can be read

"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from esm.clock import Millis
from esm.errors import RecordingError
from esm.records.recording import Header, ShardMark, line_of, recorded
from esm.records.redaction import Redaction
from esm.sources.files.compressed import PART, Compressor, compressor

__all__ = ["RecordingWriter"]

_MODE = 0o600  # what is recorded is the owner's to read
_SUFFIXES = (".zst", ".gz")


class RecordingWriter:
    """Writes one recording; not from two threads at once.

    `header`: of the first file; each file has it, with its own `part`. `rotate_bytes`: a file that has grown to so many
    is finished, and another begun; `rotate_ms`: so is one of that age. `None` for both: there is one file, with the
    very name of `path`; else names end in a number: `orders-000001.jsonl.zst`. `now`: epoch ms.

    Raises `RecordingError`, at once and later: the file or its `.part` is there already, the disk is full.
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        *,
        now: Callable[[], Millis],
        redaction: Redaction | None = None,
        rotate_bytes: int | None = None,
        rotate_ms: Millis | None = None,
    ) -> None:
        self.files: list[Path] = []
        self.records = 0
        self.bytes_written = 0
        self._path, self._now, self._redaction = path, now, redaction
        self._rotate_bytes, self._rotate_ms = rotate_bytes, rotate_ms
        redacted = () if redaction is None else redaction.paths
        self._header = msgspec.structs.replace(header, redacted=redacted)
        self._marks: dict[str, ShardMark] = {}
        self._file = -1
        self._begin()

    def mark(self, mark: ShardMark) -> None:
        """Says that a shard begins, or has ended."""
        if mark.shard_ended:
            self._marks.pop(mark.shard_id, None)
        else:
            self._marks[mark.shard_id] = mark
        self._write(line_of(mark))

    def write(self, shard_id: str, records: Iterable[Any]) -> None:
        """Adds records as a source gave them; they are in the file when `sync` was called, or a bit later."""
        lines = [recorded(shard_id, record) for record in records]
        if self._redaction is not None:
            lines = [self._redaction.applied(line) for line in lines]
        self._write(b"".join(map(line_of, lines)))
        self.records += len(lines)
        self._lines += len(lines)
        self._rotate()

    def sync(self, *, to_disk: bool = True) -> None:
        """Returns when all of it can be read from the file, also after a crash; `to_disk`: of the whole machine.

        A file that is old enough is finished by it, too.
        """
        self._rotate()
        self._put(self._packing.flush(end=False))
        if to_disk:
            with self._named():
                os.fsync(self._file)

    def close(self) -> None:
        """Finishes the file. A second time does nothing."""
        if self._file >= 0:
            self._finish()

    def leave(self) -> None:
        """Lets go of the file as a crash would: it stays as `.part`."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def discard(self) -> None:
        """Takes the file away that is written; those that are finished stay."""
        if self._file >= 0:
            self.leave()
            target = self.files.pop()
            with suppress(OSError):  # nothing is in it
                target.with_name(target.name + PART).unlink()

    # -- one file --------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        target = self._numbered(len(self.files) + 1)
        part = target.with_name(target.name + PART)
        if target.exists():
            raise RecordingError(str(target), None, "is there already; choose another name, or remove it")
        self._packing: Compressor = compressor(target)
        try:
            self._file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        except FileExistsError:
            problem = "is there already, of a recording that broke off or still runs; replay it, or remove it"
            raise RecordingError(str(part), None, problem) from None
        except OSError as error:
            raise RecordingError(str(part), None, error.strerror or type(error).__name__) from None
        with self._named(target):
            _to_disk(target.parent)  # a file whose name is lost is lost with all that was synced into it
        self.files.append(target)
        self._size, self._lines, self._began = 0, 0, self._now()
        self._write(line_of(msgspec.structs.replace(self._header, part=len(self.files), recorded_at=_iso(self._began))))
        for mark in self._marks.values():  # each file can be read without those before it
            self._write(line_of(mark))

    def _finish(self) -> None:
        target = self.files[-1]
        self._put(self._packing.flush(end=True))
        with self._named():
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1
            target.with_name(target.name + PART).rename(target)
            _to_disk(target.parent)

    def _rotate(self) -> None:
        if self._lines and self._is_full():
            self._finish()
            self._begin()

    def _numbered(self, number: int) -> Path:
        if self._rotate_bytes is None and self._rotate_ms is None:
            return self._path
        name = self._path.name
        packed = next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), "")
        stem, dot, kind = name.removesuffix(packed).partition(".")
        return self._path.with_name(f"{stem}-{number:06}{dot}{kind}{packed}")

    def _is_full(self) -> bool:
        if self._rotate_bytes is not None and self._size >= self._rotate_bytes:
            return True
        return self._rotate_ms is not None and self._now() - self._began >= self._rotate_ms

    def _write(self, lines: bytes) -> None:
        self._put(self._packing.compress(lines))

    def _put(self, data: bytes) -> None:
        self._size += len(data)
        self.bytes_written += len(data)
        rest = memoryview(data)
        with self._named():
            while rest:
                rest = rest[os.write(self._file, rest) :]

    @contextmanager
    def _named(self, file: Path | None = None) -> Iterator[None]:
        """What the system refuses is said with the file's name. `None`: the file that is written."""
        try:
            yield
        except OSError as error:
            raise RecordingError(str(file or self.files[-1]), None, error.strerror or type(error).__name__) from error


def _to_disk(folder: Path) -> None:
    """Returns when the names in a folder are on the disk. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _iso(at: Millis) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
