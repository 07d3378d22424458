"""Records out of files that others wrote: DynamoDB exports, Firehose objects, Lambda's failure records.

What such a file does not say is made up, and `SYNTHESISED` says what that is.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from json import JSONDecodeError, JSONDecoder
from types import MappingProxyType
from typing import Any, Literal

import msgspec

from esm.arn import Arn
from esm.records.recording import RecordedChange, RecordedKinesis

__all__ = [
    "SHARD",
    "SOURCES",
    "SYNTHESISED",
    "Format",
    "change_of_export",
    "detected",
    "failed_records",
    "fired_records",
]

Format = Literal["recording", "dynamodb-export", "firehose", "failures"]

SHARD = "shardId-000000000000"
"""Of records whose file names none."""

SOURCES = MappingProxyType(
    {
        "dynamodb-export": "arn:aws:dynamodb:us-east-1:000000000000:table/export/stream/1970-01-01T00:00:00.000",
        "firehose": "arn:aws:kinesis:us-east-1:000000000000:stream/firehose",
    }
)
"""What events name, when nobody says where the records came from."""

SYNTHESISED = MappingProxyType(
    {
        "dynamodb-export": "sequence numbers, event ids, sizes, one shard; of a full export the keys, INSERT and times",
        "firehose": "sequence numbers, partition keys, times, one shard",
        "failures": "",
    }
)
"""What is made up."""

_MICROS = 1_000_000
_NAMED = 5
"""So many of an item's attributes are named when one is missed (chosen)."""

_write = msgspec.json.Encoder().encode
_scan = JSONDecoder().raw_decode


class _Exported(msgspec.Struct):
    """A line of either export.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
    """

    item: dict[str, Any] | None = msgspec.field(name="Item", default=None)
    metadata: dict[str, Any] = msgspec.field(name="Metadata", default_factory=dict)
    keys: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="Keys", default=msgspec.UNSET)
    new_image: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="NewImage", default=msgspec.UNSET)
    old_image: msgspec.Raw | msgspec.UnsetType = msgspec.field(name="OldImage", default=msgspec.UNSET)


_EXPORTED = msgspec.json.Decoder(_Exported)


class _Failure(msgspec.Struct):
    """A failure record with its event.

    https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
    """

    payload: str
    kinesis: dict[str, Any] | None = msgspec.field(name="KinesisBatchInfo", default=None)
    table: dict[str, Any] | None = msgspec.field(name="DDBStreamBatchInfo", default=None)


_FAILURE = msgspec.json.Decoder(_Failure)


def detected(line: bytes) -> Format | None:
    """What the file is that begins with this line; `None`: it may be anything, also raw records of Firehose's."""
    try:
        first = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if not isinstance(first, dict):
        return None
    if "esm_recording" in first:
        return "recording"
    if "requestContext" in first and ("KinesisBatchInfo" in first or "DDBStreamBatchInfo" in first):
        return "failures"
    is_export = "Item" in first or ("Keys" in first and "Metadata" in first)
    return "dynamodb-export" if is_export else None


def change_of_export(line: bytes, number: int, key_names: Sequence[str], at: float) -> RecordedChange:
    """The change that a line of an export stands for: of a full export, an INSERT at `at`, epoch seconds.

    `number`: makes its sequence number. `key_names`: the table's key, which a full export does not tell. Raises
    `ValueError`.
    """
    told = _EXPORTED.decode(line)
    images: dict[str, Any] = {"new_image": told.new_image, "old_image": told.old_image}
    keys = told.keys
    if told.item is not None:
        keys = msgspec.Raw(_write(_key_of(told.item, key_names)))
        images["new_image"] = msgspec.Raw(_write(told.item))
    elif keys:
        at = _written(told.metadata, at)
    if not keys:
        msg = "neither an Item nor Keys: no line of a DynamoDB export"
        raise ValueError(msg)
    name = "INSERT" if not images["old_image"] else "MODIFY" if images["new_image"] else "REMOVE"
    return RecordedChange(
        shard_id=SHARD,
        sequence_number=f"{number:021}",
        keys=keys,
        approximate_creation_date_time=at,
        event_id=f"{number:032x}",
        event_name=name,
        size_bytes=len(line),
        stream_view_type="NEW_AND_OLD_IMAGES",
        **images,
    )


