"""A Kinesis record as `GetRecords` writes it, and as a Lambda event carries it.

The wire's JSON is decoded once, straight into the object the machine holds; `Data` stays the base64 text that both
the wire and the
event want. Event: https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from esm.clock import Millis

__all__ = ["KinesisEventShape", "KinesisRecord"]

_json = msgspec.json.Encoder().encode

_WIRE_NAMES = len('{"SequenceNumber":"","Data":"","PartitionKey":}')
"""Of every record on the wire, around what its event carries, too."""


class KinesisRecord(msgspec.Struct, gc=False):
    """One element of `GetRecords`' `Records`. `data` is base64 text; `arrived` is epoch seconds with milliseconds."""

    data: str = msgspec.field(name="Data")
    key: str = msgspec.field(name="PartitionKey")
    sequence_number: str = msgspec.field(name="SequenceNumber")
    arrived: float = msgspec.field(name="ApproximateArrivalTimestamp", default=0.0)

    @property
    def arrived_at(self) -> Millis:
        """`ApproximateArrivalTimestamp` in epoch ms."""
        return round(self.arrived * 1000)


class KinesisEventShape:
    """Builds the events of one shard: AWS's fields, in AWS's order. `made_of`: its arguments, in order.

    `role_arn` is what `invokeIdentityArn` says: the execution role. Outside Lambda there is none; the caller gives
    what fits.
    """

    def __init__(self, *, shard_id: str, event_source_arn: str, region: str, role_arn: str) -> None:
        self.made_of = (shard_id, event_source_arn, region, role_arn)
        self._prefix = shard_id + ":"
        self._kinesis: dict[str, Any] = {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": None,
            "sequenceNumber": None,
            "data": None,
            "approximateArrivalTimestamp": None,
        }
        self._item: dict[str, Any] = {
            "kinesis": None,
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": None,
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": role_arn,
            "awsRegion": region,
            "eventSourceARN": event_source_arn,
        }
        empty = KinesisRecord(data="", key="", sequence_number="", arrived=1700000000.123)
        self._fixed = len(_json(self.event([empty])["Records"][0])) - len(_json("")) + len(",")

    def size(self, record: KinesisRecord) -> int:
        """Bytes of the item in the event's JSON: base64 as it is, the sequence number twice, the key as JSON writes it.

        Exact but for the digits of the arrival time, which are taken to be as many as milliseconds have.
        """
        return self._fixed + len(record.data) + len(_json(record.key)) + 2 * len(record.sequence_number)

    def sizes(self, records: Sequence[KinesisRecord]) -> list[int]:
        """`size` of each; cheaper where all keys are plain text and all numbers of one length, as they mostly are.

        Numbers rise, so if the first is as long as the last, all are.
        """
        if not records:
            return []
        digits = len(records[0].sequence_number)
        text, quotes = "".join([record.key for record in records]), len('""')
        if digits != len(records[-1].sequence_number) or len(_json(text)) > len(text) + quotes:
            return [self.size(record) for record in records]
        fixed = self._fixed + quotes + 2 * digits
        return [fixed + len(record.data) + len(record.key) for record in records]

    def most(self, records: Sequence[KinesisRecord], json_bytes: int, count: int) -> int:
        """What `sizes` of any `count` of them come to, or some more, by what all took in the service's JSON.

        That is what all come to but for what the others take at least.
        """
        digits = len(records[0].sequence_number), len(records[-1].sequence_number)  # of the others, as they rise, too
        together = json_bytes + len(records) * (self._fixed + max(digits) - _WIRE_NAMES)
        least = self._fixed + len('""') + 2 * min(digits)
        return together - max(0, len(records) - count) * least

    def event(self, records: list[KinesisRecord]) -> dict[str, Any]:
        """`{"Records": [...]}`, new objects at every call."""
        template, inner, prefix = self._item, self._kinesis, self._prefix  # copies cost less than literals (measured)
        items = []
        for record in records:
            number = record.sequence_number
            kinesis = inner.copy()
            kinesis["partitionKey"] = record.key
            kinesis["sequenceNumber"] = number
            kinesis["data"] = record.data
            kinesis["approximateArrivalTimestamp"] = record.arrived
            item = template.copy()
            item["kinesis"] = kinesis
            item["eventID"] = prefix + number
            items.append(item)
        return {"Records": items}
