"""A live stream between two times: as it is read, but finite."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from esm.clock import Clock
from esm.records.position import Position
from esm.records.record import Page, Shard
from esm.sources.around import AroundStream
from esm.sources.files.selection import Pace, Selection, Unmatched
from esm.sources.reader import ShardReader, StreamDescription, StreamSource

__all__ = ["BoundedStream"]


class BoundedStream(AroundStream):
    """A `StreamSource` that ends: each shard with its first record at or after `selection.until`.

    Or when its tip was reached after that time. Without a `since` it begins where the mapping says, without an `until`
    it goes on. `pace`: when records are due.
    """

    def __init__(self, stream: StreamSource, *, clock: Clock, selection: Selection, pace: Pace) -> None:
        super().__init__(stream)
        self.selection, self.pace = selection, pace
        self._clock = clock
        self.read: set[str] = set()  # shards, from the beginning of the range to its end
        self._listed: set[str] = set()

    @property
    def unmatched(self) -> tuple[Unmatched, ...]:
        """What of the selection is in vain; empty, too, where not all was read, or some of it by an earlier run."""
        return self.selection.unmatched() if self._listed <= self.read else ()

    @property
    def finite(self) -> bool:
        """Whether there is an end."""
        return self.selection.until is not None

    async def describe(self) -> StreamDescription:
        """The stream's identity. Of what is finite nothing is waited for that may follow. Raises `SourceError`."""
        description = await self._stream.describe()
        return replace(description, active=False) if self.finite else description

    async def shards(self) -> list[Shard]:
        """The shards listed now of which records are wanted. Raises `SourceError`."""
        listed = await self._stream.shards()
        for shard in listed:
            self.selection.notice(shard.shard_id)
        wanted = [shard for shard in listed if self.selection.has_shard(shard.shard_id)]
        self._listed.update(shard.shard_id for shard in wanted)
        return wanted

    def open(self, shard_id: str, position: Position) -> ShardReader:
        """A reader from `position` on, or from the beginning of the range; nothing is called yet."""
        since = self.selection.since
        if position.type == "TRIM_HORIZON" and since is not None:
            position = Position.at_timestamp(since)
        goes_on = position.type == "AFTER_SEQUENCE_NUMBER"
        return _Reader(self, self._stream.open(shard_id, position), shard_id, self._clock, goes_on=goes_on)


class _Reader:
    """Reads one shard as far as its range goes."""

    def __init__(
        self, bounds: BoundedStream, reader: ShardReader, shard_id: str, clock: Clock, *, goes_on: bool
    ) -> None:
        self._bounds, self._reader, self._clock = bounds, reader, clock
        self._shard_id, self._goes_on = shard_id, goes_on
        self._held: list[Any] = []
        self._page = Page([])
        self._over = False

    async def read(self, limit: int) -> Page:
        """The next page, of records that are due. Raises `SourceError`."""
        if not self._held:
            self._page = await self._next(limit)
            self._held = list(self._page.records)
            if not self._held:
                return self._page
        count = await self._bounds.pace.due(self._held)
        due, self._held = self._held[:count], self._held[count:]
        page, self._page = replace(self._page, records=due), replace(self._page, trimmed=False)
        return page if not self._held else replace(page, ended=False, behind_ms=max(1, page.behind_ms))

    async def _next(self, limit: int) -> Page:
        if self._over:
            return Page([], ended=True)
        began, selection = self._clock.now(), self._bounds.selection
        page = await self._reader.read(limit)
        records, until = page.records, selection.until
        if until is not None:
            end = next((n for n, record in enumerate(records) if record.arrived_at >= until), len(records))
            self._over = page.ended or end < len(records) or (page.behind_ms == 0 and began >= until)
            children = page.children if end == len(records) else ()
            page = replace(page, records=records[:end], ended=self._over, children=children)
        self._bounds.pace.begin(page.records, selection)
        selection.notice(self._shard_id, page.records)
        if self._over and not self._goes_on:
            self._bounds.read.add(self._shard_id)
        return replace(page, records=list(selection.of(page.records)))
