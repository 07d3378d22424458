"""A simulated queue: visibility, message groups, receipt handles, redrive, duplicates.

sent --receive--> in flight --delete--> deleted
  ^                  |
  +-- time is over --+        received too often --> dead letter
"""

from __future__ import annotations

import asyncio
import random
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import md5
from uuid import UUID

from esm.clock import Millis
from esm.records.sqs import MessageAttribute, SqsMessage

__all__ = ["QueuedMessage", "SimulatedQueue", "attributes_md5"]

_SENDER = "AIDAIENQZJOLO23YVJ4VO"
_FIRST_NUMBER = 18_850_000_000_000_000_000
_STEP = 256
_INVALID_HANDLE = "ReceiptHandleIsInvalid"
_EXPIRED_HANDLE = "InvalidParameterValue"
_NOT_IN_FLIGHT = "MessageNotInflight"


@dataclass(slots=True, eq=False)
class QueuedMessage:
    """One message. `receives`: how often it was received, each time under a handle of its own."""

    message_id: str
    body: str
    group: str | None
    sent_at: Millis
    number: int
    attributes: dict[str, MessageAttribute]
    trace_header: str | None
    visible_at: Millis
    first_received_at: Millis = 0
    receives: int = 0
    state: str = "queued"

    @property
    def handle(self) -> str:
        """The newest receipt handle."""
        return f"{self.message_id}#{self.receives}"