def fired_records(line: bytes, number: int, at: float) -> Iterator[RecordedKinesis]:
    """The records in a line: each JSON object or list of it, or the whole of it when it is not made of such.

    `number`: makes the first one's sequence number and key. `at`: epoch seconds. Empty for an empty line.
    """
    for count, data in enumerate(_values(line)):
        name = f"{number + count:056}"
        yield RecordedKinesis(SHARD, name, str(number + count), at, b64encode(data).decode())


def failed_records(line: bytes) -> tuple[str, list[RecordedKinesis | RecordedChange]]:
    """The ARN of the stream, and the records of the event in a failure record. Raises `ValueError`: it has none."""
    told = _FAILURE.decode(line)
    info = told.kinesis or told.table or {}
    arn, shard_id = str(info.get("streamArn", "")), str(info.get("shardId", ""))
    items = msgspec.json.decode(told.payload).get("Records", [])
    if Arn.parse(arn).source_kind == "kinesis":
        return arn, [_kinesis(shard_id, item) for item in items]
    return arn, [_change(shard_id, item) for item in items]


def _key_of(item: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    missing = next((name for name in names if name not in item), None)
    if missing is not None:
        has = [*sorted(item)[:_NAMED], *(["others"] if len(item) > _NAMED else [])]
        msg = f"the item has no {missing!r}, which is said to be of the table's key; it has {', '.join(has)}"
        raise ValueError(msg)
    return {name: item[name] for name in names}


def _written(metadata: dict[str, Any], at: float) -> float:
    """`WriteTimestampMicros` of an incremental export."""
    micros = metadata.get("WriteTimestampMicros")
    text = micros.get("N", "") if isinstance(micros, dict) else ""
    return int(text) // _MICROS if isinstance(text, str) and text.isascii() and text.isdecimal() else at


def _values(line: bytes) -> list[bytes]:
    line = line.strip()
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return [line] if line else []
    found: list[bytes] = []
    at = 0
    while at < len(text):
        try:
            value, end = _scan(text, at)
        except (JSONDecodeError, RecursionError):
            return [line]
        if not isinstance(value, dict | list):
            return [line]
        found.append(text[at:end].encode())
        at = end
        while at < len(text) and text[at].isspace():
            at += 1
    return found


def _kinesis(shard_id: str, item: dict[str, Any]) -> RecordedKinesis:
    record = item["kinesis"]
    shard_id = str(item.get("eventID", "")).rpartition(":")[0] or shard_id
    number, key, at = record["sequenceNumber"], record["partitionKey"], record["approximateArrivalTimestamp"]
    return RecordedKinesis(shard_id, str(number), str(key), float(at), str(record["data"]))


def _change(shard_id: str, item: dict[str, Any]) -> RecordedChange:
    change = item["dynamodb"]
    images = {"new_image": change.get("NewImage"), "old_image": change.get("OldImage")}
    identity = item.get("userIdentity")
    return RecordedChange(
        shard_id=shard_id,
        sequence_number=str(change["SequenceNumber"]),
        keys=msgspec.Raw(_write(change["Keys"])),
        approximate_creation_date_time=change.get("ApproximateCreationDateTime", 0),
        event_id=str(item.get("eventID", "")),
        event_name=str(item.get("eventName", "")),
        size_bytes=int(change.get("SizeBytes", 0)),
        stream_view_type=str(change.get("StreamViewType", "")),
        user_identity=identity if isinstance(identity, dict) else None,
        **{field: msgspec.Raw(_write(image)) for field, image in images.items() if image is not None},
    )
