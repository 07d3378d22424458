"""Amazon DynamoDB Streams, as `DynamoDBStreamsApi` asks for it.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_Operations_Amazon_DynamoDB_Streams.html
"""

from __future__ import annotations

from collections.abc import Awaitable

import msgspec

from esm.aws.dynamodb_streams_api import StreamPage, TableRecords
from esm.aws.kinesis_api import ListedShard
from esm.aws.session import AwsSession
from esm.aws.streams import StreamCalls
from esm.records.dynamodb import DynamoDBRecord

__all__ = ["DynamoDBStreamsCalls"]


# The decoders insist on what AWS always sends. An answer without it is no page of records: taken for one, it would end
# the shard.
class _GetRecords(TableRecords, gc=False, rename="pascal", kw_only=True):
    records: list[DynamoDBRecord]


class _StreamPage(StreamPage, rename="pascal", kw_only=True):
    shards: list[ListedShard]


class _Described(msgspec.Struct, rename="pascal"):
    stream_description: _StreamPage


_GET_RECORDS = msgspec.json.Decoder(_GetRecords)
_DESCRIBED = msgspec.json.Decoder(_Described)


class DynamoDBStreamsCalls:
    """The three operations over a session, on streams of any region: it is their ARN that says which."""

    def __init__(self, session: AwsSession) -> None:
        self._calls = StreamCalls(session, "dynamodbstreams")

    def get_records(self, stream_arn: str, iterator: str, limit: int) -> Awaitable[tuple[TableRecords, int]]:
        """`GetRecords`, and the bytes its answer took on the wire."""
        parameters = {"ShardIterator": iterator, "Limit": limit}
        return self._calls.call("GetRecords", stream_arn, parameters, _GET_RECORDS)

    async def get_shard_iterator(
        self, stream_arn: str, shard_id: str, iterator_type: str, *, sequence_number: str | None = None
    ) -> str:
        """`GetShardIterator`."""
        place = {"StreamArn": stream_arn, "SequenceNumber": sequence_number}
        return await self._calls.get_shard_iterator(stream_arn, shard_id, iterator_type, place)

    async def describe_stream(self, stream_arn: str, exclusive_start_shard_id: str | None) -> StreamPage:
        """`DescribeStream`, the page behind a shard, or the first."""
        parameters = {"StreamArn": stream_arn}
        if exclusive_start_shard_id is not None:
            parameters["ExclusiveStartShardId"] = exclusive_start_shard_id
        answer, _ = await self._calls.call("DescribeStream", stream_arn, parameters, _DESCRIBED)
        page = answer.stream_description
        page.answered_at = self._calls.answered_at(stream_arn)
        return page
