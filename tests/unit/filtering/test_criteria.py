from __future__ import annotations

import copy
import gc
from base64 import b64encode
from typing import Any, cast
from weakref import ref

import msgspec
import pytest

from esm.errors import MappingError
from esm.filtering.criteria import FilterCriteria, compile_for_dynamodb, compile_for_kinesis, compile_for_sqs
from esm.mapping.limits import Limits
from esm.records.dynamodb import Change, DynamoDBEventShape, DynamoDBRecord
from esm.records.kinesis import KinesisEventShape, KinesisRecord

SHAPE = KinesisEventShape(
    shard_id="shardId-000000000000", event_source_arn="arn:stream", region="eu-west-1", role_arn="arn:role"
)


def record(data: bytes = b'{"kind":"order","n":1.5}', key: str = "k1") -> KinesisRecord:
    return KinesisRecord(data=b64encode(data).decode(), key=key, sequence_number="7", arrived=1545084650.987)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ({"data": {"kind": ["order"]}}, True),
        ({"data": {"kind": ["refund"]}}, False),
        ({"data": {"n": [{"numeric": ["=", 1.5]}]}}, True),
        ({"partitionKey": ["k1"]}, True),
        ({"partitionKey": ["k1"], "data": {"kind": ["order"]}}, True),
        ({"partitionKey": ["k2"], "data": {"kind": ["order"]}}, False),
        ({"sequenceNumber": ["7"], "kinesisSchemaVersion": ["1.0"]}, True),
        ({"approximateArrivalTimestamp": [{"numeric": [">", 1545084650, "<", 1545084651]}]}, True),
        ({"eventID": [{"suffix": ":7"}], "data": {"kind": ["order"]}}, True),
        ({"eventSourceARN": ["arn:other"]}, False),
        ({"invokeIdentityArn": ["arn:role"]}, True),
        ({"kinesis": {"partitionKey": ["k1"]}}, False),
        ({"kinesis": {"partitionKey": [{"exists": False}]}}, True),
    ],
)
def test_a_kinesis_record_and_its_item_are_one(pattern: dict[str, Any], expected: bool) -> None:
    criteria = FilterCriteria([pattern], source="kinesis")
    given = record()
    item = SHAPE.event([given])["Records"][0]
    before = copy.deepcopy(item)
    assert compile_for_kinesis(criteria, SHAPE)(given) is expected
    assert criteria.matches(item) is expected
    assert criteria.explain(item).startswith("Filter 1 matches.") is expected
    assert item == before


ITEM = {"messageId": "m1", "body": '{"kind":"order"}', "attributes": {"SenderId": "s1"}}


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([{"body": {"kind": ["order"]}}], True),
        ([{"body": {"kind": ["order"]}, "attributes": {"SenderId": ["s1"]}}], True),
        ([{"body": {"kind": ["order"]}, "attributes": {"SenderId": ["s2"]}}], False),
        ([{"messageId": ["m1"]}], True),
        ([{"messageId": ["m2"]}, {"body": ["text"]}], False),
        ([{"messageId": ["m2"]}], False),
        (['{"body": ["text"], "body": {"kind": ["order"]}}'], False),
    ],
)
def test_a_message_and_its_item_are_one(filters: list[Any], expected: bool) -> None:
    criteria = FilterCriteria(filters, source="sqs")
    before = copy.deepcopy(ITEM)
    assert compile_for_sqs(criteria)(cast("str", ITEM["body"]), ITEM) is expected
    assert criteria.matches(ITEM) is expected
    assert before == ITEM


TABLE = DynamoDBEventShape(event_source_arn="arn", region="eu-west-1")


