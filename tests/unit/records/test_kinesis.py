from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esm.mapping.limits import INVOCATION_PAYLOAD_BYTES
from esm.records.kinesis import KinesisEventShape, KinesisRecord

SHAPE = KinesisEventShape(
    shard_id="shardId-000000000001",
    event_source_arn="arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
    region="eu-west-1",
    role_arn="arn:aws:iam::123456789012:role/esm",
)
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=256)
DATA = st.binary(max_size=100).map(lambda data: base64.b64encode(data).decode())
NUMBERS = st.integers(min_value=0, max_value=10**56).map(str)
MILLISECONDS = st.integers(min_value=1_000_000_000_000, max_value=9_999_999_999_999).map(lambda ms: ms / 1000)
RECORDS = st.builds(KinesisRecord, data=DATA, key=KEYS, sequence_number=NUMBERS, arrived=MILLISECONDS)


def written(record: KinesisRecord) -> int:
    """Bytes of the item and its comma in compact UTF-8 JSON."""
    item = SHAPE.event([record])["Records"][0]
    return len(json.dumps(item, separators=(",", ":"), ensure_ascii=False).encode()) + 1


@settings(max_examples=500)
@given(RECORDS)
def test_the_size_is_that_of_the_items_json_but_for_digits_of_the_time(record: KinesisRecord) -> None:
    assert 0 <= SHAPE.size(record) - written(record) <= len(".123") - len(".0")


@settings(max_examples=200)
@given(RECORDS, st.floats(min_value=0, max_value=1e11))
def test_a_time_of_more_digits_is_missed_by_those_digits(record: KinesisRecord, arrived: float) -> None:
    record.arrived = arrived
    assert SHAPE.size(record) >= written(record) - (len(repr(arrived)) - len("1700000000.123"))


@pytest.mark.parametrize(
    "key", ["", "plain", '"', "\\", "\n", "\x00", "\x1f", "/", "\x7f", "\u20ac", "\U0001f600", "\u2028"]
)
def test_a_key_takes_the_bytes_that_json_needs_for_it(key: str) -> None:
    record = KinesisRecord(data="AA==", key=key, sequence_number="1", arrived=1_700_000_000.123)
    assert SHAPE.size(record) == written(record)


@settings(max_examples=300)
@given(st.lists(RECORDS, min_size=1, max_size=5), st.sampled_from([msgspec.json.encode, json.dumps]), st.integers(1, 6))
def test_what_records_take_at_most_is_no_less_than_they_do(
    records: list[KinesisRecord], write: Any, count: int
) -> None:
    records.sort(key=lambda record: int(record.sequence_number))
    wire = write({"Records": [msgspec.to_builtins(record) for record in records]})
    assert SHAPE.most(records, len(wire), count) >= sum(sorted(SHAPE.sizes(records))[-count:])


@pytest.mark.parametrize("count", [1, 2, 10, 49])
@pytest.mark.parametrize("there", [2, 49])
@pytest.mark.parametrize("stamped", [True, False])
def test_what_records_take_at_most_is_no_less_where_the_first_number_is_written_with_zeros(
    stamped: bool, there: int, count: int
) -> None:
    """Also where a server leaves out when they arrived: there is less on the wire to make up for it."""
    numbers = ["1".zfill(56), *map(str, range(2, there + 1))]
    records = [KinesisRecord(data="", key="", sequence_number=number) for number in numbers]
    wires = [msgspec.to_builtins(record) for record in records]
    for wire in () if stamped else wires:
        del wire["ApproximateArrivalTimestamp"]
    size = len(msgspec.json.encode({"Records": wires}))
    assert SHAPE.most(records, size, count) >= sum(sorted(SHAPE.sizes(records))[-count:])


def test_what_records_take_at_most_is_not_much_more() -> None:
    record = KinesisRecord(data="A" * 268, key="key", sequence_number="9" * 56, arrived=1_700_000_000.123)
    wire = msgspec.json.encode({"Records": [record] * 1000})
    assert SHAPE.most([record] * 1000, len(wire), 1000) < 1.1 * sum(SHAPE.sizes([record] * 1000))


def test_no_batch_of_a_full_page_of_small_records_can_fill_an_event() -> None:
    record = KinesisRecord(data="A" * 268, key="key", sequence_number="9" * 56, arrived=1_700_000_000.123)
    wire = msgspec.json.encode({"Records": [record] * 10_000})
    page = [record] * 10_000
    assert SHAPE.most(page, len(wire), 10_000) > INVOCATION_PAYLOAD_BYTES
    assert SHAPE.most(page, len(wire), 100) < 0.6 * INVOCATION_PAYLOAD_BYTES


@given(st.lists(RECORDS, max_size=5), st.booleans())
def test_the_sizes_of_a_page_are_those_of_its_records(records: list[KinesisRecord], plain: bool) -> None:
    records.sort(key=lambda record: int(record.sequence_number))
    for record in records if plain else ():
        record.key, record.sequence_number = "key", record.sequence_number.zfill(57)
    assert SHAPE.sizes(records) == [SHAPE.size(record) for record in records]


def test_an_event_is_the_handlers_to_change() -> None:
    record = KinesisRecord(data="AA==", key="k", sequence_number="1", arrived=1.0)
    first = SHAPE.event([record])
    first["Records"][0]["kinesis"]["data"] = "changed"
    first["Records"][0]["eventSource"] = "changed"
    first["Records"].append("changed")
    again = SHAPE.event([record])
    assert again["Records"][0]["kinesis"]["data"] == "AA=="
    assert again["Records"][0]["eventSource"] == "aws:kinesis"
    assert len(again["Records"]) == 1


@pytest.mark.parametrize(
    ("arrived", "ms"),
    [("1545084650.987", 1_545_084_650_987), ("1.545084650987E9", 1_545_084_650_987), ("1545084650", 1_545_084_650_000)],
)
def test_a_record_is_read_from_the_wire_as_it_stands_there(arrived: str, ms: int) -> None:
    wire = f'{{"SequenceNumber":"49","Data":"aGk=","PartitionKey":"k","ApproximateArrivalTimestamp":{arrived},"New":1}}'
    record = msgspec.json.decode(wire, type=KinesisRecord)
    assert (record.data, record.key, record.sequence_number) == ("aGk=", "k", "49")
    assert record.arrived_at == ms


def test_a_record_without_a_time_arrived_at_the_epoch() -> None:
    wire = '{"SequenceNumber":"49","Data":"","PartitionKey":"k"}'
    assert msgspec.json.decode(wire, type=KinesisRecord).arrived_at == 0
