"""The file format of recorded traffic: JSON Lines, one record a line, with all that its event needs.

The first line is the header: version of the format, where the records came from, what was redacted. A mark says where a
shard begins and which shards came before it, or that it has ended. Every other line is a record, flat, under AWS's own
names in snake case, so that jq and DuckDB read it as it is:

    {"esm_recording":1,"kind":"kinesis","source":"arn:aws:kinesis:...:stream/orders","id":"...","recorded_at":"..."}
    {"shard_id":"shardId-000000000000","shard_parents":[],"shard_ended":false}
    {"shard_id":"shardId-000000000000","sequence_number":"4960...","partition_key":"table 4",
     "approximate_arrival_timestamp":1767607201.25,"data":"eyJraW5kIjoib3JkZXIifQ=="}

Keys that a reader does not know it passes over; a version above its own it refuses. Records of one shard stand in the
order of their sequence numbers. What is decoded here is held by the machine as it is, and stands in events.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from esm.arn import Arn, SourceKind
from esm.clock import Millis
from esm.records.dynamodb import DynamoDBRecord, owned, sorted_text
from esm.records.kinesis import KinesisRecord
from esm.records.sqs import MessageAttribute, SqsMessage

__all__ = [
    "FORMAT_VERSION",
    "Header",
    "LineDecoder",
    "RecordedChange",
    "RecordedKinesis",
    "RecordedLine",
    "RecordedMessage",
    "ShardMark",
    "line_of",
    "recorded",
]

FORMAT_VERSION = 1

_encode = msgspec.json.Encoder().encode


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. `esm_recording`: the format's version. `source`: what events name, an ARN.

    `id`: tells this recording from every other; all files of one have the same. `recorded_at`: ISO 8601, UTC.
    `redacted`: the JSON paths of what was taken out; empty: nothing was. `part`: 1 for the first file.
    `synthesised`: what of the records was made up, in words; empty when all of it was recorded.
    """

    esm_recording: int
    kind: SourceKind
    source: str
    id: str
    recorded_at: str = ""
    redacted: tuple[str, ...] = ()
    part: int = 1
    synthesised: str = ""


class ShardMark(msgspec.Struct, frozen=True):
    """Where a shard begins in the file, or that no record of it follows any more.

    `shard_parents`: the shards that were split or merged into it; none, one or two.
    """

    shard_id: str
    shard_parents: tuple[str, ...]
    shard_ended: bool = False


class RecordedKinesis(msgspec.Struct, gc=False):
    """A record of a stream. `data`: base64. `arrived`: epoch seconds with milliseconds."""

    shard_id: str
    sequence_number: str
    key: str = msgspec.field(name="partition_key")
    arrived: float = msgspec.field(name="approximate_arrival_timestamp")
    data: str

    @property
    def arrived_at(self) -> Millis:
        """`approximate_arrival_timestamp` in epoch ms."""
        return round(self.arrived * 1000)


class RecordedChange(msgspec.Struct, gc=False, omit_defaults=True):
    """A change of an item. Keys and images are JSON with DynamoDB's type tags; one that is not there is left out.

    It stands for `DynamoDBRecord` in an event, and is flat: what that has as its `change` it has itself.
    """

    shard_id: str
    sequence_number: str
    keys: msgspec.Raw
    approximate_creation_date_time: int | float = 0
    event_id: str = ""
    event_name: str = ""
    new_image: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    old_image: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    size_bytes: int = 0
    stream_view_type: str = ""
    user_identity: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        """Lets go of the block that it was read from. Refuses text that is not UTF-8."""
        self.keys = owned(self.keys)
        if self.new_image:
            self.new_image = owned(self.new_image)
        if self.old_image:
            self.old_image = owned(self.old_image)

    @property
    def change(self) -> RecordedChange:
        """What `DynamoDBRecord` has as an object of its own."""
        return self

    @property
    def key(self) -> str:
        """As `DynamoDBRecord.key`."""
        return sorted_text(self.keys)

    @property
    def arrived_at(self) -> Millis:
        """`approximate_creation_date_time` in epoch ms."""
        return round(self.approximate_creation_date_time * 1000)


class RecordedMessage(SqsMessage, omit_defaults=True):
    """A message of a queue, as it was received. `attributes`: the system's, under AWS's names.

    `message_attributes`: the sender's own, as `ReceiveMessage` writes them.
    """

    message_id: str = msgspec.field(name="message_id")
    receipt_handle: str = msgspec.field(name="receipt_handle")
    body: str = msgspec.field(name="body", default="")
    md5_of_body: str = msgspec.field(name="md5_of_body", default="")
    attributes: dict[str, str] = msgspec.field(name="attributes", default_factory=dict)
    message_attributes: dict[str, MessageAttribute] = msgspec.field(name="message_attributes", default_factory=dict)
    md5_of_message_attributes: str | None = msgspec.field(name="md5_of_message_attributes", default=None)

    @property
    def shard_id(self) -> str:
        """A queue has no shards."""
        return ""

    @property
    def key(self) -> str:
        """What order is kept by: the message group; "" without one."""
        return self.group

    @property
    def arrived_at(self) -> Millis:
        """`SentTimestamp`, epoch ms; 0 when it is not there."""
        return self.sent_at or 0


