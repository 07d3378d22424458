"""Records out of files that others wrote."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm.records.dynamodb import DynamoDBEventShape
from esm.records.failure import failure_document, s3_document
from esm.records.foreign import change_of_export, detected, failed_records, fired_records
from esm.records.kinesis import KinesisEventShape, KinesisRecord

STREAM = "arn:aws:kinesis:eu-west-1:000000000000:stream/orders"
TABLE = "arn:aws:dynamodb:eu-west-1:000000000000:table/t/stream/2026-01-01T00:00:00.000"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b'{"esm_recording":1}', "recording"),
        (b'{"Item":{"id":{"S":"1"}}}', "dynamodb-export"),
        (b'{"Metadata":{},"Keys":{"id":{"S":"1"}}}', "dynamodb-export"),
        (b'{"requestContext":{},"KinesisBatchInfo":{}}', "failures"),
        (b'{"requestContext":{},"DDBStreamBatchInfo":{}}', "failures"),
        (b'{"requestContext":{}}', None),
        (b'{"Keys":{}}', None),
        (b"[]", None),
        (b"{", None),
        (b"\xff", None),
        (b'"\xff"', None),
    ],
)
def test_what_a_file_is(line: bytes, kind: str | None) -> None:
    assert detected(line) == kind


def event_of(change: Any) -> dict[str, Any]:
    shape = DynamoDBEventShape(event_source_arn=TABLE, region="eu-west-1")
    (item,) = shape.event([change])["Records"]
    return dict(item)


def test_an_item_of_a_full_export_is_an_insert() -> None:
    line = b'{"Item":{"id":{"S":"1"},"price":{"N":"1.50"}}}'
    change = change_of_export(line, 7, ["id"], 1767607200)
    item = event_of(change)
    assert (item["eventName"], item["dynamodb"]["Keys"]) == ("INSERT", {"id": {"S": "1"}})
    assert item["dynamodb"]["NewImage"] == {"id": {"S": "1"}, "price": {"N": "1.50"}}
    assert "OldImage" not in item["dynamodb"]
    assert item["dynamodb"]["ApproximateCreationDateTime"] == 1767607200
    assert int(change.sequence_number) == 7
    assert json.loads(change_of_export(line, 7, [], 0).key) == {}


def test_an_item_without_the_tables_key_is_none_of_the_tables() -> None:
    """A name that is typed wrong would give every item the same empty key, and no order per item."""
    item = {"id": {"S": "1"}} | {f"a{n}": {"S": "secret"} for n in range(9)}
    with pytest.raises(ValueError, match=r"has no 'none'.* it has a0, a1, a2, a3, a4, others$") as raised:
        change_of_export(json.dumps({"Item": item}).encode(), 7, ["id", "none"], 0)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("images", "name"),
    [({"NewImage": {}}, "INSERT"), ({"NewImage": {}, "OldImage": {}}, "MODIFY"), ({"OldImage": {}}, "REMOVE")],
)
@pytest.mark.parametrize(
    ("metadata", "at"),
    [
        ({"WriteTimestampMicros": {"N": "1767607200123456"}}, 1767607200),
        ({"WriteTimestampMicros": {"N": "soon"}}, 5),
        ({"WriteTimestampMicros": 7}, 5),
        ({}, 5),
    ],
)
def test_a_line_of_an_incremental_export(images: dict[str, Any], name: str, metadata: dict[str, Any], at: int) -> None:
    line = json.dumps({"Metadata": metadata, "Keys": {"id": {"S": "1"}}, **images}).encode()
    item = event_of(change_of_export(line, 1, [], 5))
    assert (item["eventName"], item["dynamodb"]["ApproximateCreationDateTime"]) == (name, at)
    assert images.keys() == item["dynamodb"].keys() & {"NewImage", "OldImage"}


@pytest.mark.parametrize("line", [b"{}", b"[]", b'{"Item":7}', b"{"])
def test_no_line_of_an_export(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        change_of_export(line, 1, [], 5)


@pytest.mark.parametrize(
    ("line", "data"),
    [
        (b'{"a": 1}', [b'{"a": 1}']),
        (b'{"a":1}{"b":2} [3]', [b'{"a":1}', b'{"b":2}', b"[3]"]),
        (b"raw", [b"raw"]),
        (b"1,2,3", [b"1,2,3"]),
        (b'{"a":1} and more', [b'{"a":1} and more']),
        (b"\xff\xfe", [b"\xff\xfe"]),
        (b" \t", []),
        (b"[" * 100_000, [b"[" * 100_000]),
    ],
)
def test_what_firehose_wrote(line: bytes, data: list[bytes]) -> None:
    records = list(fired_records(line, 5, 1e9))
    assert [b64decode(record.data) for record in records] == data
    assert [int(record.sequence_number) for record in records] == list(range(5, 5 + len(data)))


@given(st.lists(st.dictionaries(st.text(max_size=3), st.integers(), max_size=2), min_size=1, max_size=4))
def test_joined_objects_come_apart_again(values: list[dict[str, int]]) -> None:
    line = "".join(json.dumps(value) for value in values).encode()
    assert [json.loads(b64decode(record.data)) for record in fired_records(line, 0, 0)] == values


def document(event: dict[str, Any], arn: str) -> bytes:
    made = failure_document(
        request_id="r",
        function_arn="f",
        condition="RetryAttemptsExhausted",
        invoke_count=1,
        answered=True,
        function_error="Unhandled",
        executed_version="1",
        at=0,
        shard_id="s",
        stream_arn=arn,
        first=("1", 0),
        last=("2", 0),
        batch_size=2,
    )
    return msgspec.json.encode(s3_document(made, event))


def test_the_event_of_a_failure_record() -> None:
    shape = KinesisEventShape(shard_id="shardId-1", event_source_arn=STREAM, region="eu-west-1", role_arn="role")
    event = shape.event([KinesisRecord("aGk=", "k", "17", 1767607201.25)])
    arn, records = failed_records(document(event, STREAM))
    assert (arn, [record.shard_id for record in records]) == (STREAM, ["shardId-1"])
    assert shape.event(records) == event  # type: ignore[arg-type]  # stands for it


@pytest.mark.parametrize("identity", [None, {"type": "Service", "principalId": "dynamodb.amazonaws.com"}])
def test_the_event_of_a_tables_failure_record(identity: dict[str, str] | None) -> None:
    shape = DynamoDBEventShape(event_source_arn=TABLE, region="eu-west-1")
    change = change_of_export(b'{"Keys":{"id":{"S":"1"}},"OldImage":{"id":{"S":"1"}},"Metadata":{}}', 3, [], 5)
    event = shape.event([msgspec.structs.replace(change, user_identity=identity)])  # type: ignore[list-item]  # stands for it
    arn, records = failed_records(document(event, TABLE))
    assert (arn, [record.shard_id for record in records]) == (TABLE, ["s"])
    assert shape.event(records) == event  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize("line", [b"{}", b'{"payload":"{}"}', b'{"payload":"x","KinesisBatchInfo":{"streamArn":"s"}}'])
def test_no_failure_record_with_an_event(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        failed_records(line)
