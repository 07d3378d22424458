"""A stream that is written down as it is read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from msgspec.structs import replace

from esm.clock import Millis
from esm.errors import RecordingError
from esm.handlers.invoker import Event, Invocation, Returned
from esm.records.position import Position
from esm.records.record import Page, Shard
from esm.records.recording import ShardMark
from esm.sources.around import AroundStream
from esm.sources.files.writing import RecordingWriter
from esm.sources.reader import ShardReader, StreamSource

__all__ = ["Nobody", "Pen", "TappedStream"]

T = TypeVar("T")

FLUSH_S = 1.0
"""How often what was written can be read by others, and a file is looked at for its age (chosen)."""


class Pen:
    """The one who writes: from tasks into a file, one after the other, in a thread.

    `limit`: records after which `full` is called, and none is written any more; `None`: no limit. `failed`: is called
    with what the disk refused, once.
    """

    def __init__(
        self,
        writer: RecordingWriter,
        *,
        limit: int | None,
        full: Callable[[], None],
        failed: Callable[[RecordingError], None],
    ) -> None:
        self.writer = writer
        self.error: RecordingError | None = None
        self._left, self._full, self._failed = limit, full, failed
        self._turn = asyncio.Lock()
        self._shards: dict[str, bool] = {}  # begun, and whether they have ended

    async def write(self, shard_id: str, records: Sequence[Any], parents: tuple[str, ...], *, ended: bool) -> int:
        """Adds a page of a shard; gives how many of its records there was room for. Raises `RecordingError`."""
        return await self._in_turn(lambda: self._page(shard_id, records, parents, ended=ended))

    async def messages(self, messages: Sequence[Any], *, to_disk: bool) -> int:
        """Adds messages; with `to_disk` they are there when it returns. As `write`."""

        def step() -> int:
            count = self._room(len(messages))
            self.writer.write("", messages[:count])
            if to_disk:
                self.writer.sync()
            return count

        return await self._in_turn(step)

    async def flush_regularly(self) -> None:
        """Until cancelled, or the disk refuses."""
        while self.error is None:
            await asyncio.sleep(FLUSH_S)
            try:
                await self._in_turn(lambda: self.writer.sync(to_disk=False))
            except RecordingError:
                return

    async def close(self) -> None:
        """Finishes the file; one that could not be written stays as it is. Raises `RecordingError`."""
        await self._in_turn(self.writer.close if self.error is None else self.writer.leave)

    async def discard(self) -> None:
        """Takes the file away, which nothing was written into."""
        await self._in_turn(self.writer.discard)

    def _page(self, shard_id: str, records: Sequence[Any], parents: tuple[str, ...], *, ended: bool) -> int:
        if shard_id not in self._shards:
            self._shards[shard_id] = False
            self.writer.mark(ShardMark(shard_id, parents))
        count = self._room(len(records))
        self.writer.write(shard_id, records[:count])
        if ended and count == len(records) and not self._shards[shard_id]:
            self._shards[shard_id] = True
            self.writer.mark(ShardMark(shard_id, parents, shard_ended=True))
        return count

    def _room(self, wanted: int) -> int:
        if self._left is None:
            return wanted
        count = min(wanted, self._left)
        self._left -= count
        return count

    async def _in_turn(self, step: Callable[[], T]) -> T:
        """What the step gives. It is done to its end, also when who asked is cancelled."""
        return await asyncio.shield(asyncio.ensure_future(self._do(step)))

    async def _do(self, step: Callable[[], T]) -> T:
        async with self._turn:
            try:
                given = await asyncio.to_thread(step)
            except RecordingError as error:
                if self.error is None:
                    self.error = error
                    self._failed(error)
                raise
        if self._left == 0:
            self._full()
        return given


class TappedStream(AroundStream):
    """A `StreamSource` whose every page is written before anybody sees it."""

    def __init__(self, stream: StreamSource, pen: Pen) -> None:
        super().__init__(stream)
        self.pen = pen
        self.parents: dict[str, tuple[str, ...]] = {}

    async def shards(self) -> list[Shard]:
        """As the stream. Raises `SourceError`."""
        shards = await self._stream.shards()
        self.parents.update((shard.shard_id, shard.parents) for shard in shards)
        return shards

    def open(self, shard_id: str, position: Position) -> ShardReader:
        """A reader whose pages are written."""
        return _Reader(self, self._stream.open(shard_id, position), shard_id)


class _Reader:
    def __init__(self, stream: TappedStream, reader: ShardReader, shard_id: str) -> None:
        self._stream, self._reader, self._shard_id = stream, reader, shard_id

    async def read(self, limit: int) -> Page:
        """The next page, as much of it as was written. Raises `SourceError`, `RecordingError`."""
        page = await self._reader.read(limit)
        parents = self._stream.parents.get(self._shard_id, ())
        count = await self._stream.pen.write(self._shard_id, page.records, parents, ended=page.ended)
        return page if count == len(page.records) else replace(page, records=page.records[:count])


class Nobody:
    """An `Invoker` without a function: what was written is done."""

    function_arn = "arn:aws:lambda:::function:nobody"

    async def invoke(self, event: Event, request_id: str) -> Invocation:  # noqa: ARG002  # the event is not even built
        """Returned."""
        return Returned(None)

    async def close(self, grace: Millis) -> None:
        """Nothing is held."""
