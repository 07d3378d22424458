"""One pass over the files of a recording, each block decoded once, read ahead in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from esm.errors import RecordingError
from esm.records.recording import Header, RecordedLine, ShardMark
from esm.sources.files.compressed import is_packed
from esm.sources.files.lines import Block
from esm.sources.files.recordings import RecordingFile

__all__ = ["Frame", "Place", "Reel"]

FRAME_BYTES = 1 << 19
"""What is decoded in one turn of the loop: half a millisecond or so (chosen)."""

_Numbered = tuple[int, Block]
"""A block, and the number of its file."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a frame begins: which of the files, and where in it. `size`: of the frame, in bytes; 0 for none."""

    file: int = 0
    offset: int = 0
    size: int = 0


@dataclass(frozen=True, slots=True)
class Frame:
    """What some blocks held: records and marks, in order. `records_alone`: there are no marks among them."""

    items: list[RecordedLine | ShardMark]
    place: Place
    records_alone: bool = True


class Reel:
    """The files, in their order. `begin`: where the pass begins.

    `read_ahead`: what is compressed is unpacked in a thread; off under virtual time. A plain file is read in place, and
    the system reads ahead of that.

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
        unpacks = read_ahead and any(map(is_packed, paths))
        self._thread = ThreadPoolExecutor(1, "esm-replay") if unpacks else None
        self._next: asyncio.Future[list[_Numbered]] | None = None
        self._kept: _Numbered | None = None  # the first block of another file
        self._broken: RecordingError | None = None  # where the blocks end
        self._fault: RecordingError | None = None  # in what was decoded

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
        """What comes next; `None` after the last. Raises `RecordingError`, once all before the fault was given."""
        if self._fault is not None:
            raise self._fault
        if self._thread is None:
            return self._frame(self._some())
        ahead = self._next or self._ahead(self._thread)
        self._next = None
        try:
            got = await asyncio.shield(ahead)
        except asyncio.CancelledError:
            self._next = ahead  # the next who asks gets it
            raise
        if got:
            self._next = self._ahead(self._thread)
        return self._frame(got)

    def refuse(self, place: Place, line: int | None, problem: str) -> None:
        """Counts a record as left out. Raises `RecordingError`, unless that was asked for."""
        file = self._files[place.file]
        file.refuse(RecordingError(file.path.name, line, problem))

    def numbered(self, place: Place) -> Iterator[tuple[int, RecordedLine | ShardMark]]:
        """What a frame held, each with the number of its line: read again, for the words of an error."""
        file = self._open(place, skip_invalid=True)
        for block in file.blocks():
            if block.offset >= place.offset + place.size:
                return
            first = file.line_at(block.offset)
            yield from ((first + number, item) for number, item in file.numbered(block))

    def close(self) -> None:
        """Lets go of the thread; what it reads now is read in vain."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
        if self._next is not None:
            self._next.cancel()

    def _ahead(self, thread: ThreadPoolExecutor) -> asyncio.Future[list[_Numbered]]:
        ahead = asyncio.get_running_loop().run_in_executor(thread, lambda: list(self._some()))
        ahead.add_done_callback(lambda done: done.cancelled() or done.exception())  # perhaps nobody asks any more
        return ahead

    def _some(self) -> Iterator[_Numbered]:
        """The next blocks, all of one file. Raises `RecordingError` where they break off, before the first of them."""
        if self._broken is not None:
            raise self._broken
        size, first = 0, None
        while size < FRAME_BYTES:
            try:
                got = self._kept or next(self._blocks, None)
            except RecordingError as error:
                self._broken = error
                if first is None:
                    raise
                return
            self._kept = None
            if got is None:
                return
            if first not in (None, got[0]):
                self._kept = got
                return
            first, size = got[0], size + len(got[1].data)
            yield got

    def _frame(self, blocks: Iterable[_Numbered]) -> Frame | None:
        """Decodes each block as it comes, while it is in the processor's cache."""
        items: list[RecordedLine | ShardMark] = []
        place, size, alone = None, 0, True
        for number, block in blocks:
            place, size = place or (number, block.offset), size + len(block.data)
            records = self._files[number].records(block)
            if records is not None:
                items += records
                continue
            alone = False
            try:
                for _, item in self._files[number].numbered(block):
                    items.append(item)
            except RecordingError as error:
                self._fault = error
                break
        return None if place is None else Frame(items, Place(*place, size), alone)

    def _all_blocks(self) -> Iterator[_Numbered]:
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
        return RecordingFile(self._paths[place.file], skip_invalid=skip, offset=place.offset)
