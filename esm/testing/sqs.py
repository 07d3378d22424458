"""SQS in memory, on the loop's clock: all that a poller sees of standard and FIFO queues.

    sqs = SimulatedSqs(SimClock())
    queue = sqs.create_queue(arn, visibility_timeout=30)
    queue.send("...")

It answers to `esm.aws.sqs_api.SqsApi`, so the production source runs on it unchanged. Administration (sending,
deleting a queue) takes effect at once and is not awaited.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from esm.aws.sqs_api import BatchOutput, QueueAttributes
from esm.clock import Clock, Millis
from esm.errors import SourceError, SourceNotFoundError, SourceThrottledError
from esm.mapping.limits import SQS_BATCH_ENTRIES, SQS_RECEIVE_MESSAGES, SQS_VISIBILITY_SECONDS, SQS_WAIT_SECONDS
from esm.records.sqs import SqsMessage
from esm.testing.queues import SimulatedQueue

__all__ = ["SimulatedSqs"]


class SimulatedSqs:
    """The service.

    `latency`: shortest and longest time of a call, ms. `entry_fails`: how often, as a probability, an entry of a batch
    call fails although nothing is wrong with it. The rest: `SimulatedQueue`.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        seed: int = 0,
        latency: tuple[Millis, Millis] = (2, 20),
        short: float = 0.0,
        duplicates: float = 0.0,
        entry_fails: float = 0.0,
    ) -> None:
        self.latency = latency
        self.short, self.duplicates, self.entry_fails = short, duplicates, entry_fails
        self.calls = 0
        self._clock = clock
        self._rng = random.Random(f"sqs {seed}")  # noqa: S311  # a history to replay, no secret
        self._queues: dict[str, SimulatedQueue] = {}

    def create_queue(
        self,
        queue_arn: str,
        *,
        visibility_timeout: int = 30,
        fifo: bool = False,
        max_receive_count: int | None = None,
        in_flight_max: int = 120_000,
    ) -> SimulatedQueue:
        """A new queue. Raises `ValueError` if there is one of this ARN."""
        if queue_arn in self._queues:
            raise ValueError(f"{queue_arn} is there already")
        queue = SimulatedQueue(
            now=self._clock.now,
            rng=self._rng,
            visibility_timeout=visibility_timeout,
            fifo=fifo,
            max_receive_count=max_receive_count,
            in_flight_max=in_flight_max,
            short=self.short,
            duplicates=self.duplicates,
        )
        self._queues[queue_arn] = queue
        return queue

    def delete_queue(self, queue_arn: str) -> None:
        """Gone, with its messages."""
        del self._queues[queue_arn]

    async def get_queue_attributes(self, queue_arn: str) -> QueueAttributes:
        """`GetQueueAttributes`."""
        await self._travel()
        queue = self._existing(queue_arn)
        return QueueAttributes(queue.visibility_timeout, fifo=queue.fifo)

    async def receive_message(
        self, queue_arn: str, count: int, *, wait_seconds: int, visibility_seconds: int
    ) -> list[SqsMessage]:
        """`ReceiveMessage`. A caller that gives up leaves its poll behind, and that takes what comes, as on AWS."""
        if not 1 <= count <= SQS_RECEIVE_MESSAGES or not 0 <= wait_seconds <= SQS_WAIT_SECONDS:
            raise SourceError("InvalidParameterValue", "Value for a parameter of ReceiveMessage is out of range.")
        await self._travel()
        queue = self._existing(queue_arn)
        loop = asyncio.get_running_loop()
        poll = loop.create_task(self._poll(queue, count, wait_seconds, visibility_seconds))
        messages = await asyncio.shield(poll)
        await self._travel()
        self._existing(queue_arn)
        return messages

    async def delete_message_batch(self, queue_arn: str, receipt_handles: Sequence[str]) -> BatchOutput:
        """`DeleteMessageBatch`."""
        queue = await self._batch(queue_arn, len(receipt_handles))
        codes = [self._failure() or queue.delete(handle) for handle in receipt_handles]
        await self._travel()
        return _output(codes)

    async def change_message_visibility_batch(self, queue_arn: str, entries: Sequence[tuple[str, int]]) -> BatchOutput:
        """`ChangeMessageVisibilityBatch`."""
        queue = await self._batch(queue_arn, len(entries))
        if any(not 0 <= seconds <= SQS_VISIBILITY_SECONDS for _, seconds in entries):
            raise SourceError("InvalidParameterValue", "Value for parameter VisibilityTimeout is invalid.")
        codes = [self._failure() or queue.change_visibility(handle, seconds) for handle, seconds in entries]
        await self._travel()
        return _output(codes)

    async def _poll(
        self, queue: SimulatedQueue, count: int, wait_seconds: int, visibility_seconds: int
    ) -> list[SqsMessage]:
        until = self._clock.now() + wait_seconds * 1000
        while True:
            if queue.in_flight >= queue.in_flight_max and not queue.fifo:
                raise SourceThrottledError("OverLimit", "Too many messages in flight.")
            messages = queue.receive(count, visibility_seconds)
            wait_ms = until - self._clock.now()
            if messages or wait_ms <= 0:
                return messages
            await queue.changed(wait_ms)

    async def _batch(self, queue_arn: str, entries: int) -> SimulatedQueue:
        if entries == 0:
            raise SourceError("AWS.SimpleQueueService.EmptyBatchRequest", "There are no entries in the request.")
        if entries > SQS_BATCH_ENTRIES:
            raise SourceError("AWS.SimpleQueueService.TooManyEntriesInBatchRequest", "There are too many entries.")
        await self._travel()
        return self._existing(queue_arn)

    def _failure(self) -> str:
        return "InternalError" if self.entry_fails and self._rng.random() < self.entry_fails else ""

    def _existing(self, queue_arn: str) -> SimulatedQueue:
        queue = self._queues.get(queue_arn)
        if queue is None:
            raise SourceNotFoundError("QueueDoesNotExist", "The specified queue does not exist.")
        return queue

    async def _travel(self) -> None:
        self.calls += 1
        least, most = self.latency
        await asyncio.sleep(self._rng.uniform(least, most) / 1000)


def _output(codes: list[str]) -> BatchOutput:
    failed = {index: code for index, code in enumerate(codes) if code}
    return BatchOutput(frozenset(range(len(codes))) - failed.keys(), failed)
