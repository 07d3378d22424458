"""Documents in an SQS queue: received, hidden while they are worked on, deleted one by one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import suppress

from esm.aws.sqs_api import SqsApi
from esm.errors import SourceError
from esm.records.sqs import SqsMessage
from esm.redriving.box import Document

__all__ = ["QueueBox"]

HIDDEN_S = 120
"""For how long a message is hidden at once; after a crash it is there again then, at the latest. (chosen)"""

_WAIT_S = 2
"""How long an empty queue is asked: long polling looks at all of its servers, a short poll only at some.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
"""

_BATCH = 10
_STALE_RECEIVES = 10
"""Receives one after another that may bring nothing but what was given out already (chosen)."""


class QueueBox:
    """A queue that Lambda, or esm, sends failure records to, or that is subscribed to such a topic.

    `hidden_s`: seconds for which a message is hidden at once. Of a FIFO queue nothing of a message group is shown while
    some of it is hidden: the first ten of each are given, and the next ones when those were struck off.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/FIFO-queues-understanding-logic.html
    """

    def __init__(self, api: SqsApi, queue_arn: str, *, hidden_s: int = HIDDEN_S) -> None:
        self._api, self._queue_arn, self._hidden_s = api, queue_arn, hidden_s
        self._held: dict[str, SqsMessage] = {}  # the newest of each that is hidden
        self._seen: set[str] = set()
        self._extending: asyncio.Task[None] | None = None

    @property
    def in_groups(self) -> bool:
        """Whether it is a FIFO queue."""
        return self._queue_arn.endswith(".fifo")

    async def prepare(self) -> None:
        """Nothing: whether messages may be deleted shows when one is."""

    async def documents(self) -> AsyncGenerator[Document, None]:
        """Each message once, until the queue shows no new one.

        Of a FIFO queue a look that gave some may end early; one that gave none has asked all of the queue's servers.
        """
        if self._extending is None:
            self._extending = asyncio.create_task(self._extend())
        stale, wait_s = 0, _WAIT_S
        while stale < _STALE_RECEIVES:
            messages = await self._api.receive_message(
                self._queue_arn, _BATCH, wait_seconds=wait_s, visibility_seconds=self._hidden_s
            )
            fresh = [message for message in messages if message.message_id not in self._seen]
            # A message that comes again, as its time ran out or a queue may always do, has a newer handle now.
            self._held.update((message.message_id, message) for message in messages)
            if not messages:
                return
            stale = 0 if fresh else stale + 1
            # Whoever got some of a FIFO queue looks again: what a short poll misses shows then.
            wait_s = 0 if self.in_groups and fresh else _WAIT_S
            self._seen.update(message.message_id for message in fresh)
            for message in fresh:
                yield Document(f"message {message.message_id}", message.body, message.message_id)

    async def done(self, document: Document) -> None:
        """Deletes the message, by its newest handle."""
        message = self._held[document.handle]
        output = await self._api.delete_message_batch(self._queue_arn, [message.receipt_handle])
        if 0 not in output.successful:
            code = output.failed.get(0, "UnparsableAnswer")
            raise SourceError(code, f"{document.name} was handled and could not be deleted")
        del self._held[document.handle]

    async def close(self) -> None:
        """Shows again what was not deleted."""
        if self._extending is not None:
            self._extending.cancel()
            await asyncio.wait([self._extending])
        await self._change(0)

    async def _extend(self) -> None:
        while True:
            await asyncio.sleep(self._hidden_s / 3)  # twice more before the time is up, if one should fail
            await self._change(self._hidden_s)

    async def _change(self, seconds: int) -> None:
        """Of all that are held; what cannot be changed is shown again when its time is up."""
        held = list(self._held.values())
        for start in range(0, len(held), _BATCH):
            entries = [(message.receipt_handle, seconds) for message in held[start : start + _BATCH]]
            with suppress(SourceError):
                await self._api.change_message_visibility_batch(self._queue_arn, entries)
