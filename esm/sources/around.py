"""A stream as another one shows it, for those that change some of it."""

from __future__ import annotations

from esm.clock import Millis
from esm.records.position import Position
from esm.records.record import Shard, StreamEventShape
from esm.sources.reader import ShardReader, StreamDescription, StreamSource

__all__ = ["AroundStream"]


class AroundStream:
    """A `StreamSource` that is as the one it is around."""

    def __init__(self, stream: StreamSource) -> None:
        self._stream = stream

    @property
    def finite(self) -> bool:
        """As the stream."""
        return self._stream.finite

    @property
    def page_records_max(self) -> int:
        """As the stream's."""
        return self._stream.page_records_max

    @property
    def poll_interval_ms(self) -> Millis:
        """As the stream's."""
        return self._stream.poll_interval_ms

    @property
    def poll_spacing_ms(self) -> Millis:
        """As the stream's."""
        return self._stream.poll_spacing_ms

    async def describe(self) -> StreamDescription:
        """As the stream. Raises `SourceError`."""
        return await self._stream.describe()

    async def shards(self) -> list[Shard]:
        """As the stream's. Raises `SourceError`."""
        return await self._stream.shards()

    def open(self, shard_id: str, position: Position) -> ShardReader:
        """As the stream's."""
        return self._stream.open(shard_id, position)

    def shape(self, shard_id: str) -> StreamEventShape:
        """As the stream's."""
        return self._stream.shape(shard_id)

    async def close(self) -> None:
        """Gives up the stream."""
        await self._stream.close()
