"""A queue as the machine's commands see it: receive, delete, change; what each error of an entry means."""

from __future__ import annotations

import asyncio
from functools import partial

from esm.aws.calling import reply_in_time
from esm.aws.sqs_api import CALL_TIMEOUT_S, BatchOutput, QueueAttributes, SqsApi
from esm.machine.queue_commands import Changed, ChangeVisibility, Delete, EntryResult, Receive, Received
from esm.records.sqs import SqsEventShape, SqsMessage
from esm.reply import Reply

__all__ = ["SqsSource"]

_STALE = frozenset(
    {
        "InvalidParameterValue",  # of a FIFO queue: the receipt handle has expired (observed)
        "InvalidReceiptHandle",
        "MessageNotInflight",
        "AWS.SimpleQueueService.MessageNotInflight",
        "ReceiptHandleIsInvalid",
    }
)
"""Codes of an entry whose receipt handle is of no use any more.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
"""


class SqsSource:
    """One queue. `windowed`: whether its mapping has a batching window.

    `ended`: is set when nothing comes of it any more; `None`: of a queue that has no end.
    """

    def __init__(
        self, api: SqsApi, *, queue_arn: str, region: str, windowed: bool, ended: asyncio.Event | None = None
    ) -> None:
        self.ended = asyncio.Event() if ended is None else ended
        self._api, self._queue_arn = api, queue_arn
        self.shape = SqsEventShape(event_source_arn=queue_arn, region=region, windowed=windowed)

    async def describe(self) -> QueueAttributes:
        """What the queue says of itself. Raises `SourceError`."""
        return await self._api.get_queue_attributes(self._queue_arn)

    def receive(self, command: Receive) -> Reply[Received]:
        """What a receive gave. Raises `SourceError`."""
        messages = self._api.receive_message(
            self._queue_arn,
            command.count,
            wait_seconds=command.wait_seconds,
            visibility_seconds=command.visibility_seconds,
        )
        return reply_in_time(messages, CALL_TIMEOUT_S).then(self._received)

    def delete(self, command: Delete) -> Reply[Changed]:
        """What became of each message. Raises `SourceError` when that is not known of any."""
        handles = [record.receipt_handle for record in command.records]
        deleted = self._api.delete_message_batch(self._queue_arn, handles)
        return reply_in_time(deleted, CALL_TIMEOUT_S).then(partial(_changed, command.records))

    def change(self, command: ChangeVisibility) -> Reply[Changed]:
        """What became of each message. Raises `SourceError` when that is not known of any."""
        handles = [record.receipt_handle for record in command.records]
        entries = list(zip(handles, command.seconds, strict=True))
        changed = self._api.change_message_visibility_batch(self._queue_arn, entries)
        return reply_in_time(changed, CALL_TIMEOUT_S).then(partial(_changed, command.records))

    def _received(self, messages: list[SqsMessage]) -> Received:
        return Received(messages, self.shape.sizes(messages))


_ALL_CHANGED = Changed({})


def _changed(records: list[SqsMessage], output: BatchOutput) -> Changed:
    """An entry that the answer does not name has failed, as far as anybody knows."""
    if output.successful.issuperset(range(len(records))):
        return _ALL_CHANGED
    missed = {}
    for index, record in enumerate(records):
        if index not in output.successful:
            stale = output.failed.get(index, "") in _STALE
            missed[record.message_id] = EntryResult.STALE if stale else EntryResult.FAILED
    return Changed(missed)
