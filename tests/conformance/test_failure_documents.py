"""Failure records are AWS's invocation records, letter by letter.

https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
"""

from __future__ import annotations

import json

from esm.records.failure import failure_document, json_text, s3_document, s3_object_key

REQUEST = "11111111-2222-4333-8444-555555555555"
FUNCTION = "arn:aws:lambda:eu-west-1:123456789012:function:consume"
SECOND = 1_767_607_200_000  # 2026-01-05T10:00:00Z

KINESIS = """{"requestContext":{"requestId":"11111111-2222-4333-8444-555555555555",
"functionArn":"arn:aws:lambda:eu-west-1:123456789012:function:consume",
"condition":"RetryAttemptsExhausted","approximateInvokeCount":3},
"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},
"version":"1.0","timestamp":"2026-01-05T10:00:07.123Z",
"KinesisBatchInfo":{"shardId":"shardId-000000000001",
"startSequenceNumber":"49600000000000000000000000000000000000000000000000000018",
"endSequenceNumber":"49600000000000000000000000000000000000000000000000000029",
"approximateArrivalOfFirstRecord":"2026-01-05T10:00:01.250Z",
"approximateArrivalOfLastRecord":"2026-01-05T10:00:02.000Z",
"batchSize":12,"streamArn":"arn:aws:kinesis:eu-west-1:123456789012:stream/orders"}}""".replace("\n", "")

DYNAMODB = """{"requestContext":{"requestId":"11111111-2222-4333-8444-555555555555",
"functionArn":"arn:aws:lambda:eu-west-1:123456789012:function:consume:live",
"condition":"RecordAgeExceeded","approximateInvokeCount":1},
"version":"1.0","timestamp":"2026-01-05T10:02:07.123Z",
"DDBStreamBatchInfo":{"shardId":"shardId-00000001767606000000-abcdef01",
"startSequenceNumber":"800000000003126276362","endSequenceNumber":"800000000003126276362",
"approximateArrivalOfFirstRecord":"2026-01-05T10:00:01Z","approximateArrivalOfLastRecord":"2026-01-05T10:00:01Z",
"batchSize":1,
"streamArn":"arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"}}""".replace("\n", "")


def kinesis() -> dict[str, object]:
    return failure_document(
        request_id=REQUEST,
        function_arn=FUNCTION,
        condition="RetryAttemptsExhausted",
        invoke_count=3,
        answered=True,
        function_error="Unhandled",
        executed_version="$LATEST",
        at=SECOND + 7_123,
        shard_id="shardId-000000000001",
        stream_arn="arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
        first=("49600000000000000000000000000000000000000000000000000018", SECOND + 1_250),
        last=("49600000000000000000000000000000000000000000000000000029", SECOND + 2_000),
        batch_size=12,
    )


def test_a_kinesis_range_after_its_retries() -> None:
    assert json_text(kinesis()).decode() == KINESIS


def test_a_dynamodb_range_that_grew_too_old() -> None:
    number = "800000000003126276362"
    document = failure_document(
        request_id=REQUEST,
        function_arn=f"{FUNCTION}:live",
        condition="RecordAgeExceeded",
        invoke_count=0,
        answered=False,
        function_error=None,
        executed_version="$LATEST",
        at=SECOND + 127_123,
        shard_id="shardId-00000001767606000000-abcdef01",
        stream_arn="arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000",
        first=(number, SECOND + 1_000),
        last=(number, SECOND + 1_000),
        batch_size=1,
    )
    assert json_text(document).decode() == DYNAMODB


def test_what_s3_stores_has_the_event_as_text_before_the_timestamp() -> None:
    """The order of the keys is as observed."""
    event = {"Records": [{"eventID": "shardId-000000000001:49600"}]}
    text = json_text(s3_document(kinesis(), event)).decode()
    payload = '"payload":"{\\"Records\\":[{\\"eventID\\":\\"shardId-000000000001:49600\\"}]}",'
    assert text == KINESIS.replace('"timestamp"', payload + '"timestamp"')
    assert json.loads(json.loads(text)["payload"]) == event


def test_an_s3_object_is_named_by_mapping_shard_and_time() -> None:
    mapping = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
    assert s3_object_key(mapping, "shardId-000000000001", SECOND + 7_123, REQUEST) == (
        f"aws/lambda/{mapping}/shardId-000000000001/2026/01/05/2026-01-05T10.00.07-{REQUEST}"
    )