def change(keys: str, new_image: str = "", event_name: str = "INSERT") -> DynamoDBRecord:
    images = Change("1", msgspec.Raw(keys.encode()), msgspec.Raw(new_image.encode()))
    return DynamoDBRecord(images, event_name=event_name)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([{"dynamodb": {"Keys": {"id": {"S": ["1"]}}}}], True),
        ([{"dynamodb": {"Keys": {"id": {"S": ["2"]}}}}], False),
        ([{"dynamodb": {"NewImage": {"tags": {"L": {"S": ["b"]}}}}, "eventName": ["INSERT"]}], True),
        ([{"dynamodb": {"NewImage": {"tags": {"L": {"S": ["b"]}}}}, "eventName": ["MODIFY"]}], False),
        ([{"dynamodb": {"NewImage": {"a.b": {"N": ["5"]}}}}], True),
        ([{"dynamodb": {"NewImage": {"a": {"b": {"N": ["5"]}}}}}], True),
        ([{"dynamodb": {"NewImage": {"gone": {"S": [{"exists": False}]}}}}], True),
        ([{"dynamodb": {"OldImage": {"a": {"S": [{"exists": False}]}}}}], True),
        ([{"dynamodb": {"OldImage": {"a": {"S": [{"exists": True}]}}}}, {"eventSource": ["aws:dynamodb"]}], True),
        ([{"dynamodb": {"StreamViewType": ["KEYS_ONLY"]}}], False),
    ],
)
def test_a_change_and_its_item_are_one(filters: list[Any], expected: bool) -> None:
    criteria = FilterCriteria(filters, source="dynamodb")
    record = change('{"id":{"S":"1"}}', '{"tags":{"L":[{"S":"a"},{"S":"b"}]},"a.b":{"N":"5"},"o":{"S":"x"}}')
    assert compile_for_dynamodb(criteria, TABLE)(record) is expected
    assert criteria.matches(TABLE.item(record)) is expected


def test_a_number_in_an_image_that_only_text_holds() -> None:
    criteria = FilterCriteria([{"dynamodb": {"NewImage": {"k": {"S": [{"exists": True}]}}}}], "dynamodb")
    assert compile_for_dynamodb(criteria, TABLE)(change("{}", f'{{"k":{{"S":{"9" * 5000}}}}}'))


@pytest.mark.parametrize(
    ("entry", "number", "expected"),
    [
        ([0.1], "0.1000000000000000055511151231257827", False),
        ([0.1], "0.10", True),
        ([{"anything-but": 0.1}], "0.1000000000000000055511151231257827", True),
        ([{"numeric": ["=", 0.1]}], "0.1000000000000000055511151231257827", False),
        ([{"exists": True}], "0.1000000000000000055511151231257827", True),
        ([300], "3.0e2", True),
        ([2**53], "9007199254740993", False),
    ],
)
def test_numbers_are_compared_by_all_their_digits(entry: list[Any], number: str, expected: bool) -> None:
    assert FilterCriteria([{"body": {"k": entry}}], "sqs").matches({"body": f'{{"k":{number}}}'}) is expected


@pytest.mark.interpreted
def test_data_is_only_decoded_when_it_matters() -> None:
    broken = KinesisRecord(data=cast("str", None), key="k1", sequence_number="7")
    test = compile_for_kinesis(FilterCriteria([{"partitionKey": ["k1"]}, {"data": {"k": ["x"]}}], "kinesis"), SHAPE)
    assert test(broken)


def test_data_that_is_no_base64() -> None:
    test = compile_for_kinesis(FilterCriteria([{"data": {"k": [{"exists": False}]}}], "kinesis"), SHAPE)
    assert not test(KinesisRecord(data="!", key="k1", sequence_number="7"))


def test_text_of_another_class_is_text() -> None:
    class Text(str):
        """As an enumeration's, or a template's."""

        __slots__ = ()

    criteria = FilterCriteria([{"body": {"k": ["v"]}}], "sqs")
    for body, expected in ((Text('{"k": "v"}'), True), (Text('{"k": "w"}'), False), (Text("["), False)):
        assert criteria.matches({"body": body}) is expected
        assert compile_for_sqs(criteria)(body, {}) is expected
    data = Text(b64encode(b'{"k": "v"}').decode())
    assert FilterCriteria([{"data": {"k": ["v"]}}], "kinesis").matches({"kinesis": {"data": data}})


