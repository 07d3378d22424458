"""Where a queue's events happen in a simulation, and what became of its messages."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

from esm.clock import Clock
from esm.errors import MappingError
from esm.mapping.limits import SQS_MESSAGE_ATTRIBUTES, SQS_MESSAGE_BYTES, SQS_RECEIVES, SQS_VISIBILITY_SECONDS
from esm.mapping.settings import EventSourceMapping
from esm.records.sqs import MessageAttribute
from esm.runtime.real import queue_source
from esm.sources.reader import StreamSource
from esm.sources.sqs import SqsSource
from esm.testing.events import Queue, Send, SourceEvent
from esm.testing.sqs import SimulatedSqs

__all__ = ["QueueStage", "QueueTrace"]


@dataclass(frozen=True, slots=True)
class QueueTrace:
    """Message bodies: `deleted`, and `dead_letters`, in the order in which it happened; `left` in the queue."""

    deleted: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    dead_letters: list[str] = field(default_factory=list)


class QueueStage:
    """One queue."""

    def __init__(self, clock: Clock, queue_arn: str, settings: Queue, seed: int) -> None:
        self._sqs = SimulatedSqs(
            clock,
            seed=seed,
            short=settings.short,
            duplicates=settings.duplicates,
            entry_fails=settings.entry_fails,
        )
        named = queue_arn.endswith(".fifo")
        if settings.fifo not in (None, named):
            raise ValueError("a queue is FIFO when its name ends in .fifo, and only then")
        _check_settings(settings)
        self._queue = self._sqs.create_queue(
            queue_arn,
            visibility_timeout=settings.visibility_timeout,
            fifo=named,
            max_receive_count=settings.max_receive_count,
        )

    def open_source(self, mapping: EventSourceMapping) -> StreamSource:
        """There is none: raises `MappingError`."""
        raise MappingError("A queue is no stream.", field="event_source_arn", value=mapping.event_source_arn)

    def open_queue(self, mapping: EventSourceMapping) -> SqsSource:
        """The production source, on the simulated service."""
        return queue_source(self._sqs, mapping)

    def play(self, event: SourceEvent) -> None:
        """Makes it happen now. Raises `ValueError` for what cannot."""
        if not isinstance(event, Send):
            raise ValueError(f"{type(event).__name__} is nothing that happens to this source")  # noqa: TRY004  # as above
        attributes = {name: _attribute(value) for name, value in event.attributes.items()}
        _check(event, attributes)
        if self._queue.fifo and event.delay:
            raise ValueError("a message of a FIFO queue has no delay of its own")
        self._queue.send(
            event.body, event.group, delay_s=event.delay, attributes=attributes, trace_header=event.trace_header
        )

    @property
    def quiet(self) -> bool:
        """Whether there is no message left."""
        return not self._queue.messages

    def trace(self) -> QueueTrace:
        """What became of the messages so far."""
        queue = self._queue
        return QueueTrace(
            deleted=[message.body for message in queue.deleted],
            left=[message.body for message in queue.messages],
            dead_letters=[message.body for message in queue.dead],
        )


def _check_settings(settings: Queue) -> None:
    """Nothing, when there can be such a queue. Raises `ValueError`.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
    """
    visibility, receives = settings.visibility_timeout, settings.max_receive_count
    if not 0 <= visibility <= SQS_VISIBILITY_SECONDS:
        raise ValueError(f"a visibility timeout is 0 to {SQS_VISIBILITY_SECONDS:,} seconds, not {visibility:,}")
    if receives is not None and not 1 <= receives <= SQS_RECEIVES:
        raise ValueError(f"maxReceiveCount is 1 to {SQS_RECEIVES:,}, not {receives:,}")


def _check(event: Send, attributes: Mapping[str, MessageAttribute]) -> None:
    """Nothing, when SQS takes such a message. Raises `ValueError`.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
    """
    body: object = event.body
    if not isinstance(body, str) or not body:
        raise ValueError("a message's body is text, and not empty")
    if len(attributes) > SQS_MESSAGE_ATTRIBUTES:
        raise ValueError(f"a message has at most {SQS_MESSAGE_ATTRIBUTES} attributes, not {len(attributes)}")
    size = len(body.encode()) + sum(_size(name, attribute) for name, attribute in attributes.items())
    if size > SQS_MESSAGE_BYTES:
        raise ValueError(f"a message has at most {SQS_MESSAGE_BYTES:,} bytes, not {size:,}")


def _size(name: str, attribute: MessageAttribute) -> int:
    """Name, type and value count; of a binary value, its bytes."""
    text, binary = attribute.string_value or "", b64decode(attribute.binary_value or "")
    return len(name.encode()) + len(attribute.data_type) + len(text.encode()) + len(binary)


def _attribute(value: str | float | bytes) -> MessageAttribute:
    if isinstance(value, bytes):
        return MessageAttribute("Binary", binary_value=b64encode(value).decode())
    if isinstance(value, str):
        return MessageAttribute("String", string_value=value)
    return MessageAttribute("Number", string_value=str(value))
