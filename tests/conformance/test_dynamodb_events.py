"""What a function gets of a table's stream: AWS's fields in AWS's order, and what makes a record at all."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from typing import Any

import msgspec
import pytest

from esm.mapping.settings import EventSourceMapping
from esm.records.dynamodb import DynamoDBEventShape, DynamoDBRecord
from esm.testing import DeleteItem, Put, PutItem, Split, Trace, UpdateItem, simulate
from esm.testing.events import StreamEvent

STREAM = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:failed"

# As https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_GetRecords.html#Examples writes it.
WIRE = """{"awsRegion":"eu-west-1","dynamodb":{"ApproximateCreationDateTime":1.7676072E9,"Keys":{"id":{"S":"1"}},
"NewImage":{"id":{"S":"1"},"n":{"N":"7"},"b":{"B":"aGk="}},"OldImage":{"id":{"S":"1"}},
"SequenceNumber":"800000000003126276362","SizeBytes":26,"StreamViewType":"NEW_AND_OLD_IMAGES"},
"eventID":"c4ca4238a0b923820dcc509a6f75849b","eventName":"MODIFY","eventSource":"aws:dynamodb","eventVersion":"1.1",
"userIdentity":{"PrincipalId":"dynamodb.amazonaws.com","Type":"Service"}}"""

# Keys and types as in the sample of https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html; `eventVersion` is 1.1
# and the time a float (observed). `userIdentity`:
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html
SAMPLE = """{"Records":[{"eventID":"c4ca4238a0b923820dcc509a6f75849b","eventName":"MODIFY","eventVersion":"1.1",
"eventSource":"aws:dynamodb","awsRegion":"eu-west-1","dynamodb":{"ApproximateCreationDateTime":1767607200.0,
"Keys":{"id":{"S":"1"}},"NewImage":{"id":{"S":"1"},"n":{"N":"7"},"b":{"B":"aGk="}},"OldImage":{"id":{"S":"1"}},
"SequenceNumber":"800000000003126276362","SizeBytes":26,"StreamViewType":"NEW_AND_OLD_IMAGES"},
"eventSourceARN":"arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000",
"userIdentity":{"principalId":"dynamodb.amazonaws.com","type":"Service"}}]}"""


def test_an_event_is_written_as_aws_writes_it() -> None:
    record = msgspec.json.decode(WIRE, type=DynamoDBRecord)
    event = DynamoDBEventShape(event_source_arn=STREAM, region="eu-west-1").event([record])
    assert json.dumps(event, separators=(",", ":")) == SAMPLE.replace("\n", "")


def play(events: list[StreamEvent], function: Any = None, **settings: Any) -> Trace:
    options = {name: settings.pop(name) for name in ("view_type", "keys", "shards") if name in settings}
    settings.setdefault("starting_position", "TRIM_HORIZON")
    mapping = EventSourceMapping(
        event_source_arn=STREAM,
        function=function or (lambda _event, _context: None),
        destination_config=QUEUE,
        **settings,
    )
    return simulate(mapping, events, **options)


def items(trace: Trace) -> list[dict[str, Any]]:
    return [item for invocation in trace.invocations for item in invocation.event["Records"]]


KEY = {"id": {"S": "1"}}
OLD = {**KEY, "n": {"N": "1"}}
NEW = {**KEY, "n": {"N": "2"}}
HISTORY: list[StreamEvent] = [
    PutItem(OLD, at=0.0),
    PutItem(OLD, at=1.0),
    UpdateItem(KEY, {"n": {"N": "2"}}, at=2.0),
    UpdateItem(KEY, {"n": {"N": "2"}}, at=3.0),
    DeleteItem(KEY, at=4.0),
    DeleteItem(KEY, at=5.0),
]


@pytest.mark.parametrize(
    ("view_type", "images"),
    [
        ("KEYS_ONLY", [(None, None)] * 3),
        ("NEW_IMAGE", [(None, OLD), (None, NEW), (None, None)]),
        ("OLD_IMAGE", [(None, None), (OLD, None), (NEW, None)]),
        ("NEW_AND_OLD_IMAGES", [(None, OLD), (OLD, NEW), (NEW, None)]),
    ],
)
def test_images_by_view_type_and_no_record_of_a_write_that_changes_nothing(
    view_type: str, images: list[tuple[Any, Any]]
) -> None:
    """https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_StreamSpecification.html"""
    got = items(play(HISTORY, view_type=view_type))
    assert [item["eventName"] for item in got] == ["INSERT", "MODIFY", "REMOVE"]
    assert [(item["dynamodb"].get("OldImage"), item["dynamodb"].get("NewImage")) for item in got] == images
    assert {item["dynamodb"]["StreamViewType"] for item in got} == {view_type}
    assert all(item["dynamodb"]["Keys"] == KEY for item in got)
    assert not any("userIdentity" in item for item in got)


def test_only_a_deletion_by_time_to_live_says_who_did_it() -> None:
    got = items(
        play(
            [
                PutItem(OLD),
                PutItem({"id": {"S": "2"}}),
                DeleteItem(KEY, at=1),
                DeleteItem({"id": {"S": "2"}}, at=2, expired=True),
            ]
        )
    )
    assert [item.get("userIdentity") for item in got] == [
        None,
        None,
        None,
        {"principalId": "dynamodb.amazonaws.com", "type": "Service"},
    ]


def test_an_update_makes_an_item_removes_attributes_and_keeps_the_others() -> None:
    events: list[StreamEvent] = [
        UpdateItem(KEY, {"a": {"S": "x"}, "b": {"S": "y"}}),
        UpdateItem({**KEY}, {"c": {"NULL": True}}, remove=["a"], at=1),
    ]
    first, second = (item["dynamodb"]["NewImage"] for item in items(play(events)))
    assert first == {**KEY, "a": {"S": "x"}, "b": {"S": "y"}}
    assert second == {**KEY, "b": {"S": "y"}, "c": {"NULL": True}}


def test_times_are_whole_seconds_in_events_and_in_failure_documents() -> None:
    def fail(_event: dict[str, Any], _context: Any) -> None:
        raise ValueError

    trace = play([PutItem(KEY, at=0.75), PutItem(OLD, at=1.25)], fail, maximum_retry_attempts=0)
    seconds = [item["dynamodb"]["ApproximateCreationDateTime"] for item in items(trace)]
    assert [int(second) for second in seconds] == seconds
    (first, second) = trace.failure_documents
    assert "KinesisBatchInfo" not in first
    assert list(first["DDBStreamBatchInfo"]) == [
        "shardId",
        "startSequenceNumber",
        "endSequenceNumber",
        "approximateArrivalOfFirstRecord",
        "approximateArrivalOfLastRecord",
        "batchSize",
        "streamArn",
    ]
    arrivals = [document["DDBStreamBatchInfo"]["approximateArrivalOfFirstRecord"] for document in (first, second)]
    assert arrivals == ["2025-12-01T00:00:00Z", "2025-12-01T00:00:01Z"]
    assert first["DDBStreamBatchInfo"]["streamArn"] == STREAM


def test_a_retry_sees_the_event_as_it_was() -> None:
    seen = []

    def spoil(event: dict[str, Any], _context: Any) -> None:
        seen.append(json.dumps(event))
        event["Records"][0]["dynamodb"]["NewImage"].clear()
        raise ValueError

    play([PutItem(OLD)], spoil, maximum_retry_attempts=3)
    assert len(seen) == 4
    assert len(set(seen)) == 1


def test_order_is_kept_by_item_under_a_parallelization_factor() -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-eventsourcemapping.html"""
    out: dict[str, int] = defaultdict(int)
    seen: dict[str, list[int]] = defaultdict(list)
    at_once = []

    async def handle(event: dict[str, Any], _context: Any) -> None:
        here = {json.dumps(item["dynamodb"]["Keys"]) for item in event["Records"]}
        assert not any(out[key] for key in here)
        for item in event["Records"]:
            seen[json.dumps(item["dynamodb"]["Keys"])].append(int(item["dynamodb"]["NewImage"]["n"]["N"]))
        for key in here:
            out[key] += 1
        at_once.append(sum(map(bool, out.values())))
        await asyncio.sleep(0.5)
        for key in here:
            out[key] -= 1

    events: list[StreamEvent] = [
        # One partition key, twenty sort keys, written in either order of attributes.
        PutItem(
            dict(sorted({"pk": {"S": "p"}, "sk": {"N": str(i % 20)}, "n": {"N": str(i)}}.items(), reverse=i % 2 == 0)),
            at=-1.0,
        )
        for i in range(200)
    ]
    trace = play(events, handle, keys=("pk", "sk"), parallelization_factor=5, batch_size=3)
    assert {invocation.outcome for invocation in trace.invocations} == {"succeeded"}
    assert len(seen) == 20
    assert all(numbers == sorted(numbers) and len(numbers) == 10 for numbers in seen.values())
    assert max(at_once) > 5