@pytest.mark.interpreted
@pytest.mark.parametrize("filters", [[{"body": {"k": ["v"]}}], [{"body": {"k": ["v"]}}, {"body": {"l": ["w"]}}]])
def test_filters_are_gone_without_a_look_for_garbage(filters: list[Any]) -> None:
    criteria = FilterCriteria(filters, "sqs")
    matches = compile_for_sqs(criteria)
    assert matches('{"k": "v"}', {})
    judge = ref(criteria._judge)
    inside = ref(cast("Any", criteria._judge._inside))
    gc.disable()
    try:
        del criteria, matches
        assert (judge(), inside()) == (None, None)
    finally:
        gc.enable()


def test_no_filter_passes_all() -> None:
    assert compile_for_kinesis(FilterCriteria([], "kinesis"), SHAPE)(record(b"\xff"))
    assert compile_for_dynamodb(FilterCriteria([], "dynamodb"), TABLE)(change("{}"))
    assert compile_for_sqs(FilterCriteria([], "sqs"))("", {})
    criteria = FilterCriteria((), "sqs")
    assert criteria.matches({})
    assert criteria.explain({}) == "There is no filter: every record passes."


def test_a_single_pattern_is_a_list_of_one() -> None:
    assert len(FilterCriteria('{"body": ["x"]}', "sqs").patterns) == 1
    assert len(FilterCriteria({"body": ["x"]}, "sqs").patterns) == 1


def test_filters_for_another_source_are_refused() -> None:
    with pytest.raises(MappingError, match="These filters are for sqs, not kinesis"):
        compile_for_kinesis(FilterCriteria([], "sqs"), SHAPE)


def test_a_source_that_there_is_not() -> None:
    with pytest.raises(MappingError, match="Expected one of kinesis, dynamodb, sqs as the source"):
        FilterCriteria([], cast("Any", "s3"))


def test_limits() -> None:
    six = [{"body": ["x"]}] * 6
    with pytest.raises(MappingError, match="Expected at most 5 filters, not 6"):
        FilterCriteria(six, "sqs")
    assert FilterCriteria(six, "sqs", limits=Limits(filters=10)).matches({"body": "x"})
    with pytest.raises(MappingError, match="expected at most 10 characters of JSON, not 12"):
        FilterCriteria(six, "sqs", limits=Limits(filters=10, pattern_length=10))


def explained(source: Any, filters: list[Any], item: dict[str, Any]) -> list[str]:
    lines = FilterCriteria(filters, source).explain(item).split("\n")
    assert lines[0] == "No filter matches."
    return lines[1:]


BODY = {
    "body": '{"kind":"refund","n":[1,2,3,4,5],"o":{"p":1},"long":"%s","rows":[{"a":1,"b":1},{"a":2,"b":2}]}'
    % ("x" * 99)
}


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ({"kind": ["order"]}, 'body.kind is "refund", expected "order"'),
        ({"kind": [{"prefix": "o"}, {"exists": False}]}, 'body.kind is "refund", expected prefix "o" or no value'),
        (
            {"kind": ["a", "b", "c", "d", "e", "f", "g"]},
            'body.kind is "refund", expected "a" or "b" or "c" or "d" or "e" or "f" or one of 1 more',
        ),
        ({"n": [{"numeric": [">", 9, "<=", 10]}]}, "body.n is 1, 2, 3 and 2 more, expected numeric > 9 and <= 10"),
        (
            {"n": [{"numeric": [">=", 9]}, {"numeric": ["<", 0]}]},
            "body.n is 1, 2, 3 and 2 more, expected numeric >= 9 or numeric < 0",
        ),
        ({"n": [{"numeric": ["=", 9]}]}, "body.n is 1, 2, 3 and 2 more, expected numeric = 9"),
        ({"kind": [{"anything-but": ["refund", "x"]}]}, 'body.kind is "refund", expected anything-but "refund", "x"'),
        ({"missing": [{"exists": True}]}, "body.missing is missing, expected any value"),
        ({"o": [{"exists": True}]}, "body.o is an object, which only its own keys match, expected any value"),
        ({"long": ["y"]}, f'body.long is "{"x" * 59}..., expected "y"'),
        (
            {"rows": {"a": [1], "b": [2]}},
            "each leaf is met, but not all within the same element of an array: body.rows.a, body.rows.b",
        ),
    ],
)
def test_an_explanation_names_the_leaf_and_the_reason(inside: dict[str, Any], reason: str) -> None:
    assert explained("sqs", [{"body": inside}], BODY) == [f"Filter 1: {reason}."]


