"""Kinesis services that the same checks run on: the simulation, and local servers through the production calls."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import pytest

from esm.aws.kinesis import KinesisCalls
from esm.aws.kinesis_api import KinesisApi
from esm.aws.session import AwsSession
from esm.testing.kinesis import SimulatedKinesis
from esm.testing.loop import SimClock

__all__ = ["REGION", "Server", "Service", "Simulation"]

REGION = "us-east-1"
_RING = 2**128
_PATIENCE = 2_000
# Calls until a server has done something. Each takes milliseconds, which is waiting enough.


class Service(Protocol):
    """A Kinesis, and the administration that a check needs: of one stream, which no other check has."""

    @property
    def api(self) -> KinesisApi:
        """The calls under test."""
        ...

    async def create(self, shards: int) -> str:
        """A new, active stream's ARN."""
        ...

    async def delete(self, arn: str) -> None:
        """Gone when this returns."""
        ...

    async def put(self, arn: str, data: bytes, key: str) -> tuple[str, str]:
        """The shard's id and the sequence number."""
        ...

    async def split(self, arn: str, shard_id: str) -> None:
        """In the middle of the ring; the shard has all of it."""
        ...

    async def merge(self, arn: str, shard_id: str, adjacent: str) -> None:
        """Two neighbours become one."""
        ...


class Simulation:
    """The simulated service, in virtual time."""

    def __init__(self) -> None:
        self.api = self.kinesis = SimulatedKinesis(SimClock())

    async def create(self, shards: int) -> str:
        arn = f"arn:aws:kinesis:{REGION}:123456789012:stream/s"
        self.kinesis.create_stream(arn, shards)
        return arn

    async def delete(self, arn: str) -> None:
        self.kinesis.delete_stream(arn)

    async def put(self, arn: str, data: bytes, key: str) -> tuple[str, str]:
        await asyncio.sleep(0.01)
        shard_id, record = self.kinesis.stream(arn).put(data, key)
        return shard_id, record.sequence_number

    async def split(self, arn: str, shard_id: str) -> None:
        self.kinesis.stream(arn).split(shard_id)

    async def merge(self, arn: str, shard_id: str, adjacent: str) -> None:
        self.kinesis.stream(arn).merge(shard_id, adjacent)


class Server:
    """A server, through the production calls; administration through the SDK."""

    def __init__(self, session: AwsSession, client: Any, account: str) -> None:
        self.api = KinesisCalls(session)
        self._client = client
        self._name = f"s-{account}"

    async def create(self, shards: int) -> str:
        await self._client.create_stream(StreamName=self._name, ShardCount=shards)
        return await self._active()

    async def delete(self, arn: str) -> None:
        await self._client.delete_stream(StreamARN=arn)
        for _ in range(_PATIENCE):
            try:
                await self._client.describe_stream_summary(StreamARN=arn)
            except self._client.exceptions.ResourceNotFoundException:
                return
        pytest.fail("the stream does not go away")

    async def put(self, arn: str, data: bytes, key: str) -> tuple[str, str]:
        answer = await self._client.put_record(StreamARN=arn, Data=data, PartitionKey=key)
        return answer["ShardId"], answer["SequenceNumber"]

    async def split(self, arn: str, shard_id: str) -> None:
        await self._client.split_shard(StreamARN=arn, ShardToSplit=shard_id, NewStartingHashKey=str(_RING // 2))
        await self._active()

    async def merge(self, arn: str, shard_id: str, adjacent: str) -> None:
        await self._client.merge_shards(StreamARN=arn, ShardToMerge=shard_id, AdjacentShardToMerge=adjacent)
        await self._active()

    async def _active(self) -> str:
        """The stream's ARN, once it rests."""
        for _ in range(_PATIENCE):
            answer = await self._client.describe_stream_summary(StreamName=self._name)
            summary = answer["StreamDescriptionSummary"]
            if summary["StreamStatus"] == "ACTIVE":
                arn: str = summary["StreamARN"]
                return arn
        pytest.fail("the stream does not become active")
