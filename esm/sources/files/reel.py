"""One pass over the files of a recording, each block decoded once, read ahead in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from esm.errors import RecordingError
from esm.records.recording import Header, RecordedLine, ShardMark
from esm.sources.files.lines import Block
from esm.sources.files.recordings import RecordingFile

__all__ = ["Frame", "Place", "Reel"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block begins: which of the files, and where in it."""

    file: int = 0
    offset: int = 0
    line: int = 1


@dataclass(frozen=True, slots=True)
class Frame:
    """What a block held: records and marks, in order."""

    items: list[RecordedLine | ShardMark]
    size: int
    place: Place


class Reel:
    """The files, in their order. `begin`: where the pass begins. `read_ahead`: in a thread; off under virtual time.

    Raises `RecordingError`, at once for the first file, later for another: it is no recording, or not of this source.
    """

    def __init__(
        self, paths: Sequence[Path], *, skip_invalid: bool = False, begin: Place | None = None, read_ahead: bool = True
    ) -> None:
        self._begin = begin or Place()
        self._paths, self._skip_invalid = paths, skip_invalid
        self._files = {self._begin.file: self._open(self._begin)}
        self.header: Header = self._files[self._begin.file].header
        self.size = sum(path.stat().st_size for path in paths)
        self._blocks = self._all_blocks()
        self._thread = ThreadPoolExecutor(1, "esm-replay") if read_ahead else None
        self._next: asyncio.Future[tuple[int, Block] | None] | None = None
        self._fault: RecordingError | None = None

    @property
    def invalid(self) -> int:
        """Lines left out so far."""
        return sum(file.invalid for file in self._files.values())

    @property
    def problem(self) -> RecordingError | None:
        """What the first of them was."""
        return next((file.problem for file in self._files.values() if file.problem is not None), None)

    @property
    def read(self) -> int:
        """Bytes read so far, of `size`."""
        return sum(file.read for file in self._files.values())

    async def next(self) -> Frame | None:
        """The next block; `None` after the last. Raises `RecordingError`, once all before the fault was given."""
        if self._fault is not None:
            raise self._fault
        if self._thread is None:
            return self._frame(next(self._blocks, None))
        ahead = self._next or self._ahead(self._thread)
        self._next = None
        try:
            got = await asyncio.shield(ahead)
        except asyncio.CancelledError:
            self._next = ahead  # the next who asks gets it
            raise
        if got is not None:
            self._next = self._ahead(self._thread)
        return self._frame(got)

    def refuse(self, place: Place, line: int | None, problem: str) -> None:
        """Counts a record as left out. Raises `RecordingError`, unless that was asked for."""
        file = self._files[place.file]
        file.refuse(RecordingError(file.path.name, line, problem))

    def numbered(self, place: Place) -> Iterator[tuple[int, RecordedLine | ShardMark]]:
        """What a block held, each with the number of its line: read again, for the words of an error."""
        file = self._open(place, skip_invalid=True)
        for block in file.blocks():
            yield from file.numbered(block)
            return

    def close(self) -> None:
        """Lets go of the thread; what it reads now is read in vain."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
        if self._next is not None:
            self._next.cancel()

    def _ahead(self, thread: ThreadPoolExecutor) -> asyncio.Future[tuple[int, Block] | None]:
        ahead = asyncio.get_running_loop().run_in_executor(thread, next, self._blocks, None)
        ahead.add_done_callback(lambda done: done.cancelled() or done.exception())  # perhaps nobody asks any more
        return ahead

    def _frame(self, got: tuple[int, Block] | None) -> Frame | None:
        if got is None:
            return None
        number, block = got
        items: list[RecordedLine | ShardMark] = []
        try:
            items += self._files[number].decoded(block)
        except RecordingError:
            try:
                for _, item in self._files[number].numbered(block):
                    items.append(item)  # what comes before the fault is kept
            except RecordingError as error:
                self._fault = error
        return Frame(items, len(block.data), Place(number, block.offset, block.line))

    def _all_blocks(self) -> Iterator[tuple[int, Block]]:
        for number in range(self._begin.file, len(self._paths)):
            if number not in self._files:
                file = self._open(Place(number))
                if (file.header.kind, file.header.source) != (self.header.kind, self.header.source):
                    problem = f"is of {file.header.source}, and the files before it of {self.header.source}"
                    raise RecordingError(file.path.name, 1, problem)
                self._files[number] = file
            for block in self._files[number].blocks():
                yield number, block

    def _open(self, place: Place, *, skip_invalid: bool | None = None) -> RecordingFile:
        skip = self._skip_invalid if skip_invalid is None else skip_invalid
        return RecordingFile(self._paths[place.file], skip_invalid=skip, offset=place.offset, line=place.line)
