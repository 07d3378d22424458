"""A message as `ReceiveMessage` writes it, and as a Lambda event carries it.

The wire's JSON is decoded once, straight into the object the machine holds; binary attributes stay base64 text.
Event: https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from esm.clock import Millis

__all__ = ["SMALL", "MessageAttribute", "SqsEventShape", "SqsMessage"]

SMALL = 64 << 10
"""Characters of a body: ten such messages do not fill an event, though each may take six bytes there (chosen)."""

_SYSTEM = {
    "SenderId": "AIDACKCEVSQ6C2EXAMPLE",
    "ApproximateFirstReceiveTimestamp": "1545082649185",
    "ApproximateReceiveCount": "1",
    "SentTimestamp": "1545082649183",
}

_FIELDS = ("messageId", "receiptHandle", "body", "attributes", "messageAttributes")

_DIGITS_MAX = 20
_json = msgspec.json.Encoder().encode


class MessageAttribute(msgspec.Struct, gc=False, rename="pascal"):
    """A sender's own attribute: `data_type` says which of the two values there is, the other is `None`."""

    data_type: str = "String"
    string_value: str | None = None
    binary_value: str | None = None


class SqsMessage(msgspec.Struct, gc=False, rename="pascal"):
    """One element of `ReceiveMessage`'s `Messages`. `attributes`: the system's, all of them text.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_Message.html
    """

    message_id: str
    receipt_handle: str
    body: str = ""
    md5_of_body: str = msgspec.field(name="MD5OfBody", default="")
    attributes: dict[str, str] = {}
    message_attributes: dict[str, MessageAttribute] = {}
    md5_of_message_attributes: str | None = msgspec.field(name="MD5OfMessageAttributes", default=None)

    @property
    def group(self) -> str:
        """The message group; "" when it has none. Messages of a standard queue may have one, for fairness."""
        return self.attributes.get("MessageGroupId", "")

    @property
    def sent_at(self) -> Millis | None:
        """When it was sent, epoch ms; `None` where the queue, or a recording, does not say."""
        return self._number("SentTimestamp")

    @property
    def receives(self) -> int:
        """How often it was received, this time among them; 1 where the queue, or a recording, does not say."""
        return self._number("ApproximateReceiveCount") or 1

    def _number(self, attribute: str) -> int | None:
        text = self.attributes.get(attribute, "")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < _DIGITS_MAX else None


class SqsEventShape:
    """Builds the events of one queue: AWS's fields, in AWS's order.

    `windowed`: whether the mapping has a batching window: then `md5OfMessageAttributes` is null for a message without
    attributes, else it is not there (observed).
    """

    def __init__(self, *, event_source_arn: str, region: str, windowed: bool) -> None:
        source = {"eventSource": "aws:sqs", "eventSourceARN": event_source_arn, "awsRegion": region}
        self._plain: dict[str, Any] = dict.fromkeys([*_FIELDS, "md5OfBody"]) | source
        self._with_md5: dict[str, Any] = dict.fromkeys([*_FIELDS, "md5OfMessageAttributes", "md5OfBody"]) | source
        self._windowed = windowed
        plain = SqsMessage("", "", md5_of_body="0" * 32)
        self._beyond_the_wire = self._exact_size(plain) - len(_json(plain))
        self._around = self._exact_size(replace(plain, message_id="0" * 36, attributes=_SYSTEM))

    def item(self, message: SqsMessage) -> dict[str, Any]:
        """The message's item of an event: new objects at every call, what a filter looks at as well."""
        md5 = message.md5_of_message_attributes
        if md5 or self._windowed:
            item = self._with_md5.copy()
            item["md5OfMessageAttributes"] = md5 or None
        else:
            item = self._plain.copy()
        item["messageId"] = message.message_id
        item["receiptHandle"] = message.receipt_handle
        item["body"] = message.body
        item["attributes"] = message.attributes.copy()
        item["messageAttributes"] = _attributes(message) if message.message_attributes else {}
        item["md5OfBody"] = message.md5_of_body
        return item

    def size(self, message: SqsMessage) -> int:
        """Bytes of the item in the event's JSON, with the comma behind it."""
        plain = not message.message_attributes and message.md5_of_message_attributes is None
        if plain and type(message) is SqsMessage:  # what was recorded is written otherwise
            # The item says what the wire says, under names as long: nothing need be built to measure it.
            return len(_json(message)) + self._beyond_the_wire
        return self._exact_size(message)

    def _exact_size(self, message: SqsMessage) -> int:
        return len(_json(self.item(message))) + len(",")

    def sizes(self, messages: Sequence[SqsMessage]) -> list[int]:
        """`size` of each, or about that where nothing hangs on it: all are small, and a batch has ten at the most."""
        sizes: list[int] = []
        around, exact = self._around, self._windowed
        for message in messages:
            body = message.body
            if exact or len(body) > SMALL or message.message_attributes or not body.isascii():
                return [self.size(each) for each in messages]
            sizes.append(around + len(message.receipt_handle) + len(body))
        return sizes

    def event(self, messages: list[SqsMessage]) -> dict[str, Any]:
        """`{"Records": [...]}`, new objects at every call."""
        return {"Records": [self.item(message) for message in messages]}


def _attributes(message: SqsMessage) -> dict[str, Any]:
    return {name: _attribute(value) for name, value in message.message_attributes.items()}


def _attribute(value: MessageAttribute) -> dict[str, Any]:
    item: dict[str, Any] = {}
    if value.string_value is not None:
        item["stringValue"] = value.string_value
    if value.binary_value is not None:
        item["binaryValue"] = value.binary_value
    return item | {"stringListValues": [], "binaryListValues": [], "dataType": value.data_type}
