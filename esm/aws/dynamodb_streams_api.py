"""The calls of DynamoDB Streams that a poller makes, as values in and out.

The real client and the simulated stream both answer to this.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

import msgspec

from esm.aws.kinesis_api import ListedShard
from esm.clock import Millis
from esm.records.dynamodb import DynamoDBRecord, own

__all__ = ["DynamoDBStreamsApi", "StreamPage", "TableRecords"]


class TableRecords(msgspec.Struct, gc=False, rename="pascal"):
    """`GetRecords`. `next_shard_iterator` is `None` when the shard is closed and read to its end. `rest`: as Kinesis's.

    It says neither how far the tip is nor which shards follow.
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html
    """

    records: list[DynamoDBRecord] = []
    next_shard_iterator: str | None = None
    rest: None = None

    def __post_init__(self) -> None:
        """Before the answer's memory is given back. A page with text that is not UTF-8 is none."""
        own(self.records)


class StreamPage(msgspec.Struct, rename="pascal"):
    """`DescribeStream`: the stream, and one result page of its shards, which look like Kinesis's.

    `creation_request_date_time`: epoch seconds. `last_evaluated_shard_id`: where the next page begins. `answered_at`:
    as of a `StreamSummary`.
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamDescription.html
    """

    stream_status: str
    stream_label: str = ""
    creation_request_date_time: float = 0.0
    shards: list[ListedShard] = []
    last_evaluated_shard_id: str | None = None
    answered_at: Millis | None = None


class DynamoDBStreamsApi(Protocol):
    """Three operations on one stream, named by ARN. Each raises `SourceError` or one of its kinds, and nothing else."""

    async def describe_stream(self, stream_arn: str, exclusive_start_shard_id: str | None) -> StreamPage:
        """`DescribeStream`, the page behind a shard, or the first."""
        ...

    async def get_shard_iterator(
        self, stream_arn: str, shard_id: str, iterator_type: str, *, sequence_number: str | None = None
    ) -> str:
        """`GetShardIterator`."""
        ...

    def get_records(self, stream_arn: str, iterator: str, limit: int) -> Awaitable[tuple[TableRecords, int]]:
        """`GetRecords`, and the bytes its answer took on the wire. The iterator alone says of which stream."""
        ...
