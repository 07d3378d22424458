"""What AWS was seen to match, refuse and drop.

Cases: EventBridge's TestEventPattern and the tests of its matcher, read from a folder outside of this project when it
is there (ESM_TEST_DATA), and a table of our own that always runs. Rules of the sources:
https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
"""

from __future__ import annotations

import json
import os
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from esm.errors import MappingError
from esm.filtering.criteria import FilterCriteria
from esm.filtering.match import Matching
from esm.filtering.pattern import parse_pattern

DATA = (
    Path(os.environ.get("ESM_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "event-patterns.json"
)

Answer = Literal["match", "no match", "refused", "odd"]


def answer(pattern: Any, event: Any = None) -> Answer:
    try:
        rules = parse_pattern(pattern).rules
    except MappingError as error:
        aws = error.code == "InvalidParameterValueException"
        return "refused" if aws and error.message.startswith("Invalid filter pattern definition. At $") else "odd"
    return "match" if Matching(rules)(event) else "no match"


OWN: list[tuple[Any, Any, Answer]] = [
    # Equality: strings exactly, numbers by value, and neither is the other.
    ({"k": ["a", "b"]}, {"k": "b"}, "match"),
    ({"k": ["a"]}, {"k": "A"}, "no match"),
    ({"k": ["5"]}, {"k": 5}, "no match"),
    ({"k": [5]}, {"k": "5"}, "no match"),
    ({"k": [300]}, {"k": 300.0}, "match"),
    ({"k": [1]}, {"k": True}, "no match"),
    ({"k": [True]}, {"k": 1}, "no match"),
    ({"k": [False]}, {"k": False}, "match"),
    ({"k": [None]}, {"k": None}, "match"),
    ({"k": [None]}, {}, "no match"),
    ({"k": [None]}, {"k": "null"}, "no match"),
    ({"k": [""]}, {"k": ""}, "match"),
    ({"k": [{"exactly": "a"}]}, {"k": "a"}, "match"),
    ({"k": ["10.0.0.1"]}, {"k": "10.0.0.1"}, "match"),
    ({"k": ["::1"]}, {"k": "0:0:0::1"}, "match"),
    ({"k": [{"exactly": "::1"}]}, {"k": "0:0:0::1"}, "no match"),
    # All keys, any entry.
    ({"a": ["x"], "b": ["y"]}, {"a": "x", "b": "y"}, "match"),
    ({"a": ["x"], "b": ["y"]}, {"a": "x"}, "no match"),
    # Text.
    ({"k": [{"prefix": "ab"}]}, {"k": "abc"}, "match"),
    ({"k": [{"prefix": "ab"}]}, {"k": "cab"}, "no match"),
    ({"k": [{"prefix": "1"}]}, {"k": 12}, "no match"),
    ({"k": [{"prefix": {"equals-ignore-case": "AB"}}]}, {"k": "abc"}, "match"),
    ({"k": [{"suffix": ".png"}]}, {"k": "a.png"}, "match"),
    ({"k": [{"suffix": ".png"}]}, {"k": "a.PNG"}, "no match"),
    ({"k": [{"suffix": {"equals-ignore-case": ".png"}}]}, {"k": "a.PNG"}, "match"),
    ({"k": [{"suffix": {"equals-ignore-case": "straße"}}]}, {"k": "die STRASSE"}, "match"),
    ({"k": [{"equals-ignore-case": "Éclair"}]}, {"k": "éCLAIR"}, "match"),
    ({"k": [{"equals-ignore-case": "k"}]}, {"k": "\u212a"}, "no match"),  # the Kelvin sign is no form of k
    ({"k": [{"wildcard": "a*c*e"}]}, {"k": "abcde"}, "match"),
    ({"k": [{"wildcard": "a*ca"}]}, {"k": "aca"}, "match"),
    ({"k": [{"wildcard": "a*a"}]}, {"k": "a"}, "no match"),
    ({"k": [{"wildcard": "a\\*"}]}, {"k": "a*"}, "match"),
    ({"k": [{"wildcard": "a\\*"}]}, {"k": "ab"}, "no match"),
    ({"k": [{"wildcard": "a**b"}]}, None, "refused"),
    ({"k": [{"wildcard": "a\\b"}]}, None, "refused"),
    ({"k": [{"wildcard": "a\\"}]}, None, "refused"),
    ({"k": [{"wildcard": "*a*a*a*a*a*"}]}, None, "refused"),
    # Numbers.
    ({"k": [{"numeric": ["=", 3]}]}, {"k": 3.0}, "match"),
    ({"k": [{"numeric": [">", 0, "<=", 5]}]}, {"k": 5}, "match"),
    ({"k": [{"numeric": [">", 0, "<", 5]}]}, {"k": 5}, "no match"),
    ({"k": [{"numeric": [">", 0]}]}, {"k": 0}, "no match"),
    ({"k": [{"numeric": ["<", 5]}]}, {"k": "3"}, "no match"),
    ({"k": [{"numeric": ["<", 5]}]}, {"k": True}, "no match"),
    ({"k": [{"numeric": ["<", 5, ">", 0]}]}, None, "refused"),
    ({"k": [{"numeric": [">", 5, "<", 5]}]}, None, "refused"),
    ({"k": [{"numeric": ["=", 1, "<", 5]}]}, None, "refused"),
    ({"k": [{"numeric": []}]}, None, "refused"),
    ({"k": [{"numeric": [">", "1"]}]}, None, "refused"),
    # Anything but.
    ({"k": [{"anything-but": "a"}]}, {"k": "b"}, "match"),
    ({"k": [{"anything-but": ["a", "b"]}]}, {"k": "b"}, "no match"),
    ({"k": [{"anything-but": "a"}]}, {"k": None}, "match"),
    ({"k": [{"anything-but": "a"}]}, {}, "no match"),
    ({"k": [{"anything-but": [1, 2]}]}, {"k": "1"}, "match"),
    ({"k": [{"anything-but": 1}]}, {"k": 1.0}, "no match"),
    ({"k": [{"anything-but": {"prefix": ["a", "b"]}}]}, {"k": "ba"}, "no match"),
    ({"k": [{"anything-but": {"suffix": "a"}}]}, {"k": "ab"}, "match"),
    ({"k": [{"anything-but": {"wildcard": "a*"}}]}, {"k": "ba"}, "match"),
    ({"k": [{"anything-but": {"equals-ignore-case": "a"}}]}, {"k": "A"}, "no match"),
    ({"k": [{"anything-but": ["a", 1]}]}, None, "refused"),
    ({"k": [{"anything-but": []}]}, None, "refused"),
    ({"k": [{"anything-but": {"prefix": ""}}]}, None, "refused"),
    ({"k": [{"anything-but": {"exists": True}}]}, None, "refused"),
    # Presence, of values and not of objects.
    ({"k": [{"exists": True}]}, {"k": None}, "match"),
    ({"k": [{"exists": True}]}, {"k": {"x": 1}}, "no match"),
    ({"k": [{"exists": False}]}, {"k": {"x": 1}}, "match"),
    ({"k": [{"exists": True}]}, {"k": []}, "no match"),
    ({"k": ["x", {"exists": False}]}, {}, "match"),
    ({"k": ["x", {"exists": False}]}, {"k": "y"}, "no match"),
    # Arrays: any element, and one element for all leaves.
    ({"k": ["b"]}, {"k": ["a", "b"]}, "match"),
    ({"k": {"a": [1], "b": [2]}}, {"k": [{"a": 1, "b": 1}, {"a": 2, "b": 2}]}, "no match"),
    ({"k": {"a": [1], "b": [2]}}, {"k": [{"a": 1, "b": 1}, {"a": 1, "b": 2}]}, "match"),
    ({"k": {"a": [1], "b": [{"exists": False}]}}, {"k": [{"a": 1}, {"a": 2, "b": 2}]}, "match"),
    ({"k": {"b": [1], "a": [{"exists": False}]}}, {"k": [{"b": 1}, {"b": 2, "a": 2}]}, "no match"),
    # Dots, and keys that stand twice.
    ({"a": {"b": ["x"]}}, {"a.b": "x"}, "match"),
    ({"a.b": ["x"]}, {"a": {"b": "x"}}, "match"),
    ('{"a": ["x"], "a": ["y"]}', {"a": "x"}, "no match"),
    ('{"a": {"b": ["x"]}, "a": {"c": ["y"]}}', {"a": {"b": "x"}}, "no match"),
    ('{"a": {"b": ["x"]}, "a": {"c": ["y"]}}', {"a": {"b": "x", "c": "y"}}, "match"),
    # Alternatives.
    ({"$or": [{"a": [1]}, {"b": [2]}]}, {"b": 2}, "match"),
    ({"c": [3], "$or": [{"a": [1]}, {"b": [2]}]}, {"b": 2}, "no match"),
    ({"c": {"$or": [{"a": [1]}, {"b": [2]}]}}, {"c": {"a": 1}}, "match"),
    ({"$or": [{"prefix": "a"}, "b"]}, {"$or": "abc"}, "match"),
    ({"$or": {"x": [1]}}, {"$or": {"x": 1}}, "match"),
    ({"$or": [{"a": [1]}]}, None, "refused"),
    ({"$or": [{"a": {"prefix": ["x"]}}, {"b": [2]}]}, None, "refused"),
    # Addresses.
    ({"k": [{"cidr": "10.0.0.0/8"}]}, {"k": "10.255.0.1"}, "match"),
    ({"k": [{"cidr": "10.0.0.7/31"}]}, {"k": "10.0.0.6"}, "match"),
    ({"k": [{"cidr": "10.0.0.0/8"}]}, {"k": "11.0.0.1"}, "no match"),
    ({"k": [{"cidr": "10.0.0.0/8"}]}, {"k": "10.0.0.256"}, "no match"),
    ({"k": [{"cidr": "2001:db8::/32"}]}, {"k": "2001:db8::1"}, "match"),
    ({"k": [{"cidr": "2001:db8::/32"}]}, {"k": "10.0.0.1"}, "no match"),
    ({"k": [{"cidr": "10.0.0.0"}]}, None, "refused"),
    ({"k": [{"cidr": "10.0.0.0/33"}]}, None, "refused"),
    # Grammar.
    ({}, None, "refused"),
    ({"k": {}}, None, "refused"),
    ({"k": []}, None, "refused"),
    ({"k": "x"}, None, "refused"),
    ({"k": [["x"]]}, None, "refused"),
    ({"k": [{"foo": "x"}]}, None, "refused"),
    ({"k": [{"prefix": "x", "suffix": "y"}]}, None, "refused"),
    ("null", None, "refused"),
    ('"x"', None, "refused"),
    ("[]", None, "refused"),
    ("", None, "refused"),
    ('{"k": [NaN]}', None, "refused"),
    ('{"k": ["x"]', None, "refused"),
]


@pytest.mark.parametrize(("pattern", "event", "expected"), OWN, ids=range(len(OWN)))
def test_our_own_cases(pattern: Any, event: Any, expected: Answer) -> None:
    assert answer(pattern, event) == expected


def test_every_case_that_there_is() -> None:
    """Our own and, where they are at hand, all recordings."""
    cases = [(str(number), *case) for number, case in enumerate(OWN)] + list(_recorded())
    wrong = []
    for name, pattern, event, expected in cases:
        found = answer(pattern, event)
        if found != expected and not (expected == "accepted" and found in {"match", "no match"}):
            wrong.append((name, expected, found))
    assert wrong == []


def _recorded() -> Iterator[tuple[str, Any, Any, str]]:
    recorded = json.loads(DATA.read_text()) if DATA.exists() else {}
    for case in [case for group in ("eventbridge", "ruler", "valid") for case in recorded.get(group, ())]:
        event = json.loads(case["event_text"]) if "event_text" in case else case.get("event", {})
        yield case["id"], case.get("pattern_text", case.get("pattern")), event, _expected(case)


def _expected(case: dict[str, Any]) -> str:
    if "valid" in case:
        return "accepted" if case["valid"] else "refused"
    return {True: "match", False: "no match", "error": "refused"}[case["expect"]]


# What each source shows to a pattern.


def kinesis(data: bytes, **fields: Any) -> dict[str, Any]:
    return {
        "kinesis": {"partitionKey": "k1", "sequenceNumber": "1", "data": b64encode(data).decode(), **fields},
        "eventSource": "aws:kinesis",
        "eventID": "shardId-000000000000:1",
    }


def sqs(body: str) -> dict[str, Any]:
    return {"messageId": "m1", "body": body, "attributes": {"SenderId": "s1"}, "eventSource": "aws:sqs"}


def dynamodb(image: dict[str, Any], event_name: str = "INSERT") -> dict[str, Any]:
    change = {"ApproximateCreationDateTime": 1789649451.0, "NewImage": image, "SizeBytes": 26}
    return {"eventName": event_name, "dynamodb": change, "eventSource": "aws:dynamodb"}


def passes(source: Literal["kinesis", "dynamodb", "sqs"], pattern: Any, record: dict[str, Any]) -> bool:
    return FilterCriteria([pattern], source=source).matches(record)


V1 = {"body": {"k": ["a", "b"]}}


def test_v1_a_body_that_is_json() -> None:
    assert passes("sqs", V1, sqs('{"k":"b"}'))


def test_v2_a_body_that_is_none() -> None:
    assert not passes("sqs", V1, sqs("plain"))


def test_v3_a_range_includes_what_it_says() -> None:
    pattern = {"body": {"n": [{"numeric": [">=", 100, "<", 200]}]}}
    assert passes("sqs", pattern, sqs('{"n":100}'))
    assert not passes("sqs", pattern, sqs('{"n":200}'))


def test_v4_absence_of_an_attribute_without_its_tag_always_holds() -> None:
    pattern = {"dynamodb": {"NewImage": {"p": [{"exists": False}]}}}
    assert passes("dynamodb", pattern, dynamodb({"p": {"S": "x"}}))
    assert passes("dynamodb", pattern, dynamodb({"q": {"S": "x"}}))


def test_v5_a_dynamodb_number_is_text() -> None:
    pattern = {"dynamodb": {"NewImage": {"n": {"N": [{"numeric": [">", 100]}]}}}}
    assert not passes("dynamodb", pattern, dynamodb({"n": {"N": "101"}}))


def test_v6_the_creation_time_is_a_number() -> None:
    pattern = {"dynamodb": {"ApproximateCreationDateTime": [{"numeric": [">", 0]}]}}
    assert passes("dynamodb", pattern, dynamodb({}))


def test_v7_the_event_name() -> None:
    assert passes("dynamodb", {"eventName": ["INSERT"]}, dynamodb({}))
    assert not passes("dynamodb", {"eventName": ["INSERT"]}, dynamodb({}, "MODIFY"))


def test_v8_presence() -> None:
    pattern = {"body": {"k": [{"exists": True}]}}
    assert passes("sqs", pattern, sqs('{"k":"x"}'))
    assert not passes("sqs", pattern, sqs('{"o":1}'))


@pytest.mark.parametrize("pattern", ['{"body":{"k":[]}}', "null", '"x"', '{"body":"x"}'])
def test_v9_what_is_no_pattern(pattern: str) -> None:
    with pytest.raises(MappingError, match=r"Invalid filter pattern definition\."):
        FilterCriteria([pattern], source="sqs")


PLAIN, OF_JSON, ELSEWHERE = {"body": ["text"]}, {"body": {"k": ["x"]}}, {"attributes": {"SenderId": ["s1"]}}


@pytest.mark.parametrize(
    ("body", "pattern", "expected"),
    [
        ("text", PLAIN, True),
        ("other", PLAIN, False),
        ("text", ELSEWHERE, True),
        ("text", OF_JSON, False),
        ('{"k":"x"}', PLAIN, False),
        ('"text"', PLAIN, False),
        ('{"k":"x"}', ELSEWHERE, True),
        ('{"k":"x"}', OF_JSON, True),
        ('{"k":"y"}', OF_JSON, False),
        ('[{"k":"x"}]', OF_JSON, True),
        ("text", {"body": {"k": [{"exists": False}]}}, False),
        ('{"k":"x"}', {"body": [{"anything-but": "text"}]}, False),
        ("5", {"body": ["5"]}, True),
        ("5", {"body": [5]}, False),
        ("null", {"body": ["null"]}, True),
        ("text", PLAIN | ELSEWHERE, True),
        ('{"k":"x"}', OF_JSON | {"attributes": {"SenderId": ["s2"]}}, False),
    ],
)
def test_a_body_and_a_pattern_of_different_kinds(body: str, pattern: dict[str, Any], expected: bool) -> None:
    """The guide's table for SQS. A bare JSON scalar counts as plain text. (chosen)"""
    assert passes("sqs", pattern, sqs(body)) is expected


@pytest.mark.parametrize(
    ("data", "pattern", "expected"),
    [
        (b'{"k":"x"}', {"data": {"k": ["x"]}}, True),
        (b'{"k":"y"}', {"data": {"k": ["x"]}}, False),
        (b'{"k":"x"}', {"partitionKey": ["k1"]}, True),
        (b"text", {"data": {"k": ["x"]}}, False),
        (b"text", {"data": {"k": [{"exists": False}]}}, False),
        (b"text", {"partitionKey": ["k1"]}, True),
        (b"\xff\xfe", {"partitionKey": ["k1"]}, True),
        (b'{"k":"x","o":"\xff"}', {"data": {"k": ["x"]}}, False),
        (b"5", {"data": {"k": [{"exists": False}]}}, False),
        (b'[{"k":"x"}]', {"data": {"k": ["x"]}}, True),
        (b'{"k":"x"}', {"data": {"k": ["x"]}, "partitionKey": ["k2"]}, False),
    ],
)
def test_data_and_a_pattern_of_different_kinds(data: bytes, pattern: dict[str, Any], expected: bool) -> None:
    """The guide's table for Kinesis."""
    assert passes("kinesis", pattern, kinesis(data)) is expected


@pytest.mark.parametrize("source", ["kinesis", "dynamodb"])
def test_a_plain_pattern_is_refused_where_data_is_json(source: Literal["kinesis", "dynamodb"]) -> None:
    key = {"kinesis": "data", "dynamodb": "dynamodb"}[source]
    with pytest.raises(MappingError, match=rf"Invalid filter pattern definition\. At \$\.{key}: expected an object"):
        FilterCriteria([{key: ["text"]}], source=source)


def test_any_filter_of_several() -> None:
    criteria = FilterCriteria([{"data": {"k": ["x"]}}, {"data": {"k": ["y"]}}], source="kinesis")
    assert [criteria.matches(kinesis(b'{"k":"%s"}' % k)) for k in (b"x", b"y", b"z")] == [True, True, False]


def test_no_filter() -> None:
    assert FilterCriteria([], source="sqs").matches(sqs("anything"))
