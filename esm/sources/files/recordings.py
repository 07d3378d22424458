"""Recordings as they are read: typed records, a block at a time, and where in the file the bad line is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from glob import glob, has_magic
from pathlib import Path

from esm.errors import RecordingError
from esm.records.recording import Header, LineDecoder, RecordedLine, ShardMark
from esm.sources.files.compressed import PART, check_installed
from esm.sources.files.lines import Block, LineFile

__all__ = ["RecordingFile", "files_at"]

Item = RecordedLine | ShardMark


def files_at(name: str) -> list[Path]:
    """The files that a path with `*`, `?` or `[]` names, by name, without those still written; else the path itself.

    Raises `RecordingError` when there is none, `NotInstalledError` when one of them cannot be unpacked.
    """
    if not name:
        raise RecordingError("''", None, "the name of the file is empty")
    found = [Path(name)]
    if has_magic(name) and not found[0].exists():
        found = sorted(Path(path) for path in glob(name) if not path.endswith(PART))  # noqa: PTH207  # of any folder
    if not found:
        raise RecordingError(name, None, "there is no such file")
    for path in found:
        check_installed(path)
    return found


class RecordingFile:
    """One file of a recording.

        for item in RecordingFile(path).items():   # records, and marks of shards, in the order of the file

    `skip_invalid`: lines that are no record are left out, and counted in `invalid`; what the first of them was stands
    in `problem`. Otherwise the first of them ends it. Without an end of its last line a file was cut off there.

    Raises `RecordingError` at once when it is not there, or its first line is no header.
    """

    def __init__(self, path: Path, *, skip_invalid: bool = False, offset: int = 0) -> None:
        self.path = path
        self.invalid = 0
        self.problem: RecordingError | None = None
        self._skip_invalid = skip_invalid
        self._decoder = _decoder(path)
        self._lines = LineFile(path, offset=offset)

    @property
    def header(self) -> Header:
        """What the first line says."""
        return self._decoder.header

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return self._lines.size

    @property
    def read(self) -> int:
        """Bytes read so far, on the disk."""
        return self._lines.read

    def items(self) -> Iterator[Item]:
        """Everything in it, in its order. Raises `RecordingError`."""
        for block in self.blocks():
            yield from self.decoded(block)

    def blocks(self) -> Iterator[Block]:
        """The file's lines, not decoded yet: this part may be done in a thread. Raises `RecordingError`."""
        try:
            yield from self._lines.blocks()
        except RecordingError as error:
            self.refuse(error)

    def decoded(self, block: Block) -> Sequence[Item]:
        """A block's records and marks. Raises `RecordingError`."""
        records = self.records(block)
        return [item for _, item in self.numbered(block)] if records is None else records

    def records(self, block: Block) -> list[RecordedLine] | None:
        """All of a block at once, when it holds records and nothing else; otherwise `None`."""
        if block.torn or block.offset == 0:
            return None
        try:
            return self._decoder.records(block.data)
        except ValueError:  # a mark, or a line that is none
            return None

    def numbered(self, block: Block) -> Iterator[tuple[int, Item]]:
        """As `decoded`, line by line, each with its place among the block's lines, from 0. Raises `RecordingError`."""
        for number, line in enumerate(block.data.split(b"\n")):
            if not line.strip():
                continue
            try:
                item = self._decoder.line(line)
            except ValueError as error:
                self._refuse_line(block, number, error)
            else:
                if not isinstance(item, Header):
                    yield number, item

    def _refuse_line(self, block: Block, number: int, error: ValueError) -> None:
        """Names the line where that is heard: to count its number anew for each of a million costs hours."""
        if self.problem is not None:
            self.invalid += 1
            return
        cut = "cut off: " if block.torn else ""
        self.refuse(RecordingError(self.path.name, self.line_at(block.offset) + number, cut + str(error)))

    def refuse(self, error: RecordingError) -> None:
        """Counts what `error` says as left out. Raises it, unless that was asked for."""
        if not self._skip_invalid:
            raise error
        self.invalid += 1
        self.problem = self.problem or error

    def line_at(self, offset: int) -> int:
        """The number of the line that begins there, from 1."""
        return self._lines.line_at(offset)


def _decoder(path: Path) -> LineDecoder:
    first = next(LineFile(path).blocks(), None)
    line = b"" if first is None else first.data.partition(b"\n")[0]
    try:
        return LineDecoder.of(line)
    except ValueError as error:
        problem = str(error) if line else "an empty file is no recording"
        raise RecordingError(path.name, 1, problem) from None
