"""Amazon SQS, as `SqsApi` asks for it.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Operations.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import msgspec

from esm.arn import Arn
from esm.aws.calling import reply_in_time
from esm.aws.calls import DataPlane
from esm.aws.session import AwsSession
from esm.aws.sqs_api import CALL_TIMEOUT_S, BatchOutput, QueueAttributes
from esm.aws.sums import first_damaged
from esm.errors import SourceDeniedError, SourceError
from esm.mapping.limits import SQS_BATCH_ENTRIES
from esm.records.sqs import SqsMessage
from esm.reply import Reply

__all__ = ["SqsCalls"]

T = TypeVar("T")


RECEIVE_TIMEOUT_S = 65.0
"""For a whole receive, a long poll of 20 s among it: then the connection is taken for dead (chosen)."""


class _Received(msgspec.Struct, rename="pascal"):
    messages: list[SqsMessage] | None = None


class _Url(msgspec.Struct, rename="pascal"):
    queue_url: str


class _Attributes(msgspec.Struct, rename="pascal"):
    attributes: dict[str, str]


class _Done(msgspec.Struct, gc=False, rename="pascal"):
    id: str


class _Failure(msgspec.Struct, rename="pascal"):
    id: str
    code: str = ""


class _Batch(msgspec.Struct, rename="pascal"):
    successful: list[_Done] = []
    failed: list[_Failure] = []


_DONE = [_Done(str(index)) for index in range(SQS_BATCH_ENTRIES)]
"""What a batch call is answered when all went well, as far as it goes."""

_ALL_DONE = [BatchOutput(frozenset(range(count))) for count in range(SQS_BATCH_ENTRIES + 1)]
"""What became of a call of so many entries then."""

_RECEIVED = msgspec.json.Decoder(_Received)
_URL = msgspec.json.Decoder(_Url)
_ATTRIBUTES = msgspec.json.Decoder(_Attributes)
_BATCH = msgspec.json.Decoder(_Batch)


@dataclass(frozen=True, slots=True)
class _Queue:
    """How one queue is reached. Long polls have connections of their own, so that nothing waits behind them."""

    url: str
    plane: DataPlane
    polls: DataPlane


class SqsCalls:
    """The operations over a session, on queues of any region: it is their ARN that says which.

    Requests go to the session's endpoint for the region, whatever host the queue's URL names.
    """

    def __init__(self, session: AwsSession) -> None:
        self._session = session
        self._queues: dict[str, _Queue] = {}

    async def get_queue_attributes(self, queue_arn: str) -> QueueAttributes:
        """`GetQueueAttributes`."""
        queue = await self._queue(queue_arn)
        parameters = {"QueueUrl": queue.url, "AttributeNames": ["All"]}
        answer, _ = await queue.plane.call("GetQueueAttributes", parameters, _ATTRIBUTES)
        told = answer.attributes
        try:
            seconds = int(told["VisibilityTimeout"])
        except (KeyError, ValueError):
            raise SourceError("UnparsableAnswer", "the queue's attributes name no visibility timeout") from None
        return QueueAttributes(seconds, fifo=told.get("FifoQueue") == "true")

    def receive_message(
        self, queue_arn: str, count: int, *, wait_seconds: int, visibility_seconds: int
    ) -> Awaitable[list[SqsMessage]]:
        """`ReceiveMessage`. Raises `SourceError` also when a body is not what its sum says."""
        parameters = {
            "MaxNumberOfMessages": count,
            "WaitTimeSeconds": wait_seconds,
            "VisibilityTimeout": visibility_seconds,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        }
        return self._call("ReceiveMessage", queue_arn, parameters, _RECEIVED, polls=True).then(_messages)

    def delete_message_batch(self, queue_arn: str, receipt_handles: Sequence[str]) -> Awaitable[BatchOutput]:
        """`DeleteMessageBatch`."""
        entries = [{"Id": str(i), "ReceiptHandle": handle} for i, handle in enumerate(receipt_handles)]
        return self._batch("DeleteMessageBatch", queue_arn, entries)

    def change_message_visibility_batch(
        self, queue_arn: str, entries: Sequence[tuple[str, int]]
    ) -> Awaitable[BatchOutput]:
        """`ChangeMessageVisibilityBatch`."""
        named = [
            {"Id": str(i), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
            for i, (handle, seconds) in enumerate(entries)
        ]
        return self._batch("ChangeMessageVisibilityBatch", queue_arn, named)

    def _batch(self, operation: str, queue_arn: str, entries: list[dict[str, Any]]) -> Reply[BatchOutput]:
        answer = self._call(operation, queue_arn, {"Entries": entries}, _BATCH)
        return answer.then(partial(_became, len(entries)))

    def _call(
        self,
        operation: str,
        queue_arn: str,
        parameters: dict[str, Any],
        decoder: msgspec.json.Decoder[T],
        *,
        polls: bool = False,
    ) -> Reply[tuple[T, int]]:
        """One of the hot calls, begun at once, unless the queue is not known yet."""
        queue = self._queues.get(queue_arn)
        if queue is None:
            first = self._first_call(operation, queue_arn, parameters, decoder, polls=polls)
            return reply_in_time(first, CALL_TIMEOUT_S)
        plane = queue.polls if polls else queue.plane
        call = plane.call(operation, {"QueueUrl": queue.url, **parameters}, decoder)
        return reply_in_time(call, CALL_TIMEOUT_S)

    async def _first_call(
        self,
        operation: str,
        queue_arn: str,
        parameters: dict[str, Any],
        decoder: msgspec.json.Decoder[T],
        *,
        polls: bool,
    ) -> tuple[T, int]:
        await self._queue(queue_arn)
        return await self._call(operation, queue_arn, parameters, decoder, polls=polls)

    async def _queue(self, queue_arn: str) -> _Queue:
        queue = self._queues.get(queue_arn)
        if queue is None:
            queue = self._queues[queue_arn] = await self._find(Arn.parse(queue_arn))
        return queue

    async def _find(self, arn: Arn) -> _Queue:
        region = arn.region or None
        plane = await self._session.data_plane("sqs", region)
        polls = await self._session.data_plane("sqs", region, read_timeout=RECEIVE_TIMEOUT_S)
        parameters = {"QueueName": arn.resource}
        if arn.account:
            parameters["QueueOwnerAWSAccountId"] = arn.account
        try:
            url = (await plane.call("GetQueueUrl", parameters, _URL))[0].queue_url
        except SourceDeniedError:
            # Lambda's own role has no need of sqs:GetQueueUrl, and a queue's URL follows from its ARN.
            client = await self._session.client("sqs", region)
            url = f"{client.meta.endpoint_url.rstrip('/')}/{arn.account}/{arn.resource}"
        return _Queue(url, plane, polls)


def _messages(answered: tuple[_Received, int]) -> list[SqsMessage]:
    messages = answered[0].messages or []
    damaged = first_damaged(messages)
    if damaged is not None:
        raise SourceError("ChecksumMismatch", f"message {damaged.message_id} is not what its MD5 says")
    return messages


def _became(count: int, answered: tuple[_Batch, int]) -> BatchOutput:
    """What became of so many entries."""
    answer = answered[0]
    if not answer.failed and answer.successful == _DONE[:count]:
        return _ALL_DONE[count]  # as nearly always
    try:
        failed = {int(failure.id): failure.code for failure in answer.failed}
        return BatchOutput(frozenset([int(done.id) for done in answer.successful]), failed)
    except ValueError:
        raise SourceError("UnparsableAnswer", "an entry of the answer was not asked for") from None
