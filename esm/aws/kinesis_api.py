"""The Kinesis calls a poller makes, as values in and out.

The real client and the simulated stream both answer to this.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator
from typing import Protocol

import msgspec

from esm.clock import Millis
from esm.records.kinesis import KinesisRecord

__all__ = [
    "ChildShard",
    "GetRecordsOutput",
    "KinesisApi",
    "ListShardsOutput",
    "ListedShard",
    "Rest",
    "SequenceNumberRange",
    "StreamSummary",
]


class Rest(Iterator[list[KinesisRecord]], Protocol):
    """What follows, a part at a time, of at least one record. Its `next` raises `SourceError` for what is no record."""

    @property
    def size_bytes(self) -> int:
        """What they take; 0: there are none."""
        ...

    @property
    def last(self) -> KinesisRecord:
        """The last of all."""
        ...


class ChildShard(msgspec.Struct, gc=False, rename="pascal"):
    """An element of `GetRecords`' `ChildShards`, given on a closed shard's last page."""

    shard_id: str
    parent_shards: list[str] = []


class GetRecordsOutput(msgspec.Struct, gc=False, rename="pascal"):
    """`GetRecords`. `next_shard_iterator` is `None` when the shard is closed and read to its end.

    `rest`: records that follow `records` and are not decoded yet; `None`: none do.
    https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetRecords.html
    """

    records: list[KinesisRecord] = []
    next_shard_iterator: str | None = None
    millis_behind_latest: Millis | None = None
    child_shards: list[ChildShard] | None = None
    rest: Rest | None = None


class SequenceNumberRange(msgspec.Struct, rename="pascal"):
    """`EndingSequenceNumber` is `None` while the shard is open. Some servers do not say where an empty one starts."""

    starting_sequence_number: str = ""
    ending_sequence_number: str | None = None


class ListedShard(msgspec.Struct, rename="pascal"):
    """An element of `ListShards`' `Shards`."""

    shard_id: str
    sequence_number_range: SequenceNumberRange
    parent_shard_id: str | None = None
    adjacent_parent_shard_id: str | None = None


class ListShardsOutput(msgspec.Struct, rename="pascal"):
    """`ListShards`, one result page."""

    shards: list[ListedShard] = []
    next_token: str | None = None


class StreamSummary(msgspec.Struct, rename="pascal"):
    """What is used of `DescribeStreamSummary`. `stream_creation_timestamp`: epoch seconds.

    `answered_at`: the service's own time, rounded down to a second; `None`: it did not say.
    """

    stream_status: str
    stream_creation_timestamp: float = 0.0
    retention_period_hours: int = 24
    answered_at: Millis | None = None


class KinesisApi(Protocol):
    """Four operations on one stream, named by ARN. Each raises `SourceError` or one of its kinds, and nothing else."""

    async def describe_stream_summary(self, stream_arn: str) -> StreamSummary:
        """`DescribeStreamSummary`."""
        ...

    async def list_shards(self, stream_arn: str, next_token: str | None) -> ListShardsOutput:
        """`ListShards`, the page that `next_token` names, or the first."""
        ...

    async def get_shard_iterator(
        self,
        stream_arn: str,
        shard_id: str,
        iterator_type: str,
        *,
        sequence_number: str | None = None,
        timestamp: float | None = None,
    ) -> str:
        """`GetShardIterator`; `timestamp` in epoch seconds."""
        ...

    def get_records(self, stream_arn: str, iterator: str, limit: int) -> Awaitable[tuple[GetRecordsOutput, int]]:
        """`GetRecords`, and the bytes its answer took on the wire."""
        ...