def test_an_explanation_knows_absence_within_an_element() -> None:
    rows = {"body": '{"rows":[{"a":1},{"a":2,"b":2}]}'}
    absent = {"body": {"rows": {"a": [1], "b": [{"exists": False}]}}}
    assert FilterCriteria([absent], "sqs").explain(rows) == "Filter 1 matches."
    present = {"body": {"rows": {"a": [2], "b": [{"exists": False}]}}}
    assert explained("sqs", [present], rows) == ["Filter 1: body.rows.b is 2, expected no value."]


def test_an_explanation_goes_filter_by_filter_and_way_by_way() -> None:
    ways = {"$or": [{"body": {"kind": ["a"]}}, {"body": {"kind": ["b"]}}]}
    assert explained("sqs", [ways, {"messageId": ["m"], "body": {"kind": ["c"]}}], BODY) == [
        'Filter 1, way 1 of 2: body.kind is "refund", expected "a".',
        'Filter 1, way 2 of 2: body.kind is "refund", expected "b".',
        'Filter 2: body.kind is "refund", expected "c".',
        'Filter 2: messageId is missing, expected "m".',
    ]
    assert FilterCriteria([ways, {"body": {"kind": ["refund"]}}], "sqs").explain(BODY) == "Filter 2 matches."


@pytest.mark.parametrize(
    ("pattern", "item", "reason"),
    [
        (
            {"body": {"k": ["x"]}},
            {"body": "text"},
            "body is not a JSON object or array, and the filter looks inside it",
        ),
        ({"body": ["x"]}, {"body": "{}"}, "body is JSON, and the filter expects plain text"),
        ({"body": ["x"]}, {}, "body is missing, and the filter expects plain text"),
        ({"body": ["x"]}, {"body": "y"}, 'body is "y", expected "x"'),
        ('{"body": ["x"], "body": {"k": ["x"]}}', {"body": "x"}, "body would have to be plain text and JSON at once"),
        ({"body": {"k": ["x"]}}, {"body": '{"k":1e999}'}, 'body.k is 1e999, expected "x"'),
        ({"body": {"k": [1e300, True]}}, {"body": "{}"}, "body.k is missing, expected 1e+300 or true"),
        ('{"body": {"k": [1e999]}}', {"body": "{}"}, "body.k is missing, expected 1e999"),
    ],
)
def test_an_explanation_of_different_kinds(pattern: Any, item: dict[str, Any], reason: str) -> None:
    assert explained("sqs", [pattern], item) == [f"Filter 1: {reason}."]


def test_an_explanation_of_arrays_without_end() -> None:
    value: Any = 1
    for _ in range(100):
        value = [value]
    assert explained("dynamodb", [{"dynamodb": {"k": [1]}}], {"dynamodb": {"k": value}}) == [
        "Filter 1: the arrays are nested too deep."
    ]


def test_aws_own_form_of_several_filters() -> None:
    given = {"Filters": [{"Pattern": '{"body": ["a"]}'}, {"Pattern": '{"body": ["b"]}'}]}
    criteria = FilterCriteria(given, source="sqs")
    assert [criteria.matches({"body": body}) for body in "abc"] == [True, True, False]
    assert FilterCriteria({"Filters": []}, source="sqs").matches({"body": "c"})
    with pytest.raises(MappingError, match="Pattern"):
        FilterCriteria({"Filters": [{"Patern": "{}"}]}, source="sqs")