def test_a_table_of_several_partitions_is_read_shard_by_shard() -> None:
    events: list[StreamEvent] = [PutItem({"id": {"N": str(i)}}, at=-1.0) for i in range(50)]
    trace = play(
        [*events, Split(0, at=5.0), *(PutItem({"id": {"N": str(i)}}, at=6.0) for i in range(50, 100))], shards=3
    )
    assert sorted(int(item["dynamodb"]["Keys"]["id"]["N"]) for item in items(trace)) == list(range(100))
    assert len(trace.positions) == 5


def test_latest_begins_with_what_comes_after_the_start() -> None:
    events: list[StreamEvent] = [PutItem(KEY, at=-10.0), PutItem(OLD, at=10.0)]
    assert [item["eventName"] for item in items(play(events, starting_position="LATEST"))] == ["MODIFY"]


@pytest.mark.parametrize(
    ("events", "keys"),
    [
        ([PutItem({"id": {"S": "1"}, "n": {"N": "1"}})], {"id"}),
        ([PutItem({"n": {"N": "1"}, "id": {"S": "1"}}), DeleteItem({"id": {"S": "1"}}, at=1)], {"id"}),
        (
            [
                PutItem({"a": {"S": "1"}, "b": {"S": "1"}, "c": {"S": "1"}}),
                UpdateItem({"b": {"S": "1"}, "a": {"S": "1"}}, {"c": {"S": "2"}}, at=1),
            ],
            {"a", "b"},
        ),
    ],
)
def test_the_tables_key_is_what_the_events_take_for_it(events: list[StreamEvent], keys: set[str]) -> None:
    assert set(items(play(events))[0]["dynamodb"]["Keys"]) == keys


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        (Put(b"x"), "Put is nothing that happens to this source"),
        (PutItem({"n": {"N": "1"}}), "lacks id of its key"),
        (UpdateItem(KEY, {"id": {"S": "2"}}), "cannot change the key"),
        (PutItem({"id": "1"}), "attribute id is not in DynamoDB's JSON"),
        (PutItem({**KEY, "n": {"N": 1}}), "attribute n is not"),
        (PutItem({**KEY, "n": {"X": "1"}}), "attribute n is not"),
        (PutItem({**KEY, "n": {"S": "1", "N": "1"}}), "attribute n is not"),
        (PutItem({**KEY, "tags": {"SS": []}}), "attribute tags is not"),
        (PutItem({**KEY, "a": {"L": [{"S": "1"}, {"M": {"b": 1}}]}}), r"attribute a\[1\]\.b is not"),
        (UpdateItem(KEY, {"n": 1}), "attribute n is not"),
        (DeleteItem({"id": "1"}), "attribute id is not"),
    ],
)
def test_what_cannot_happen_is_the_callers_mistake(event: StreamEvent, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        play([event], keys=["id"])


def test_every_type_of_attribute_may_be_put() -> None:
    scalars = {"s": {"S": ""}, "n": {"N": "1.5"}, "b": {"B": "AA=="}, "t": {"BOOL": False}, "z": {"NULL": True}}
    sets = {"ss": {"SS": ["a"]}, "ns": {"NS": ["1", "2"]}, "bs": {"BS": ["AA=="]}}
    item = {**KEY, **scalars, **sets, "l": {"L": [{"L": []}, {"M": {}}]}, "m": {"M": {"a": {"M": {"b": {"S": "c"}}}}}}
    assert items(play([PutItem(item)]))[0]["dynamodb"]["NewImage"] == item


def test_a_stream_has_a_shard() -> None:
    with pytest.raises(ValueError, match="at least 1 shard, not 0"):
        play([], shards=0)


def test_a_view_type_that_is_none() -> None:
    with pytest.raises(ValueError, match="EVERYTHING is none of KEYS_ONLY"):
        play([], view_type="EVERYTHING")


def test_an_item_does_not_happen_to_a_kinesis_stream() -> None:
    mapping = EventSourceMapping(
        event_source_arn="arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
        function=lambda _event, _context: None,
        starting_position="TRIM_HORIZON",
    )
    with pytest.raises(ValueError, match="PutItem is nothing"):
        simulate(mapping, [PutItem(KEY)])