@dataclass(slots=True, eq=False)
class SimulatedQueue:
    """One queue. `visibility_timeout`: seconds; may be changed.

    `short`: how often, as a probability, a receive gives fewer messages than it could. `duplicates`: how often a
    standard queue shows a message once more although it is in flight.
    """

    now: Callable[[], Millis]
    rng: random.Random
    visibility_timeout: int = 30
    fifo: bool = False
    max_receive_count: int | None = None
    in_flight_max: int = 120_000
    short: float = 0.0
    duplicates: float = 0.0
    messages: list[QueuedMessage] = field(default_factory=list)
    deleted: list[QueuedMessage] = field(default_factory=list)
    dead: list[QueuedMessage] = field(default_factory=list)
    stale: int = 0
    _by_id: dict[str, QueuedMessage] = field(default_factory=dict)
    _waiting: list[asyncio.Future[None]] = field(default_factory=list)
    _sent: int = 0

    def send(
        self,
        body: str,
        group: str | None = None,
        *,
        delay_s: float = 0.0,
        attributes: Mapping[str, MessageAttribute] | None = None,
        trace_header: str | None = None,
    ) -> str:
        """Puts a message; gives its id. Raises `ValueError` for a FIFO queue without a group."""
        if self.fifo and group is None:
            raise ValueError("a message of a FIFO queue has a group")
        now = self.now()
        message_id = str(UUID(int=self.rng.getrandbits(128), version=4))
        message = QueuedMessage(
            message_id,
            body,
            group,
            now,
            _FIRST_NUMBER + _STEP * self._sent,
            dict(attributes or {}),
            trace_header,
            now + round(delay_s * 1000),
        )
        self._sent += 1
        self.messages.append(message)
        self._by_id[message_id] = message
        self._wake()
        return message_id

    @property
    def in_flight(self) -> int:
        """Messages that are received and hidden."""
        now = self.now()
        return sum(message.receives > 0 and message.visible_at > now for message in self.messages)

    def receive(self, count: int, visibility_seconds: int | None = None) -> list[SqsMessage]:
        """Up to `count` messages, which are hidden from now on; those received too often are moved away instead."""
        now = self.now()
        self._redrive(now)
        chosen = self._fifo_choice(count, now) if self.fifo else self._choice(count, now)
        seconds = self.visibility_timeout if visibility_seconds is None else visibility_seconds
        for message in chosen:
            message.receives += 1
            message.first_received_at = message.first_received_at or now
            message.visible_at = now + seconds * 1000
        return [self._shown(message) for message in chosen]

    def delete(self, handle: str) -> str:
        """Deletes; gives an error code, or "". An old handle of a standard queue deletes nothing and is no error.

        https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html
        """
        message = self._of(handle)
        if message is None:
            return _INVALID_HANDLE
        if self.fifo and message.state == "queued" and (message.handle != handle or message.visible_at <= self.now()):
            self.stale += 1
            return _EXPIRED_HANDLE
        if message.handle != handle or message.state != "queued":
            self.stale += message.handle != handle
            return ""
        self._remove(message, "deleted", self.deleted)
        return ""

    def change_visibility(self, handle: str, seconds: int) -> str:
        """Hides a message for so long from now; gives an error code, or ""."""
        message = self._of(handle)
        if message is None:
            return _INVALID_HANDLE
        if message.state != "queued" or message.visible_at <= self.now():
            return _NOT_IN_FLIGHT
        if message.handle != handle:
            self.stale += 1
            return _EXPIRED_HANDLE
        message.visible_at = self.now() + seconds * 1000
        self._wake()
        return ""

    async def changed(self, within: Millis) -> None:
        """Returns when there may be something to receive, `within` ms at the latest."""
        now = self.now()
        later = [message.visible_at - now for message in self.messages if message.visible_at > now]
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        await asyncio.wait([waiter], timeout=min([within, *later]) / 1000)
        if waiter in self._waiting:
            self._waiting.remove(waiter)

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _choice(self, count: int, now: Millis) -> list[QueuedMessage]:
        """Of a standard queue: some of what is visible, in no order to rely on."""
        room = self.in_flight_max - self.in_flight
        visible = [message for message in self.messages if self._is_shown(message, now)]
        return visible[: max(0, min(self._count(count), room))]

    def _is_shown(self, message: QueuedMessage, now: Millis) -> bool:
        if message.visible_at <= now:
            return True
        return bool(self.duplicates) and message.receives > 0 and self.rng.random() < self.duplicates

    def _fifo_choice(self, count: int, now: Millis) -> list[QueuedMessage]:
        """Of a FIFO queue: the oldest of groups of which nothing is in flight."""
        locked = {m.group for m in self.messages if m.visible_at > now}
        return [m for m in self.messages if m.group not in locked][: self._count(count)]

    def _count(self, count: int) -> int:
        return self.rng.randint(1, count) if self.short and self.rng.random() < self.short else count

    def _redrive(self, now: Millis) -> None:
        """What would be received once too often goes to the dead-letter queue."""
        if self.max_receive_count is None:
            return
        for message in [m for m in self.messages if m.receives >= self.max_receive_count and m.visible_at <= now]:
            self._remove(message, "dead", self.dead)

    def _remove(self, message: QueuedMessage, state: str, into: list[QueuedMessage]) -> None:
        message.state = state
        self.messages.remove(message)
        into.append(message)
        self._wake()

    def _of(self, handle: str) -> QueuedMessage | None:
        message_id, _, number = handle.partition("#")
        message = self._by_id.get(message_id)
        known = message is not None and number.isdecimal() and 1 <= int(number) <= message.receives
        return message if known else None

    def _shown(self, message: QueuedMessage) -> SqsMessage:
        attributes = {
            "SenderId": _SENDER,
            "ApproximateFirstReceiveTimestamp": str(message.first_received_at),
            "ApproximateReceiveCount": str(message.receives),
            "SentTimestamp": str(message.sent_at),
        }
        if self.fifo:
            attributes["SequenceNumber"] = str(message.number)
            attributes["MessageDeduplicationId"] = md5(message.message_id.encode(), usedforsecurity=False).hexdigest()
        if message.group is not None:
            attributes["MessageGroupId"] = message.group
        if message.trace_header is not None:
            attributes["AWSTraceHeader"] = message.trace_header
        return SqsMessage(
            message_id=message.message_id,
            receipt_handle=message.handle,
            body=message.body,
            md5_of_body=md5(message.body.encode(), usedforsecurity=False).hexdigest(),
            attributes=attributes,
            message_attributes=dict(message.attributes),
            md5_of_message_attributes=attributes_md5(message.attributes) if message.attributes else None,
        )


def attributes_md5(attributes: Mapping[str, MessageAttribute]) -> str:
    """The MD5 of message attributes.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
    """
    encoded = bytearray()
    for name in sorted(attributes):
        value = attributes[name]
        is_text = value.string_value is not None
        content = (value.string_value or "").encode() if is_text else b64decode(value.binary_value or "")
        for part in (name.encode(), value.data_type.encode()):
            encoded += len(part).to_bytes(4, "big") + part
        encoded += (b"\x01" if is_text else b"\x02") + len(content).to_bytes(4, "big") + content
    return md5(encoded, usedforsecurity=False).hexdigest()
