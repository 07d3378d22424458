"""The calls of SQS that a poller makes, as values in and out.

The real client and the simulated queue both answer to this.
"""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from esm.records.sqs import SqsMessage

__all__ = ["CALL_TIMEOUT_S", "BatchOutput", "QueueAttributes", "SqsApi"]

CALL_TIMEOUT_S = 65.0
"""How long a call may take, a long poll of 20 s among it: then the queue is taken not to answer (chosen)."""


@dataclass(frozen=True, slots=True)
class QueueAttributes:
    """What is used of `GetQueueAttributes`."""

    visibility_seconds: int
    fifo: bool = False


@dataclass(frozen=True, slots=True)
class BatchOutput:
    """A batch call: indexes of the entries that went well, and the error codes of those that did not."""

    successful: frozenset[int] = frozenset()
    failed: dict[int, str] = field(default_factory=dict)


class SqsApi(Protocol):
    """Four operations on one queue, named by ARN. Each raises `SourceError` or one of its kinds, and nothing else."""

    async def get_queue_attributes(self, queue_arn: str) -> QueueAttributes:
        """`GetQueueAttributes`."""
        ...

    def receive_message(
        self, queue_arn: str, count: int, *, wait_seconds: int, visibility_seconds: int
    ) -> Awaitable[list[SqsMessage]]:
        """`ReceiveMessage` with all attributes; returns within about `wait_seconds`, possibly with none."""
        ...

    def delete_message_batch(self, queue_arn: str, receipt_handles: Sequence[str]) -> Awaitable[BatchOutput]:
        """`DeleteMessageBatch`, up to ten."""
        ...

    def change_message_visibility_batch(
        self, queue_arn: str, entries: Sequence[tuple[str, int]]
    ) -> Awaitable[BatchOutput]:
        """`ChangeMessageVisibilityBatch`, up to ten of receipt handle and seconds from now."""
        ...
