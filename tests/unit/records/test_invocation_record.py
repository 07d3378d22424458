"""Invocation records as Lambda and esm write them, in every shape, and what is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from esm.records.failure import failure_document, s3_document
from esm.records.invocation_record import UnreadableDocumentError, read_document

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
FIRST, LAST = "49600000000000000000000000000000000000000000000000000018", "49600000000000000000000000000000000029"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:consume:live"
RANGE = {"startSequenceNumber": "1", "endSequenceNumber": "1"}
EVENT = {"Records": [{"kinesis": {"sequenceNumber": "18"}}]}


def document(stream: str = STREAM, **changed: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "request_id": "11111111-2222-4333-8444-555555555555",
        "function_arn": FUNCTION,
        "condition": "RetryAttemptsExhausted",
        "invoke_count": 3,
        "answered": True,
        "function_error": "Unhandled",
        "executed_version": "$LATEST",
        "at": 1_767_607_207_123,
        "shard_id": "shardId-000000000001",
        "stream_arn": stream,
        "first": ("18", 1_767_607_201_250),
        "last": (FIRST, 1_767_607_202_000),
        "batch_size": 12,
    }
    return failure_document(**(given | changed))


@pytest.mark.parametrize(("stream", "kind"), [(STREAM, "kinesis"), (TABLE, "dynamodb")])
@pytest.mark.parametrize("condition", ["RetryAttemptsExhausted", "RecordAgeExceeded"])
def test_what_a_queue_or_a_topic_gets(stream: str, kind: str, condition: str) -> None:
    found = read_document(json.dumps(document(stream, condition=condition)))
    assert (found.source_kind, found.stream_arn, found.shard_id) == (kind, stream, "shardId-000000000001")
    assert (found.first, found.last, found.records) == ("18", FIRST, 12)
    assert (found.condition, found.function_arn) == (condition, FUNCTION)
    assert found.request_id == "11111111-2222-4333-8444-555555555555"
    assert found.event is None
    assert not found.windowed


def test_a_topic_that_a_queue_is_subscribed_to() -> None:
    message = {"Type": "Notification", "TopicArn": "arn:aws:sns:...", "Message": json.dumps(document())}
    assert read_document(json.dumps(message)) == read_document(json.dumps(document()))


def test_what_s3_holds_has_the_event() -> None:
    found = read_document(json.dumps(s3_document(document(), EVENT)).encode())
    assert found.event == EVENT


def test_a_windows_final_call_has_no_range() -> None:
    window: dict[str, Any] = {"window": {}, "state": {}}
    found = read_document(json.dumps(document(first=None, last=None, batch_size=0, time_window_info=window)))
    assert (found.first, found.last, found.records) == (None, None, 0)
    assert found.windowed


def test_a_window_that_is_null_is_none() -> None:
    found = read_document(json.dumps(document() | {"timeWindowInfo": None}))
    assert not found.windowed
    assert (found.first, found.records) == ("18", 12)


def test_a_null_is_as_good_as_nothing_there() -> None:
    other_source: dict[str, Any] = {"KinesisBatchInfo": None} | document(TABLE)
    assert read_document(json.dumps(other_source)).source_kind == "dynamodb"
    final = document(first=None, last=None, batch_size=0, time_window_info={"window": {}})
    final["KinesisBatchInfo"] |= {"startSequenceNumber": None, "endSequenceNumber": None}
    assert read_document(json.dumps(final)).first is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"timeWindowInfo": None, "KinesisBatchInfo": {}}, "KinesisBatchInfo.startSequenceNumber is missing"),
        ({"KinesisBatchInfo": []}, "KinesisBatchInfo is no object"),
        ({"KinesisBatchInfo": RANGE | {"shardId": "s"}}, "KinesisBatchInfo.streamArn is missing"),
        ({"KinesisBatchInfo": RANGE | {"streamArn": STREAM}}, "KinesisBatchInfo.shardId is missing"),
        ({"KinesisBatchInfo": {"endSequenceNumber": "1"}}, "KinesisBatchInfo.startSequenceNumber is missing"),
        ({"KinesisBatchInfo": {"startSequenceNumber": "1"}}, "KinesisBatchInfo.endSequenceNumber is missing"),
        (
            {"KinesisBatchInfo": {"startSequenceNumber": "-1", "endSequenceNumber": "1"}},
            "KinesisBatchInfo.startSequenceNumber is no sequence number",
        ),
        (
            {"KinesisBatchInfo": {"startSequenceNumber": "1" * 5000, "endSequenceNumber": "1"}},
            "KinesisBatchInfo.startSequenceNumber is no sequence number",
        ),
        (
            {"KinesisBatchInfo": {"startSequenceNumber": "2", "endSequenceNumber": "1"}},
            "KinesisBatchInfo: startSequenceNumber is above endSequenceNumber",
        ),
        ({"payload": {"Records": []}}, "payload is no text"),
        ({"payload": "{"}, "payload is no JSON text"),
        ({"payload": "[]"}, "payload is no JSON object"),
        ({"payload": '{"Records": 1}'}, "payload holds no Records"),
        ({"payload": '{"Records": [1]}'}, "payload holds no Records"),
    ],
)
def test_what_lacks_something_is_told_so(change: dict[str, Any], why: str) -> None:
    with pytest.raises(UnreadableDocumentError) as raised:
        read_document(json.dumps(document() | change))
    assert str(raised.value) == why


@pytest.mark.parametrize(("stream", "name"), [(STREAM, "KinesisBatchInfo"), (TABLE, "DDBStreamBatchInfo")])
def test_only_a_window_may_name_no_range(stream: str, name: str) -> None:
    told = document(stream, first=None, last=None, batch_size=3)
    with pytest.raises(UnreadableDocumentError) as raised:
        read_document(json.dumps(told))
    assert str(raised.value) == f"{name}.startSequenceNumber is missing"


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("streamArn", "orders", "is not the ARN of such a stream"),
        ("streamArn", "arn:aws:sqs:eu-west-1:123456789012:orders", "is not the ARN of such a stream"),
        ("shardId", "shard\x1b[2J", "is no shard's name"),
        ("shardId", "x" * 129, "is no shard's name"),
    ],
)
def test_names_that_are_none_are_not_taken_for_any(name: str, value: str, why: str) -> None:
    told = document()
    told["KinesisBatchInfo"][name] = value
    with pytest.raises(UnreadableDocumentError, match=why):
        read_document(json.dumps(told))


@pytest.mark.parametrize("size", [None, 0, True, "1"])
def test_a_range_without_a_size_is_none(size: object) -> None:
    told = document()
    told["KinesisBatchInfo"]["batchSize"] = size
    with pytest.raises(UnreadableDocumentError, match="batchSize is missing"):
        read_document(json.dumps(told))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is no JSON text"),
        (b"\xff", "it is no JSON text"),
        ("[" * 100_000, "it is no JSON text"),
        ("[]", "it is no JSON object"),
        ('{"hello": 1}', "it has neither KinesisBatchInfo nor DDBStreamBatchInfo"),
        ('{"requestPayload": {}}', "it is of an asynchronous invocation, not of a stream"),
        ('{"Records": []}', "it is an event, or a notification of S3, not an invocation record"),
        ('{"Type": "Notification", "Message": "hello"}', "the notification's Message is no JSON text"),
    ],
)
def test_what_else_may_lie_there(text: str | bytes, why: str) -> None:
    with pytest.raises(UnreadableDocumentError) as raised:
        read_document(text)
    assert str(raised.value) == why


def test_a_document_without_a_context_is_read_all_the_same() -> None:
    found = read_document(json.dumps(document() | {"requestContext": None}))
    assert (found.condition, found.request_id, found.function_arn) == ("", "", "")
