from __future__ import annotations

from typing import Any

import pytest

from esm.records.failure import failure_document, json_text, s3_document, s3_object_key

AT = 1_767_607_207_123  # 2026-01-05T10:00:07.123Z
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"


def document(**changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "request_id": "r",
        "function_arn": "f",
        "condition": "RetryAttemptsExhausted",
        "invoke_count": 3,
        "answered": True,
        "function_error": "Unhandled",
        "executed_version": "$LATEST",
        "at": AT,
        "shard_id": "shardId-000000000001",
        "stream_arn": STREAM,
        "first": ("18", AT - 5000),
        "last": ("29", AT - 4001),
        "batch_size": 12,
    }
    return failure_document(**{**settings, **changes})


@pytest.mark.parametrize(
    ("condition", "answered", "there"),
    [
        ("RetryAttemptsExhausted", True, True),
        ("RetryAttemptsExhausted", False, False),
        ("RecordAgeExceeded", True, False),
        ("RecordAgeExceeded", False, False),
    ],
)
def test_the_response_is_told_of_when_there_was_one(condition: str, answered: bool, there: bool) -> None:
    assert ("responseContext" in document(condition=condition, answered=answered)) is there


def test_a_failure_in_what_was_returned_has_a_null_function_error() -> None:
    assert document(function_error=None)["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": None,
    }


@pytest.mark.parametrize(("count", "told"), [(0, 1), (1, 1), (7, 7)])
def test_the_invoke_count_is_at_least_one(count: int, told: int) -> None:
    assert document(invoke_count=count)["requestContext"]["approximateInvokeCount"] == told


@pytest.mark.parametrize(
    ("ms", "stream", "table"),
    [
        (AT, "2026-01-05T10:00:07.123Z", "2026-01-05T10:00:07Z"),
        (AT - 123, "2026-01-05T10:00:07.000Z", "2026-01-05T10:00:07Z"),
        (AT - 124, "2026-01-05T10:00:06.999Z", "2026-01-05T10:00:06Z"),
        (0, "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00Z"),
        (-1, "1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00Z"),
        (10**18, "9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59Z"),
    ],
)
def test_arrivals_are_told_to_the_millisecond_or_for_tables_to_the_second(ms: int, stream: str, table: str) -> None:
    kinesis = document(first=("1", ms))["KinesisBatchInfo"]
    assert kinesis["approximateArrivalOfFirstRecord"] == stream
    dynamodb = document(first=("1", ms), stream_arn=TABLE)["DDBStreamBatchInfo"]
    assert dynamodb["approximateArrivalOfFirstRecord"] == table
    assert document(at=ms, stream_arn=TABLE)["timestamp"] == stream, "the record's own time always has milliseconds"


def test_an_empty_final_call_of_a_window_names_shard_and_stream_only() -> None:
    window = {"window": {"start": "2026-01-05T10:00:50Z", "end": "2026-01-05T10:01:00Z"}}
    it = document(first=None, last=None, batch_size=0, time_window_info=window)
    assert it["KinesisBatchInfo"] == {"shardId": "shardId-000000000001", "streamArn": STREAM}
    assert list(it)[-1] == "timeWindowInfo"
    assert it["timeWindowInfo"] == window


def test_the_document_for_s3_has_the_event_as_text() -> None:
    event = {"Records": [{"eventID": 'a"\u20ac'}]}
    plain = document(time_window_info={"window": {}})
    stored = s3_document(plain, event)
    assert list(stored) == [
        "requestContext",
        "responseContext",
        "version",
        "payload",
        "timestamp",
        "KinesisBatchInfo",
        "timeWindowInfo",
    ]
    assert stored["payload"] == '{"Records":[{"eventID":"a\\"\u20ac"}]}'
    assert "payload" not in plain
    assert json_text({"a": "\u20ac"}) == '{"a":"\u20ac"}'.encode()


def test_an_objects_name_is_made_of_mapping_shard_and_time() -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html."""
    assert s3_object_key("11111111-2222-4333-8444-555555555555", "shardId-000000000001", AT, "u-1") == (
        "aws/lambda/11111111-2222-4333-8444-555555555555/shardId-000000000001/2026/01/05/2026-01-05T10.00.07-u-1"
    )


@pytest.mark.parametrize("bad", ["", "..", "a/b", "../x", "a..b", "a b", "\u20ac", "a\n", "a" * 129, "\x00"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_no_name_leads_out_of_its_folder(bad: str, place: int) -> None:
    names = ["m", "s", "u"]
    names[place] = bad
    with pytest.raises(ValueError, match="cannot be part of an object's name"):
        s3_object_key(names[0], names[1], AT, names[2])
