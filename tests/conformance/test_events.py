"""Events have AWS's fields, in AWS's order, with AWS's types."""

from __future__ import annotations

import json
from typing import Any

from esm.records.kinesis import KinesisEventShape, KinesisRecord

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
NUMBER = "49600000000000000000000000000000000000000000000000000018"

# Keys, their order and types as in the sample of https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
SAMPLE = """{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"order-1",
"sequenceNumber":"49600000000000000000000000000000000000000000000000000018",
"data":"eyJraW5kIjoib3JkZXIifQ==","approximateArrivalTimestamp":1767607201.25},
"eventSource":"aws:kinesis","eventVersion":"1.0",
"eventID":"shardId-000000000001:49600000000000000000000000000000000000000000000000000018",
"eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/consume",
"awsRegion":"eu-west-1","eventSourceARN":"arn:aws:kinesis:eu-west-1:123456789012:stream/orders"}]}"""


def event() -> dict[str, Any]:
    shape = KinesisEventShape(
        shard_id="shardId-000000000001",
        event_source_arn=STREAM,
        region="eu-west-1",
        role_arn="arn:aws:iam::123456789012:role/consume",
    )
    return shape.event([KinesisRecord("eyJraW5kIjoib3JkZXIifQ==", "order-1", NUMBER, 1_767_607_201.25)])


def test_a_kinesis_event_is_written_as_aws_writes_it() -> None:
    assert json.dumps(event(), separators=(",", ":")) == SAMPLE.replace("\n", "")


def test_a_kinesis_record_has_these_types() -> None:
    (item,) = event()["Records"]
    assert type(item["kinesis"].pop("approximateArrivalTimestamp")) is float
    assert {type(value) for value in item.pop("kinesis").values()} == {str}
    assert {type(value) for value in item.values()} == {str}


def test_a_kinesis_record_does_not_say_how_it_was_encrypted() -> None:
    """`GetRecords` gives `EncryptionType`; the event of Lambda has no such key. (observed)"""
    (item,) = event()["Records"]
    assert "encryptionType" not in item.keys() | item["kinesis"].keys()


def test_an_event_without_records_is_an_empty_list() -> None:
    shape = KinesisEventShape(shard_id="s", event_source_arn=STREAM, region="r", role_arn="a")
    assert shape.event([]) == {"Records": []}
