"""A record, a page of them as one read gives it, and a shard as its stream lists it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from esm.clock import Millis
from esm.records.position import SequenceNumber

__all__ = ["EventShape", "Page", "Shard", "StreamEventShape", "StreamRecord"]


class StreamRecord(Protocol):
    """One record of a Kinesis or DynamoDB stream, decoded once from the wire and held as it stood there."""

    @property
    def sequence_number(self) -> SequenceNumber:
        """Its place in the shard."""
        ...

    @property
    def key(self) -> str:
        """What order is kept by under a parallelization factor: the partition key, or the item's key."""
        ...

    @property
    def arrived_at(self) -> Millis:
        """Epoch ms: `ApproximateArrivalTimestamp`, `ApproximateCreationDateTime`."""
        ...


class EventShape(Protocol):
    """How the records of one shard stand in a Lambda event, and how many bytes they take there."""

    def sizes(self, records: Sequence[Any]) -> list[int]:
        """Bytes of each record's item in the JSON text of the event, with the comma behind it."""
        ...

    def event(self, records: list[Any]) -> dict[str, Any]:
        """A fresh `{"Records": [...]}` in AWS's shape; a handler may change it without changing the records."""
        ...


class StreamEventShape(EventShape, Protocol):
    """The same of a stream's records, which come many at a time."""

    def most(self, records: Sequence[Any], json_bytes: int, count: int) -> int:
        """What `sizes` of any `count` of them come to, or some more, when all took `json_bytes` of JSON; cheap."""
        ...


class Page(msgspec.Struct, frozen=True, gc=False):
    """What one read of a shard gave, or a part of that.

    `records`: in order, possibly none. `behind_ms`: how far the end of the page is behind the tip, 0 at the tip.
    `ended`: the shard is closed and this was its last page. `children`: shard ids that follow it, where the service
    says so; empty when it does not. `size_bytes`: what the page holds in memory, about. `trimmed`: the position asked
    for is no longer kept, so records between it and the first of this page may be lost. `json_bytes`: what the records,
    if not more, took in the JSON of their service; `None`: they do not come from such. `rest`: gives the next part of
    what was read, which comes at once; it raises `SourceError` when that turns out to be no records. `None`: this is
    the last, or all. `rest_bytes`: what is held until that was given. `part`: which this is, the first is 0.
    """

    records: list[Any]
    behind_ms: Millis = 0
    ended: bool = False
    children: tuple[str, ...] = ()
    size_bytes: int = 0
    trimmed: bool = False
    json_bytes: int | None = None
    rest: Callable[[], Page] | None = None
    rest_bytes: int = 0
    part: int = 0


class Shard(msgspec.Struct, frozen=True):
    """One shard as its stream lists it.

    `parents`: none, one (a split) or two (a merge); they may be trimmed from the list already.
    """

    shard_id: str
    parents: tuple[str, ...] = ()
    closed: bool = False
