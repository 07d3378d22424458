"""What the runtime asks of a stream: its shards, and pages of one shard from a position on."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import msgspec

from esm.clock import Millis
from esm.records.position import Position
from esm.records.record import Page, Shard, StreamEventShape

__all__ = ["PartsReader", "ShardReader", "StreamDescription", "StreamSource"]


class StreamDescription(msgspec.Struct, frozen=True):
    """What tells one stream from another of the same name.

    `created`: text that changes when the stream is made anew; "" if unknown. `ahead_ms`: what the service's clock is
    ahead of the worker's, or up to a second less; always the same of one source.
    """

    created: str
    active: bool = True
    ahead_ms: Millis = 0


class ShardReader(Protocol):
    """Reads one shard forward. Keeps its own iterator; an expired one is replaced by one after the last record read."""

    async def read(self, limit: int) -> Page:
        """The next page, of at most `limit` records; possibly none.

        Raises `SourceError`; then the next call tries the same place.
        """
        ...


@runtime_checkable
class PartsReader(ShardReader, Protocol):
    """One that need not have all of an answer decoded before any of it is handled."""

    async def read_in_parts(self, limit: int) -> Page:
        """As `read`; of what is large the first part. The rest of it is had before the next read, or let go for good.

        When the rest is no records, the next read begins behind what was had.
        """
        ...


class StreamSource(Protocol):
    """One stream."""

    @property
    def finite(self) -> bool:
        """Whether it comes to an end: when no shard listed is open any more, none will be."""
        ...

    @property
    def page_records_max(self) -> int:
        """Records that one read may ask for."""
        ...

    @property
    def poll_interval_ms(self) -> Millis:
        """How often a shard is read whose tip was reached."""
        ...

    @property
    def poll_spacing_ms(self) -> Millis:
        """How often a shard is read of which more is waiting."""
        ...

    async def describe(self) -> StreamDescription:
        """The stream's identity. Raises `SourceError`."""
        ...

    async def shards(self) -> list[Shard]:
        """All shards listed now, closed ones too, over all result pages. Raises `SourceError`."""
        ...

    def open(self, shard_id: str, position: Position) -> ShardReader:
        """A reader from `position` on; nothing is called yet."""
        ...

    def shape(self, shard_id: str) -> StreamEventShape:
        """How the records of this shard stand in an event."""
        ...

    async def close(self) -> None:
        """Gives up what it holds."""
        ...
