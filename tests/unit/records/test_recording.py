"""The format of recordings: what is read is what was written, and nothing else is taken for a record."""

from __future__ import annotations

import string
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm.records.dynamodb import DynamoDBEventShape, DynamoDBRecord
from esm.records.kinesis import KinesisEventShape, KinesisRecord
from esm.records.recording import (
    FORMAT_VERSION,
    Header,
    LineDecoder,
    RecordedChange,
    RecordedKinesis,
    ShardMark,
    line_of,
    recorded,
)
from esm.records.sqs import MessageAttribute, SqsEventShape, SqsMessage

SOURCES = {
    "kinesis": "arn:aws:kinesis:eu-west-1:000000000000:stream/orders",
    "dynamodb": "arn:aws:dynamodb:eu-west-1:000000000000:table/t/stream/2026-01-01T00:00:00.000",
    "sqs": "arn:aws:sqs:eu-west-1:000000000000:orders",
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
DIGITS = st.text(string.digits, min_size=1, max_size=60)
SECONDS = st.floats(0, 4e9, allow_nan=False)


def header(kind: str) -> Header:
    return Header(esm_recording=FORMAT_VERSION, kind=kind, source=SOURCES[kind], id="r")  # type: ignore[arg-type]  # drawn from SOURCES


def decoder(kind: str) -> LineDecoder:
    return LineDecoder.of(line_of(header(kind)))


@given(st.lists(st.builds(KinesisRecord, data=TEXT, key=TEXT, sequence_number=DIGITS, arrived=SECONDS), max_size=4))
def test_events_of_a_stream_are_the_same(records: list[KinesisRecord]) -> None:
    shape = KinesisEventShape(shard_id="s", event_source_arn=SOURCES["kinesis"], region="r", role_arn="role")
    lines = b"".join(line_of(recorded("s", record)) for record in records)
    read = decoder("kinesis").records(lines)
    assert msgspec.json.encode(shape.event(read)) == msgspec.json.encode(shape.event(records))  # type: ignore[arg-type]  # stands for it
    assert [record.arrived_at for record in read] == [record.arrived_at for record in records]
    assert lines.count(b"\n") == len(records)


IMAGE = st.none() | st.dictionaries(TEXT, st.fixed_dictionaries({"S": TEXT}), max_size=3)


@given(
    keys=st.dictionaries(TEXT, st.fixed_dictionaries({"N": DIGITS}), max_size=2),
    new=IMAGE,
    old=IMAGE,
    when=st.integers(0, 4_000_000_000) | SECONDS,
    identity=st.none() | st.just({"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}),
    indent=st.sampled_from([-1, 2]),
)
def test_events_of_a_table_are_the_same(
    *, keys: Any, new: Any, old: Any, when: float, identity: Any, indent: int
) -> None:
    images = {"NewImage": new, "OldImage": old}
    change: dict[str, Any] = {"SequenceNumber": "17", "Keys": keys, "ApproximateCreationDateTime": when, "SizeBytes": 3}
    change |= {name: image for name, image in images.items() if image is not None}
    wire: dict[str, Any] = {"eventID": "e", "eventName": "MODIFY", "dynamodb": change | {"StreamViewType": "NEW_IMAGE"}}
    wire |= {} if identity is None else {"userIdentity": identity}
    text = msgspec.json.format(msgspec.json.encode(wire), indent=indent)
    record = msgspec.json.decode(text, type=DynamoDBRecord)
    shape = DynamoDBEventShape(event_source_arn=SOURCES["dynamodb"], region="r")
    line = line_of(recorded("s", record))
    assert line.count(b"\n") == 1
    (read,) = decoder("dynamodb").records(line)
    assert isinstance(read, RecordedChange)
    assert read.shard_id == "s"
    assert read.key == record.key
    assert read.arrived_at == record.arrived_at
    assert msgspec.json.encode(shape.event([read])) == msgspec.json.encode(shape.event([record]))  # type: ignore[list-item]  # stands for it
    if indent < 0:
        assert shape.sizes([read]) == shape.sizes([record])  # type: ignore[list-item]  # as above


ATTRIBUTE = st.builds(MessageAttribute, st.sampled_from(["String", "Binary"]), st.none() | TEXT, st.none() | TEXT)


@given(
    st.builds(
        SqsMessage,
        message_id=TEXT,
        receipt_handle=TEXT,
        body=TEXT,
        md5_of_body=TEXT,
        attributes=st.dictionaries(TEXT, TEXT, max_size=2),
        message_attributes=st.dictionaries(TEXT, ATTRIBUTE, max_size=2),
        md5_of_message_attributes=st.none() | TEXT,
    ),
    st.booleans(),
)
def test_events_of_a_queue_are_the_same(message: SqsMessage, windowed: bool) -> None:
    shape = SqsEventShape(event_source_arn=SOURCES["sqs"], region="r", windowed=windowed)
    (read,) = decoder("sqs").records(line_of(recorded("", message)))
    assert isinstance(read, SqsMessage)
    assert shape.event([read]) == shape.event([message])
    assert read.group == message.group


def test_a_line_is_flat_and_in_awss_words() -> None:
    line = line_of(recorded("shardId-000000000000", KinesisRecord("aGk=", "table 4", "49", 1767607201.25)))
    assert line == (
        b'{"shard_id":"shardId-000000000000","sequence_number":"49","partition_key":"table 4",'
        b'"approximate_arrival_timestamp":1767607201.25,"data":"aGk="}\n'
    )
    assert line_of(ShardMark("s", ("p",))) == b'{"shard_id":"s","shard_parents":["p"],"shard_ended":false}\n'


@pytest.mark.parametrize("sent", ["", "soon", "\N{SUPERSCRIPT TWO}", "1" * 5000])
def test_a_message_sent_at_no_time_is_of_the_epoch(sent: str) -> None:
    (read,) = decoder("sqs").records(line_of(recorded("", SqsMessage("m", "h", attributes={"SentTimestamp": sent}))))
    assert read.arrived_at == 0


def test_the_time_of_a_message_is_when_it_was_sent() -> None:
    (read,) = decoder("sqs").records(line_of(recorded("", SqsMessage("m", "h", attributes={"SentTimestamp": "1700"}))))
    assert (read.arrived_at, read.key, read.shard_id) == (1700, "", "")


def test_a_line_that_is_no_record_is_a_mark_or_an_appended_header() -> None:
    reads = decoder("kinesis")
    mark = ShardMark("s", ("a", "b"), shard_ended=True)
    assert reads.line(line_of(mark)) == mark
    assert reads.line(line_of(header("kinesis"))) == header("kinesis")
    record = RecordedKinesis("s", "1", "k", 1.0, "")
    assert reads.line(line_of(record)) == record
    assert recorded("elsewhere", record) is record


SECRET = "4111-1111"
BAD = [
    (b"{", "Input data was truncated"),
    (b'{"shard_id":"s","sequence_number":"1"', "Input data was truncated"),
    (b"[]", "Expected 'object', got 'array'"),
    (b'{"shard_id":"s","sequence_number":' + SECRET.encode() + b"}", "Expected 'str', got 'int'"),
    (b'{"shard_id":"s","sequence_number":17}', "Expected 'str', got 'int' - at '$.sequence_number'"),
    (b'{"shard_id":"s"}', "required field 'sequence_number'"),
    (b'{"shard_id":"\xff"}', ""),
    (b"\x28\xb5\x2f\xfd", ""),
    (line_of(header("sqs")), "another recording begins here"),
]


@pytest.mark.parametrize(("line", "problem"), BAD)
def test_a_bad_line_says_what_it_is_and_not_what_it_holds(line: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        decoder("kinesis").line(line)
    assert problem in str(caught.value)
    assert SECRET not in str(caught.value)
    if line != BAD[-1][0]:
        with pytest.raises(ValueError, match=r"."):
            decoder("kinesis").records(line)


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(line: bytes) -> None:
    for kind in SOURCES:
        try:
            decoder(kind).line(line)
        except ValueError:
            continue


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"", "no recording"),
        (b'{"Records":[]}', "no recording"),
        (b'{"esm_recording":2,"kind":"sqs","source":"arn:aws:sqs:r:1:q","id":"i"}', "of format 2; this release reads"),
        (b'{"esm_recording":1,"kind":"sqs","source":"q","id":"i"}', "not the ARN of a source of kind sqs"),
        (b'{"esm_recording":1,"kind":"sqs","source":"arn:aws:kinesis:r:1:stream/s","id":"i"}', "not the ARN"),
    ],
)
def test_a_first_line_that_is_no_header(line: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        LineDecoder.of(line)


def test_an_appended_header_of_a_later_format_is_refused() -> None:
    later = msgspec.structs.replace(header("kinesis"), esm_recording=2)
    with pytest.raises(ValueError, match="format 2"):
        decoder("kinesis").line(line_of(later))


def test_keys_of_a_later_release_are_passed_over() -> None:
    (read,) = decoder("kinesis").records(
        b'{"shard_id":"s","sequence_number":"1","partition_key":"k","approximate_arrival_timestamp":1,"data":"","new":{}}'
    )
    assert read == RecordedKinesis("s", "1", "k", 1.0, "")
