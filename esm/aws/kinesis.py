"""Amazon Kinesis Data Streams, as `KinesisApi` asks for it.

https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import msgspec

from esm.aws.kinesis_api import GetRecordsOutput, ListedShard, ListShardsOutput, StreamSummary
from esm.aws.parts import InParts
from esm.aws.session import AwsSession
from esm.aws.streams import StreamCalls
from esm.errors import SourceDeniedError, SourceError, SourceThrottledError
from esm.records.kinesis import KinesisRecord

__all__ = ["KinesisCalls"]


# The decoders insist on what AWS always sends. An answer without it is no page of records: taken for one, it would end
# the shard.
class _GetRecords(GetRecordsOutput, gc=False, rename="pascal", kw_only=True):
    records: list[KinesisRecord]
    rest: None = None


class _ListShards(ListShardsOutput, rename="pascal", kw_only=True):
    shards: list[ListedShard]


class _Described(msgspec.Struct, rename="pascal"):
    stream_description_summary: StreamSummary


_GET_RECORDS = InParts(_GetRecords, KinesisRecord)
_LIST_SHARDS = msgspec.json.Decoder(_ListShards)
_DESCRIBED = msgspec.json.Decoder(_Described)


class KinesisCalls:
    """The four operations over a session, on streams of any region: it is their ARN that says which."""

    def __init__(self, session: AwsSession) -> None:
        self._calls = StreamCalls(session, "kinesis")
        self._call = self._calls.call

    def get_records(self, stream_arn: str, iterator: str, limit: int) -> Awaitable[tuple[GetRecordsOutput, int]]:
        """`GetRecords`, and the bytes its answer took on the wire."""
        parameters = {"ShardIterator": iterator, "Limit": limit, "StreamARN": stream_arn}
        return self._call("GetRecords", stream_arn, parameters, _GET_RECORDS)

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
        place: dict[str, Any] = {
            "StreamARN": stream_arn,
            "StartingSequenceNumber": sequence_number,
            "Timestamp": timestamp,
        }
        return await self._calls.get_shard_iterator(stream_arn, shard_id, iterator_type, place)

    async def list_shards(self, stream_arn: str, next_token: str | None) -> ListShardsOutput:
        """`ListShards`, the page that `next_token` names, or the first."""
        stream = {"StreamARN": stream_arn}
        if next_token is None:
            return (await self._call("ListShards", stream_arn, stream, _LIST_SHARDS))[0]
        token = {"NextToken": next_token}
        try:
            # A token stands for the stream too; AWS refuses both together.
            return (await self._call("ListShards", stream_arn, token, _LIST_SHARDS))[0]
        except (SourceDeniedError, SourceThrottledError):
            raise
        except SourceError:
            # Some local servers want both (observed).
            return (await self._call("ListShards", stream_arn, token | stream, _LIST_SHARDS))[0]

    async def describe_stream_summary(self, stream_arn: str) -> StreamSummary:
        """`DescribeStreamSummary`."""
        answer, _ = await self._call("DescribeStreamSummary", stream_arn, {"StreamARN": stream_arn}, _DESCRIBED)
        summary = answer.stream_description_summary
        summary.answered_at = self._calls.answered_at(stream_arn)
        return summary
