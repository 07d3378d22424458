"""Amazon Kinesis Data Streams, as `KinesisApi` asks for it.

https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from esm.arn import Arn
from esm.aws.calls import DataPlane
from esm.aws.kinesis_api import GetRecordsOutput, ListedShard, ListShardsOutput, StreamSummary
from esm.aws.session import AwsSession
from esm.errors import SourceDeniedError, SourceError, SourceThrottledError
from esm.records.kinesis import KinesisRecord

__all__ = ["KinesisCalls"]

T = TypeVar("T")


# The decoders insist on what AWS always sends. An answer without it is no page of records: taken for one, it would end
# the shard.
class _GetRecords(GetRecordsOutput, gc=False, rename="pascal", kw_only=True):
    records: list[KinesisRecord]


class _ListShards(ListShardsOutput, rename="pascal", kw_only=True):
    shards: list[ListedShard]


class _Described(msgspec.Struct, rename="pascal"):
    stream_description_summary: StreamSummary


class _Iterator(msgspec.Struct, rename="pascal"):
    shard_iterator: str


_GET_RECORDS = msgspec.json.Decoder(_GetRecords)
_LIST_SHARDS = msgspec.json.Decoder(_ListShards)
_DESCRIBED = msgspec.json.Decoder(_Described)
_ITERATOR = msgspec.json.Decoder(_Iterator)


class KinesisCalls:
    """The four operations over a session, on streams of any region: it is their ARN that says which."""

    def __init__(self, session: AwsSession) -> None:
        self._session = session
        self._planes: dict[str, DataPlane] = {}

    async def get_records(self, stream_arn: str, iterator: str, limit: int) -> tuple[GetRecordsOutput, int]:
        """`GetRecords`, and the bytes its answer took on the wire."""
        parameters = {"ShardIterator": iterator, "Limit": limit, "StreamARN": stream_arn}
        return await self._call("GetRecords", stream_arn, parameters, _GET_RECORDS)

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
        parameters: dict[str, Any] = {
            "StreamARN": stream_arn,
            "ShardId": shard_id,
            "ShardIteratorType": iterator_type,
        }
        if sequence_number is not None:
            parameters["StartingSequenceNumber"] = sequence_number
        if timestamp is not None:
            parameters["Timestamp"] = timestamp
        answer, _ = await self._call("GetShardIterator", stream_arn, parameters, _ITERATOR)
        return answer.shard_iterator

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
        return answer.stream_description_summary

    async def _call(
        self, operation: str, stream_arn: str, parameters: dict[str, Any], decoder: msgspec.json.Decoder[T]
    ) -> tuple[T, int]:
        plane = self._planes.get(stream_arn) or await self._plane(stream_arn)
        return await plane.call(operation, parameters, decoder)

    async def _plane(self, stream_arn: str) -> DataPlane:
        plane = await self._session.data_plane("kinesis", Arn.parse(stream_arn).region or None)
        self._planes[stream_arn] = plane
        return plane
