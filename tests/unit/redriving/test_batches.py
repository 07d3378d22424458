"""Events of documents as batches: what they hold, and what their records' keys are."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from esm.records.dynamodb import DynamoDBEventShape, DynamoDBRecord
from esm.records.invocation_record import FailedRange
from esm.redriving.batches import batches_of_event

TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"


def failed(event: dict[str, Any]) -> FailedRange:
    return FailedRange(
        source_kind="dynamodb",
        stream_arn=TABLE,
        shard_id="shardId-00000001767606000000-abcdef01",
        first="1",
        last="2",
        records=len(event["Records"]),
        condition="RetryAttemptsExhausted",
        request_id="",
        function_arn="",
        event=event,
    )


def changes(*keys: str) -> list[DynamoDBRecord]:
    wire = [f'{{"dynamodb":{{"SequenceNumber":"{n}","Keys":{key}}}}}' for n, key in enumerate(keys, 1)]
    return [msgspec.json.decode(text, type=DynamoDBRecord) for text in wire]


def test_the_keys_of_a_tables_event_are_those_of_its_stream() -> None:
    records = changes('{"id":{"S":"7"},"at":{"N":"1"}}', '{"at":{"B":"AP8="},"id":{"S":"ü"}}')
    event = DynamoDBEventShape(event_source_arn=TABLE, region="eu-west-1").event(records)
    (batch,) = batches_of_event(failed(event), None)
    assert batch.identifiers == ["1", "2"]
    assert batch.keys == [record.key for record in records]
    assert batch.event(1)["Records"] == event["Records"][1:]


@pytest.mark.parametrize("inner", [{}, {"Keys": None}, {"Keys": "no key"}])
def test_an_item_without_a_key_is_run_all_the_same(inner: dict[str, Any]) -> None:
    event = {"Records": [{"dynamodb": inner}]}
    (batch,) = batches_of_event(failed(event), None)
    assert batch.event(0) == event