RecordedLine = RecordedKinesis | RecordedChange | RecordedMessage

_RECORDS: dict[SourceKind, type[RecordedLine]] = {
    "kinesis": RecordedKinesis,
    "dynamodb": RecordedChange,
    "sqs": RecordedMessage,
}


def line_of(value: RecordedLine | ShardMark | Header) -> bytes:
    """One line of a file, its end included."""
    return _encode(value) + b"\n"


def recorded(shard_id: str, record: KinesisRecord | DynamoDBRecord | SqsMessage | RecordedLine) -> RecordedLine:
    """What is written of a record just read, or of one that was recorded already. `shard_id`: "" for a message."""
    if isinstance(record, RecordedLine):
        return record
    if isinstance(record, KinesisRecord):
        return RecordedKinesis(shard_id, record.sequence_number, record.key, record.arrived, record.data)
    if isinstance(record, SqsMessage):
        return RecordedMessage(*msgspec.structs.astuple(record))
    change = record.change
    return RecordedChange(
        shard_id=shard_id,
        sequence_number=change.sequence_number,
        keys=_in_one_line(change.keys),
        approximate_creation_date_time=change.approximate_creation_date_time,
        event_id=record.event_id,
        event_name=record.event_name,
        new_image=_in_one_line(change.new_image) if change.new_image else msgspec.UNSET,
        old_image=_in_one_line(change.old_image) if change.old_image else msgspec.UNSET,
        size_bytes=change.size_bytes,
        stream_view_type=change.stream_view_type,
        user_identity=record.user_identity,
    )


class LineDecoder:
    """Reads the lines of one recording, whose header says of what kind they are."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self._decoder = msgspec.json.Decoder(_RECORDS[header.kind])

    @classmethod
    def of(cls, line: bytes) -> LineDecoder:
        """For the file that begins with `line`. Raises `ValueError`: what keeps it from being a header."""
        return cls(_header(line))

    def records(self, lines: bytes) -> list[RecordedLine]:
        """Many records at once. Raises `ValueError` when one line is none; `line` tells which and what it is."""
        return self._decoder.decode_lines(lines)

    def line(self, line: bytes) -> RecordedLine | ShardMark | Header:
        """A record, a mark, or the header of a file that was appended to this one.

        Raises `ValueError`, without any of the line's content: it is none of them.
        """
        try:
            return self._decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            problem = _words(error)
        other = _other(line)
        if isinstance(other, Header):
            return self._appended(other)
        if other is None:
            raise ValueError(problem)
        return other

    def _appended(self, other: Header) -> Header:
        _check(other)
        if (other.kind, other.source) != (self.header.kind, self.header.source):
            msg = f"another recording begins here, of {other.source} and not of {self.header.source}"
            raise ValueError(msg)
        return other


_HEADER = msgspec.json.Decoder(Header)
_MARK = msgspec.json.Decoder(ShardMark)
_OTHERS: tuple[Callable[[bytes], ShardMark | Header], ...] = (_MARK.decode, _HEADER.decode)


def _other(line: bytes) -> ShardMark | Header | None:
    for decode in _OTHERS:
        try:
            return decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            continue
    return None


def _header(line: bytes) -> Header:
    try:
        header = _HEADER.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        msg = 'no recording: the first line of one begins with {"esm_recording":1'
        raise ValueError(msg) from None
    return _check(header)


def _check(header: Header) -> Header:
    if header.esm_recording != FORMAT_VERSION:
        msg = f"a recording of format {header.esm_recording}; this release reads format {FORMAT_VERSION}"
        raise ValueError(msg)
    try:
        kind = Arn.parse(header.source).source_kind
    except ValueError:
        kind = None
    if kind != header.kind:
        msg = f"the header's source is not the ARN of a source of kind {header.kind}"
        raise ValueError(msg)
    return header


def _words(error: Exception) -> str:
    """What is wrong with the line; where in it, and nothing of what it holds."""
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return str(error).replace("`", "'")


def _in_one_line(raw: msgspec.Raw) -> msgspec.Raw:
    """JSON text as it is, unless it was written over several lines."""
    text = bytes(raw)
    return raw if b"\n" not in text else msgspec.Raw(msgspec.json.format(text, indent=-1))
