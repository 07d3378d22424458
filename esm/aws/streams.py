"""What the calls of both stream services share, Kinesis's and those of DynamoDB's streams."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

import msgspec

from esm.arn import Arn
from esm.aws.calls import DataPlane, Decoder
from esm.aws.session import AwsSession
from esm.clock import Millis

__all__ = ["StreamCalls"]

T = TypeVar("T")


class _Iterator(msgspec.Struct, rename="pascal"):
    shard_iterator: str


_ITERATOR = msgspec.json.Decoder(_Iterator)


class StreamCalls:
    """Calls of one service over a session, on streams of any region: it is their ARN that says which.

    `service`: the SDK's name of it.
    """

    def __init__(self, session: AwsSession, service: str) -> None:
        self._session, self._service = session, service
        self._planes: dict[str, DataPlane] = {}

    def call(
        self, operation: str, stream_arn: str, parameters: dict[str, Any], decoder: Decoder[T]
    ) -> Awaitable[tuple[T, int]]:
        """The decoded answer, and its bytes on the wire. Raises `SourceError`."""
        plane = self._planes.get(stream_arn)
        if plane is None:
            return self._first_call(operation, stream_arn, parameters, decoder)
        return plane.call(operation, parameters, decoder)

    def answered_at(self, stream_arn: str) -> Millis | None:
        """The service's time in the newest answer, rounded down to a second; `None`: it does not say."""
        plane = self._planes.get(stream_arn)
        return None if plane is None else plane.answered_at

    async def _first_call(
        self, operation: str, stream_arn: str, parameters: dict[str, Any], decoder: Decoder[T]
    ) -> tuple[T, int]:
        plane = await self._plane(stream_arn)
        return await plane.call(operation, parameters, decoder)

    async def get_shard_iterator(
        self,
        stream_arn: str,
        shard_id: str,
        iterator_type: str,
        place: dict[str, Any],
    ) -> str:
        """`GetShardIterator`. `place`: AWS's parameters beside stream, shard and type; `None` is left out."""
        parameters = {"ShardId": shard_id, "ShardIteratorType": iterator_type}
        parameters |= {name: value for name, value in place.items() if value is not None}
        answer, _ = await self.call("GetShardIterator", stream_arn, parameters, _ITERATOR)
        return answer.shard_iterator

    async def _plane(self, stream_arn: str) -> DataPlane:
        plane = await self._session.data_plane(self._service, Arn.parse(stream_arn).region or None)
        self._planes[stream_arn] = plane
        return plane
