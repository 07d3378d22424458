"""A recording of a stream, as a stream that comes to an end.

The files are read once for all shards: what another shard's records stand between is kept until its reader asks, up to
a bound. A shard that falls too far behind the others loses what was kept for it and is read by itself from there, so
neither memory grows nor does one shard wait for another.

    shared --too much is kept for it--> by itself, from its first record that was dropped
       |                                   |
       +--- its mark says so, or the end of the last file ---> ended

"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from esm.errors import RecordingError
from esm.mapping.limits import INVOCATION_PAYLOAD_BYTES
from esm.records.position import Position, SequenceNumber
from esm.records.record import Page, Shard, StreamEventShape
from esm.records.recording import ShardMark
from esm.sources.files.order import ascend, is_behind, is_number
from esm.sources.files.reel import Frame, Place, Reel
from esm.sources.files.selection import Pace, Selection, Unmatched
from esm.sources.reader import StreamDescription

__all__ = ["KEPT_BYTES_MAX", "PAGE_BYTES", "RecordedStream"]

KEPT_BYTES_MAX = 32 << 20
"""Bytes of lines kept for shards whose readers have not asked for them yet (chosen)."""

PAGE_BYTES = INVOCATION_PAYLOAD_BYTES
"""A page is about as large at the most: as the largest event, so that a batch can be full (chosen)."""

_SHARD = attrgetter("shard_id")

ShapeOf = Callable[[str], StreamEventShape]


@dataclass(slots=True)
class _Part:
    """Records of one shard out of one block."""

    records: list[Any]
    size: int
    place: Place


@dataclass(slots=True)
class _Track:
    """What is known of one shard. `dropped`: where its reader goes on by itself; `None` while it is in step."""

    opened: bool = False
    parents: tuple[str, ...] = ()
    parts: deque[_Part] = field(default_factory=deque)
    size: int = 0
    ended: bool = False
    dropped: Place | None = None

    def drop(self, place: Place) -> None:
        self.dropped = place
        self.parts.clear()
        self.size = 0


class RecordedStream:
    """A `StreamSource` over the files of one recording. It is finite: its shards end with it.

    `shape_of`: how the records of a shard stand in events. `pace`: when they are due. `read_ahead`: as `Reel`'s.
    Raises `RecordingError`, now for the first file, and from a reader for all that is found out later.
    """

    finite = True
    page_records_max = 10_000
    poll_interval_ms = 0
    poll_spacing_ms = 0

    def __init__(
        self,
        paths: Sequence[Path],
        shape_of: ShapeOf,
        *,
        pace: Pace,
        selection: Selection | None = None,
        skip_invalid: bool = False,
        read_ahead: bool = True,
    ) -> None:
        self.shape = shape_of
        self.pace = pace
        self.selection = selection or Selection()
        self.tracks: dict[str, _Track] = {}
        self.on_shard: Callable[[], None] | None = None
        self._paths, self._skip_invalid, self._read_ahead = paths, skip_invalid, read_ahead
        self._reels: list[Reel] = []
        self._reel = self.reel(None)
        self._turn = asyncio.Lock()
        self._at_end = False
        self._broken: RecordingError | None = None
        self._size = 0

    @property
    def size(self) -> int:
        """Bytes of all files, as they lie on the disk."""
        return self._reel.size

    @property
    def read(self) -> int:
        """Bytes of them read so far, by whoever is furthest."""
        return self._reel.read

    @property
    def unmatched(self) -> tuple[Unmatched, ...]:
        """What of the selection is in vain; empty, too, where not all was read."""
        return self.selection.unmatched() if self._at_end else ()

    @property
    def invalid(self) -> int:
        """Lines and records left out so far, as was asked for."""
        return self._reel.invalid

    @property
    def broken(self) -> RecordingError | None:
        """Where it breaks off; `None`: nowhere yet."""
        return self._broken

    @property
    def problem(self) -> RecordingError | None:
        """What the first of them was."""
        return self._reel.problem

    async def describe(self) -> StreamDescription:
        """The recording's identity: positions in another one mean nothing here. Nothing follows its shards."""
        return StreamDescription(created=self._reel.header.id, active=False)

    async def shards(self) -> list[Shard]:
        """Those met so far of which records are wanted; once the whole of it was read, all.

        Raises `RecordingError` when it breaks off before the first.
        """
        while self._knows_no_open() and not self.over:
            await self.pump(self._knows_no_open)
        if self._broken is not None and not self.tracks:
            raise self._broken
        has = self.selection.has_shard
        return [Shard(shard_id, track.parents) for shard_id, track in self.tracks.items() if has(shard_id)]

    def open(self, shard_id: str, position: Position) -> _Reader:
        """A reader from `position` on; a second one of a shard begins by itself: the first may have read further."""
        track = self.tracks[shard_id]
        if track.opened:
            self._size -= track.size
            track.drop(Place())
        track.opened = True
        return _Reader(self, shard_id, position)

    async def close(self) -> None:
        """Lets go of the files."""
        for reel in self._reels:
            reel.close()

    def _knows_no_open(self) -> bool:
        """Nobody would read on: the shards that follow stand further down."""
        return all(track.ended for shard_id, track in self.tracks.items() if self.selection.has_shard(shard_id))

    # -- for its readers -------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Nothing more comes of the shared pass."""
        return self._at_end or self._broken is not None

    def reel(self, begin: Place | None) -> Reel:
        """A pass of one's own."""
        reel = Reel(self._paths, skip_invalid=self._skip_invalid, begin=begin, read_ahead=self._read_ahead)
        self._reels.append(reel)
        return reel

    def taken(self, track: _Track) -> _Part | None:
        """The next of what is kept for a shard; `None`: nothing is. Raises `RecordingError` in place of an end."""
        if track.parts:
            part = track.parts.popleft()
            track.size -= part.size
            self._size -= part.size
            return part
        if self._broken is not None and not track.ended:
            raise self._broken
        return None

    async def pump(self, wanted: Callable[[], bool]) -> None:
        """Reads a block for all shards, unless another has meanwhile, so that it is not `wanted` any more."""
        async with self._turn:
            if not wanted() or self.over:
                return
            try:
                frame = await self._reel.next()
            except RecordingError as error:
                self._broken = error
                return
            if frame is None:
                self._at_end = True
            else:
                self._spread(frame)

    def refuse(self, place: Place, record: object, problem: str) -> None:
        """As `Reel.refuse`, of a record of the block at `place`."""
        lines = [line for line, item in self._reel.numbered(place) if item == record]
        try:
            self._reel.refuse(place, lines[-1] if lines else None, problem)
        except RecordingError as error:
            self._broken = self._broken or error
            raise

    def _spread(self, frame: Frame) -> None:
        self.pace.begin(frame.items, self.selection)
        by_shard: dict[str, list[Any]] = {}
        for shard_id, run in groupby(frame.items, _SHARD):  # a recorder writes page by page: runs are long
            if shard_id in by_shard:
                by_shard[shard_id] += run
            else:
                by_shard[shard_id] = list(run)
        share = frame.place.size // max(1, len(frame.items))
        for shard_id, items in by_shard.items():
            track = self._met(shard_id)
            records = items if frame.records_alone else self._marked(track, items)
            self.selection.notice(shard_id, records)
            if records and track.dropped is None and self.selection.has_shard(shard_id):
                track.parts.append(_Part(records, share * len(records), frame.place))
                track.size += share * len(records)
                self._size += share * len(records)
        while self._size > KEPT_BYTES_MAX:
            largest = max(self.tracks.values(), key=lambda track: track.size)
            if len(largest.parts) <= 1:
                return
            self._size -= largest.size
            largest.drop(largest.parts[0].place)

    def _met(self, shard_id: str) -> _Track:
        track = self.tracks.get(shard_id)
        if track is None:
            track = self.tracks[shard_id] = _Track()
            if self.on_shard is not None:
                self.on_shard()
        return track

    @staticmethod
    def _marked(track: _Track, items: list[Any]) -> list[Any]:
        """The records among the items, once the marks among them are heeded."""
        for mark in items:
            if isinstance(mark, ShardMark):
                track.parents = mark.shard_parents
                track.ended = track.ended or mark.shard_ended
        return [item for item in items if not isinstance(item, ShardMark)]


