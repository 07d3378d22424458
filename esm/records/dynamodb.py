"""A change of an item as `GetRecords` of DynamoDB Streams writes it, and as a Lambda event carries it.

The wire's JSON is cut up once. Keys and images stay the JSON text that they are there, a tenth of the objects they
would become; each event reads them anew, so that a handler may do with them what it likes. Numbers stay text, and
binary values base64. Event: https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from esm.clock import Millis

__all__ = ["IMAGES", "Change", "DynamoDBEventShape", "DynamoDBRecord", "key_text", "own", "owned", "sorted_text"]

_json = msgspec.json.Encoder().encode
_sorted_json = msgspec.json.Encoder(order="sorted").encode
_read = msgspec.json.Decoder().decode

IMAGES = ("Keys", "NewImage", "OldImage")
"""What of the `dynamodb` object stays JSON text until it is read."""

_ABSENT = msgspec.Raw()
_A_TIME = 1_764_547_200.0
_IMAGE = len(',"NewImage":')


class Change(msgspec.Struct, gc=False, rename="pascal"):
    """The `dynamodb` object of a record. An image that is not there is empty.

    `approximate_creation_date_time`: epoch seconds, as the wire writes them, whole.
    """

    sequence_number: str
    keys: msgspec.Raw
    new_image: msgspec.Raw = _ABSENT
    old_image: msgspec.Raw = _ABSENT
    approximate_creation_date_time: int | float = 0
    size_bytes: int = 0
    stream_view_type: str = ""


class DynamoDBRecord(msgspec.Struct, gc=False):
    """One element of `GetRecords`' `Records`. `user_identity`: who deleted an item that had lived its time.

    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html
    """

    change: Change = msgspec.field(name="dynamodb")
    event_id: str = msgspec.field(name="eventID", default="")
    event_name: str = msgspec.field(name="eventName", default="")
    user_identity: dict[str, Any] | None = msgspec.field(name="userIdentity", default=None)

    @property
    def sequence_number(self) -> str:
        """Its place in the shard."""
        return self.change.sequence_number

    @property
    def key(self) -> str:
        """Partition and sort key as JSON text, the same for one item whatever the order they were written in."""
        return sorted_text(self.change.keys)

    @property
    def arrived_at(self) -> Millis:
        """`ApproximateCreationDateTime` in epoch ms: the second it was in, when it began."""
        return round(self.change.approximate_creation_date_time * 1000)


class DynamoDBEventShape:
    """Builds events: AWS's fields, in AWS's order."""

    def __init__(self, *, event_source_arn: str, region: str) -> None:
        self._item = {
            "eventID": None,
            "eventName": None,
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": region,
            "dynamodb": None,
            "eventSourceARN": event_source_arn,
        }
        empty = Change("", msgspec.Raw(b"0"), approximate_creation_date_time=_A_TIME)
        # As it is without the key's and the size's one digit, and with a comma behind it.
        self._fixed = len(_json(self.item(DynamoDBRecord(empty)))) - len("00") + len(",")

    def size(self, record: DynamoDBRecord) -> int:
        """Bytes of the item in the event's JSON, where keys and images stand as they do on the wire.

        No less than it takes, and exact for a wire without spaces whose time is written with one decimal.
        """
        change = record.change
        size = (
            self._fixed
            + len(record.event_id)
            + len(record.event_name)
            + len(change.keys)
            + len(change.sequence_number)
            + len(str(change.size_bytes))
            + len(change.stream_view_type)
        )
        if change.new_image:
            size += _IMAGE + len(change.new_image)
        if change.old_image:
            size += _IMAGE + len(change.old_image)
        if record.user_identity is not None:
            size += len(',"userIdentity":') + len(_json(_lower(record.user_identity)))
        return size

    def sizes(self, records: Sequence[DynamoDBRecord]) -> list[int]:
        """`size` of each."""
        return [self.size(record) for record in records]

    def most(self, records: Sequence[DynamoDBRecord], json_bytes: int, count: int) -> int:
        """What `sizes` of any `count` of them come to, or some more, by what all took in the service's JSON.

        That is what all come to but for what the others take at least.
        """
        together = json_bytes + len(records) * (self._fixed + 2 * _IMAGE + len(',"userIdentity":'))
        return together - max(0, len(records) - count) * self._fixed

    def item(self, record: DynamoDBRecord) -> dict[str, Any]:
        """The record's item of an event: new objects at every call."""
        change = record.change
        item: dict[str, Any] = self._item.copy()
        item["eventID"] = record.event_id
        item["eventName"] = record.event_name
        item["dynamodb"] = inner = {
            "ApproximateCreationDateTime": change.approximate_creation_date_time,
            "Keys": _read(change.keys),
        }
        if change.new_image:
            inner["NewImage"] = _read(change.new_image)
        if change.old_image:
            inner["OldImage"] = _read(change.old_image)
        inner["SequenceNumber"] = change.sequence_number
        inner["SizeBytes"] = change.size_bytes
        inner["StreamViewType"] = change.stream_view_type
        if record.user_identity is not None:
            item["userIdentity"] = _lower(record.user_identity)
        return item

    def event(self, records: list[DynamoDBRecord]) -> dict[str, Any]:
        """`{"Records": [...]}`, new objects at every call."""
        return {"Records": [self.item(record) for record in records]}


def sorted_text(keys: msgspec.Raw) -> str:
    """An item's key as JSON text, the same whatever the order its attributes were written in."""
    return key_text(_read(keys))


def key_text(keys: Any) -> str:
    """The same of the `Keys` of an event."""
    return _sorted_json(keys).decode()


def own(records: Sequence[DynamoDBRecord]) -> None:
    """Lets go of the answer that they were read from, whose memory is used again.

    Raises `UnicodeDecodeError`: a key or an image is not UTF-8. Written out, as it is done for every record.
    """
    for record in records:
        change = record.change
        keys, new, old = change.keys, change.new_image, change.old_image
        str(keys, "utf-8")
        change.keys = keys.copy()
        if new:
            str(new, "utf-8")
            change.new_image = new.copy()
        if old:
            str(old, "utf-8")
            change.old_image = old.copy()


def owned(raw: msgspec.Raw) -> msgspec.Raw:
    """The text without the buffer that it was read in. Raises `UnicodeDecodeError`: it is not UTF-8."""
    str(raw, "utf-8")
    return raw.copy()


def _lower(identity: dict[str, Any]) -> dict[str, Any]:
    """`PrincipalId` and `Type` of the wire are `principalId` and `type` in an event."""
    return {name[:1].lower() + name[1:]: value for name, value in identity.items()}
