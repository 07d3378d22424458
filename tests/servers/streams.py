"""Kinesis streams on a local server: made, filled and resharded through the SDK."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

__all__ = ["REGION", "Streams"]

REGION = "eu-west-1"
_NAMES = itertools.count()


class Streams:
    """Streams of one account. `client`: an aiobotocore Kinesis client that is signed in to it."""

    def __init__(self, client: Any, account: str) -> None:
        self._client, self._account = client, account

    async def create(self, *, shards: int) -> str:
        """The ARN of a new stream, which is active."""
        name = f"stream-{next(_NAMES)}"
        await self._client.create_stream(StreamName=name, ShardCount=shards)
        arn = f"arn:aws:kinesis:{REGION}:{self._account}:stream/{name}"
        await self._settled(arn)
        return arn

    async def put(self, arn: str, key: str, data: bytes) -> str:
        """The sequence number of a new record."""
        answer = await self._client.put_record(StreamARN=arn, PartitionKey=key, Data=data)
        number: str = answer["SequenceNumber"]
        return number

    async def put_many(self, arn: str, records: list[tuple[str, bytes]]) -> None:
        """Up to 500 records."""
        entries = [{"PartitionKey": key, "Data": data} for key, data in records]
        answer = await self._client.put_records(StreamARN=arn, Records=entries)
        assert answer["FailedRecordCount"] == 0

    async def split(self, arn: str, shard_id: str) -> None:
        """Splits a shard in the middle of its hash keys."""
        keys = (await self._shard(arn, shard_id))["HashKeyRange"]
        middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2 + 1
        await self._client.split_shard(StreamARN=arn, ShardToSplit=shard_id, NewStartingHashKey=str(middle))
        await self._settled(arn)

    async def merge(self, arn: str, shard_id: str, adjacent: str) -> None:
        """Merges two shards."""
        await self._client.merge_shards(StreamARN=arn, ShardToMerge=shard_id, AdjacentShardToMerge=adjacent)
        await self._settled(arn)

    async def delete(self, arn: str) -> None:
        """Deletes the stream, and waits until it is gone."""
        await self._client.delete_stream(StreamARN=arn)
        for _ in range(200):
            try:
                await self._client.describe_stream_summary(StreamARN=arn)
            except self._client.exceptions.ResourceNotFoundException:
                return
            await asyncio.sleep(0.02)
        raise TimeoutError

    async def _shard(self, arn: str, shard_id: str) -> dict[str, Any]:
        shards = (await self._client.list_shards(StreamARN=arn))["Shards"]
        return next(shard for shard in shards if shard["ShardId"] == shard_id)

    async def _settled(self, arn: str) -> None:
        for _ in range(200):
            summary = await self._client.describe_stream_summary(StreamARN=arn)
            if summary["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE":
                return
            await asyncio.sleep(0.02)
        raise TimeoutError