class _Reader:
    """Reads one shard forward, to its end."""

    def __init__(self, stream: RecordedStream, shard_id: str, position: Position) -> None:
        self._stream, self._shard_id = stream, shard_id
        self._track = stream.tracks[shard_id]
        self._after: SequenceNumber | None = position.sequence_number
        self._since = position.at if position.type == "AT_TIMESTAMP" else None
        self._resumed = self._after is not None
        self._part: _Part | None = None
        self._at = 0
        self._own: Reel | None = None
        self._ended = False
        self._fault: RecordingError | None = None  # all before it comes first

    async def read(self, limit: int) -> Page:
        """The next page, of at most `limit` records that are due; waits for the first.

        Raises `RecordingError`, once all before the fault was given.

        Blocks are put together, so that batches are as full as those of a stream whose records are all there.
        """
        page: list[Any] = []
        size = 0
        while len(page) < limit and size < PAGE_BYTES:
            if self._part is None or self._at >= len(self._part.records):
                if page and self._stream.pace.holds_back:
                    break
                try:
                    self._part, self._at = await self._next_part(), 0
                except RecordingError as error:
                    self._fault = error
                    if not page:
                        raise
                    break
                if self._part is None:
                    return Page(page, size_bytes=size, ended=True)
                continue
            records = self._part.records
            if self._at or len(records) > limit - len(page):
                records = records[self._at : self._at + limit - len(page)]
            count = await self._stream.pace.due(records)
            self._at += count
            size += self._part.size * count // len(self._part.records)
            page += records if count == len(records) else records[:count]
            if count < len(records):
                break
        return Page(page, behind_ms=1, size_bytes=size)

    async def _next_part(self) -> _Part | None:
        """The next of this shard's records that are wanted; possibly none of a block; `None` at the end."""
        if self._fault is not None:
            raise self._fault
        part = await self._from_own() if self._track.dropped is not None else await self._from_shared()
        if part is None:
            return None
        fresh = self._fresh(part)
        if fresh:
            self._after = fresh[-1].sequence_number
        if self._since is not None:
            fresh = [record for record in fresh if record.arrived_at >= (self._since or 0)]
        wanted = self._stream.selection.of(fresh)
        return _Part(list(wanted) if wanted is not part.records else part.records, part.size, part.place)

    async def _from_shared(self) -> _Part | None:
        stream, track = self._stream, self._track
        while (part := stream.taken(track)) is None:
            if track.ended or stream.over:
                return stream.taken(track)
            await stream.pump(lambda: not track.parts and track.dropped is None)
            if track.dropped is not None:
                return await self._from_own()
        return part

    async def _from_own(self) -> _Part | None:
        if self._own is None:
            self._own = self._stream.reel(self._track.dropped)
        frame = None if self._ended else await self._own.next()
        if frame is None:
            self._track.ended = True  # nobody may be reading for all shards: what follows this one is still to be met
            return None
        mine = [item for item in frame.items if item.shard_id == self._shard_id]
        records = [item for item in mine if not isinstance(item, ShardMark)]
        self._ended = any(isinstance(item, ShardMark) and item.shard_ended for item in mine)
        return _Part(records, frame.place.size, frame.place)

    # -- order -----------------------------------------------------------------------------------------------------

    def _fresh(self, part: _Part) -> list[Any]:
        """The records behind those before; the machine takes no others."""
        numbers = [record.sequence_number for record in part.records]
        if not numbers:
            return part.records
        if ascend(numbers):
            if is_behind(numbers[0], self._after):
                self._resumed = False
                return part.records
            if self._resumed and not is_behind(numbers[-1], self._after):
                return []
        fresh = []
        try:
            for record in part.records:
                if self._is_next(record, part.place):
                    fresh.append(record)  # noqa: PERF401  # what stands before a fault is kept
        except RecordingError as error:
            self._fault = error
        return fresh

    def _is_next(self, record: Any, place: Place) -> bool:
        number = record.sequence_number
        if not is_number(number):
            self._refuse(record, place, "its sequence number is no number")
            return False
        if not is_behind(number, self._after):
            # What was settled before a restart comes first, and is no fault of the file's.
            if not self._resumed:
                self._refuse(record, place, "it is not behind the record of its shard before it")
            return False
        self._after, self._resumed = number, False
        return True

    def _refuse(self, record: Any, place: Place, problem: str) -> None:
        self._stream.refuse(place, record, problem)
