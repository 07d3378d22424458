from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esm.aws.dynamodb_streams_api import TableRecords
from esm.records.dynamodb import Change, DynamoDBEventShape, DynamoDBRecord

SHAPE = DynamoDBEventShape(
    event_source_arn="arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/2026-01-01T00:00:00.000",
    region="eu-west-1",
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.one_of(
        TEXT.map(lambda text: {"S": text}),
        st.integers().map(lambda number: {"N": str(number)}),
        st.binary(max_size=9).map(lambda data: {"B": msgspec.to_builtins(data)}),
        st.just({"NULL": True}),
        st.booleans().map(lambda value: {"BOOL": value}),
        st.lists(TEXT, min_size=1, max_size=3).map(lambda texts: {"SS": texts}),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: {"L": values}),
        st.dictionaries(TEXT, inner, max_size=3).map(lambda values: {"M": values}),
    ),
    max_leaves=5,
)
ITEMS = st.dictionaries(TEXT, VALUES, min_size=1, max_size=4)
WIRES = st.fixed_dictionaries(
    {
        "eventID": st.text("0123456789abcdef", min_size=32, max_size=32),
        "eventName": st.sampled_from(["INSERT", "MODIFY", "REMOVE"]),
        "dynamodb": st.fixed_dictionaries(
            {
                "ApproximateCreationDateTime": st.integers(1_000_000_000, 9_999_999_999).map(float),
                "Keys": ITEMS,
                "SequenceNumber": st.integers(0, 10**24).map(str),
                "SizeBytes": st.integers(0, 400_000),
                "StreamViewType": st.sampled_from(["KEYS_ONLY", "NEW_AND_OLD_IMAGES"]),
            },
            optional={"NewImage": ITEMS, "OldImage": ITEMS},
        ),
    },
    optional={"userIdentity": st.just({"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"})},
)
_DECODER = msgspec.json.Decoder(DynamoDBRecord)
_PAGE = msgspec.json.Decoder(TableRecords)


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def decoded(wire: Any) -> DynamoDBRecord:
    return _DECODER.decode(compact(wire))


def changed(keys: str, new_image: str = "") -> DynamoDBRecord:
    return DynamoDBRecord(Change("1", msgspec.Raw(keys.encode()), msgspec.Raw(new_image.encode())))


@given(WIRES)
def test_all_that_the_wire_says_stands_in_the_item(wire: dict[str, Any]) -> None:
    item = SHAPE.item(decoded(wire))
    assert item["dynamodb"] == wire["dynamodb"]
    assert (item["eventID"], item["eventName"]) == (wire["eventID"], wire["eventName"])
    assert ("userIdentity" in item) == ("userIdentity" in wire)


@settings(max_examples=300)
@given(WIRES)
def test_the_size_is_that_of_the_items_json(wire: dict[str, Any]) -> None:
    record = decoded(wire)
    assert SHAPE.size(record) == len(compact(SHAPE.item(record))) + 1
    assert SHAPE.sizes([record, record]) == [SHAPE.size(record)] * 2


@settings(max_examples=300)
@given(st.lists(WIRES, min_size=1, max_size=3), st.integers(1, 4))
def test_what_records_take_at_most_is_no_less_than_they_do(wires: list[dict[str, Any]], count: int) -> None:
    records = [decoded(wire) for wire in wires]
    most = SHAPE.most(records, len(compact({"Records": wires})), count)
    assert most >= sum(sorted(SHAPE.sizes(records))[-count:])


@given(WIRES)
def test_a_wire_with_spaces_and_escapes_is_never_taken_for_less_than_it_becomes(wire: dict[str, Any]) -> None:
    record = _DECODER.decode(json.dumps(wire, indent=1).encode())
    assert SHAPE.size(record) >= len(compact(SHAPE.item(record))) + 1


@given(WIRES)
def test_the_answers_memory_may_be_used_again(wire: dict[str, Any]) -> None:
    memory = bytearray(compact({"Records": [wire]}))
    (record,) = _PAGE.decode(memory).records
    memory[:] = b"x" * len(memory)
    memory.clear()  # nobody holds on to it
    assert SHAPE.item(record)["dynamodb"] == wire["dynamodb"]


@given(ITEMS, st.randoms(use_true_random=False))
def test_a_key_is_the_same_whatever_the_order_of_its_attributes(item: dict[str, Any], rng: Any) -> None:
    names = list(item)
    rng.shuffle(names)
    one, other = decoded_key(item), decoded_key({name: item[name] for name in names})
    assert one == other


def decoded_key(item: dict[str, Any]) -> str:
    return changed(compact(item).decode()).key


def test_a_key_is_text_that_positions_may_depend_on() -> None:
    assert changed('{ "sk": {"N": "7"}, "pk": {"S": "\\u00e9"} }').key == '{"pk":{"S":"é"},"sk":{"N":"7"}}'


def test_keys_of_different_types_are_different_keys() -> None:
    assert changed('{"id":{"S":"1"}}').key != changed('{"id":{"N":"1"}}').key


def test_an_event_is_the_handlers_to_change() -> None:
    record = changed('{"id":{"S":"1"}}', new_image='{"id":{"S":"1"},"m":{"M":{"a":{"L":[{"N":"1"}]}}}}')
    record.user_identity = {"PrincipalId": "p", "Type": "Service"}
    before = json.dumps(SHAPE.event([record]))
    event = SHAPE.event([record])
    item = event["Records"][0]
    item["dynamodb"]["NewImage"]["m"]["M"]["a"]["L"].clear()
    item["dynamodb"]["Keys"]["id"]["S"] = item["userIdentity"]["type"] = item["eventSource"] = "changed"
    event["Records"].append(item)
    assert json.dumps(SHAPE.event([record])) == before


def test_numbers_and_binary_values_stay_the_text_they_are() -> None:
    keys = '{"n":{"N":"12345678901234567890123456789012345678"},"b":{"B":"aGk="},"s":{"NS":["1.50","1e3"]}}'
    item = SHAPE.item(changed(keys))
    assert item["dynamodb"]["Keys"] == json.loads(keys)


@pytest.mark.parametrize(
    ("written", "value"),
    [("1545084650", 1_545_084_650), ("1.545084650E9", 1_545_084_650.0), ("1545084650.0", 1.54508465e9)],
)
def test_the_time_is_the_number_that_the_wire_has(written: str, value: float) -> None:
    wire = f'{{"dynamodb":{{"SequenceNumber":"1","Keys":{{}},"ApproximateCreationDateTime":{written},"New":[1]}}}}'
    record = _DECODER.decode(wire)
    stands = SHAPE.item(record)["dynamodb"]["ApproximateCreationDateTime"]
    assert (stands, type(stands)) == (value, type(value))
    assert record.arrived_at == 1_545_084_650_000


@pytest.mark.parametrize(
    "wire",
    [
        b"{}",
        b'{"dynamodb":{"Keys":{}}}',
        b'{"dynamodb":{"SequenceNumber":"1"}}',
        b'{"dynamodb":{"SequenceNumber":"1","Keys":{"id":{"S":"\xff"}}}}',
        b'{"dynamodb":{"SequenceNumber":"1","Keys":{},"OldImage":{"id":{"S":"\xff"}}}}',
    ],
)
def test_what_no_service_writes_is_refused_when_it_is_read(wire: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError) as refusal:
        _PAGE.decode(b'{"Records":[' + wire + b"]}")
    assert "S" not in str(refusal.value).partition("at `")[0].replace("SequenceNumber", "")
