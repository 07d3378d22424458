from __future__ import annotations

from typing import Any, Literal

import pytest

from esm.errors import MappingError
from esm.filtering.lint import Warned, lint

Source = Literal["kinesis", "dynamodb", "sqs"]


def image(leaf: Any) -> dict[str, Any]:
    return {"dynamodb": {"NewImage": leaf}}


@pytest.mark.parametrize(
    ("source", "pattern", "effect", "words"),
    [
        (
            "dynamodb",
            image({"id": ["x"]}),
            "never",
            'dynamodb.NewImage.id is an object, because a value stands below its type tag; write {"S": [...]}',
        ),
        ("dynamodb", image({"id": [{"exists": False}]}), "always", "below its type tag"),
        ("dynamodb", image({"id": {"M": [{"exists": True}]}}), "never", "is an object"),
        ("dynamodb", image({"N": ["1"]}), "never", "is an object"),
        (
            "dynamodb",
            image([{"exists": True}]),
            "never",
            "dynamodb.NewImage is an object, and a leaf matches values alone; name one of its keys",
        ),
        ("dynamodb", {"userIdentity": [{"exists": False}]}, "always", "userIdentity is an object"),
        (
            "dynamodb",
            image({"n": {"N": [{"numeric": [">", 100]}]}}),
            "never",
            'which numeric and bare numbers never match; write ["100"]',
        ),
        ("dynamodb", image({"n": {"NS": [100, {"numeric": ["=", 1]}]}}), "never", "DynamoDB writes numbers as text"),
        ("dynamodb", image({"n": {"BOOL": ["true"]}}), "never", "the value there is true or false"),
        ("dynamodb", image({"n": {"S": [True, None]}}), "never", "the value there is a string"),
        ("dynamodb", {"dynamodb": {"SizeBytes": ["26"]}}, "never", "the value there is a number"),
        ("dynamodb", {"dynamodb": {"SizeBytes": [True]}}, "never", "the value there is a number"),
        ("dynamodb", {"dynamodb": {"SequenceNumber": [26]}}, "never", "the value there is a string"),
        ("dynamodb", {"eventName": ["CREATE"]}, "never", "eventName is INSERT or MODIFY or REMOVE"),
        ("dynamodb", {"eventName": [{"anything-but": "CREATE"}]}, "always", "every eventName fits"),
        (
            "dynamodb",
            {"dynamoDB": {"NewImage": {"id": {"S": ["x"]}}}},
            "never",
            "no dynamodb record has the key dynamoDB; dynamodb is near",
        ),
        ("kinesis", {"Data": {"k": ["x"]}}, "never", "no kinesis record has the key Data; data is near"),
        (
            "kinesis",
            {"zzz": {"k": [{"exists": False}]}},
            "always",
            "no kinesis record has the key zzz; there are approximateArrivalTimestamp, ",
        ),
        (
            "kinesis",
            {"kinesis": {"partitionKey": ["x"]}},
            "never",
            "a pattern sees the fields of the kinesis object at top level, without kinesis",
        ),
        ("kinesis", {"partitionKey": [5]}, "never", "the value there is a string"),
        ("kinesis", {"approximateArrivalTimestamp": [{"prefix": "1"}]}, "never", "the value there is a number"),
        (
            "kinesis",
            {"data": {"k": [{"exists": True}, {"exists": False}]}},
            "always",
            "a value there fits, and so does none",
        ),
        ("sqs", {"bdy": {"k": ["x"]}}, "never", "body is near"),
        ("sqs", {"body": [5]}, "never", "the value there is a string"),
        ("sqs", {"attributes": [{"exists": True}]}, "never", "attributes is an object"),
        (
            "sqs",
            {"attributes": {"ApproximateReceiveCount": [{"numeric": [">", 1]}]}},
            "never",
            "the value there is a string",
        ),
        ("sqs", '{"body": ["x"], "body": {"k": ["x"]}}', "never", "body cannot be plain text and JSON at once"),
        ("sqs", {"eventName": ["x"]}, "never", "no sqs record has the key eventName"),
        (
            "dynamodb",
            {"dynamodb": {"newImage": {"id": {"S": ["x"]}}}},
            "never",
            "no dynamodb record has the key newImage; NewImage is near, in dynamodb",
        ),
        (
            "dynamodb",
            {"userIdentity": {"PrincipalId": [{"exists": False}]}},
            "always",
            "no dynamodb record has the key PrincipalId; principalId is near, in userIdentity",
        ),
        (
            "sqs",
            {"messageAttributes": {"kind": ["order"]}},
            "never",
            'messageAttributes.kind is an object, because a value stands below its kind; write {"stringValue": [...]}',
        ),
        (
            "sqs",
            {"messageAttributes": {"stringValue": ["order"]}},
            "never",
            "messageAttributes.stringValue is an object",
        ),
        (
            "sqs",
            {"messageAttributes": {"kind": {"StringValue": ["order"]}}},
            "never",
            "no message attribute has the key StringValue; stringValue is near",
        ),
    ],
)
def test_a_warning(source: Source, pattern: Any, effect: str, words: str) -> None:
    (found,) = lint([{**({"messageId": ["ok"]} if source == "sqs" else {"eventID": ["ok"]})}, pattern], source)
    assert (found.filter, found.effect) == (2, effect)
    assert words in found.message


@pytest.mark.parametrize(
    ("source", "pattern"),
    [
        ("dynamodb", image({"id": {"S": ["x", {"prefix": "y"}, {"exists": False}]}})),
        ("dynamodb", image({"n": {"N": ["100", {"numeric": [">", 1]}]}})),
        ("dynamodb", image({"n": {"N": [{"anything-but": [5]}]}})),
        ("dynamodb", image({"a": {"L": {"M": {"b": {"BOOL": [True]}}}}, "c": {"NULL": [True]}})),
        ("dynamodb", image({"a.b": {"S": ["x"]}})),
        (
            "dynamodb",
            {"eventName": ["INSERT", "MODIFY"], "dynamodb": {"ApproximateCreationDateTime": [{"numeric": [">", 0]}]}},
        ),
        ("dynamodb", {"eventName": ["CREATE", {"exists": False}], "userIdentity": {"type": ["Service"]}}),
        ("dynamodb", '{"dynamodb": {"SizeBytes": [26, 1e999]}}'),
        (
            "kinesis",
            {"data": {"k": [1, {"numeric": [">", 1]}]}, "partitionKey": ["x"], "eventName": ["aws:kinesis:record"]},
        ),
        ("sqs", {"body": {"k": [1]}, "attributes": {"SenderId": ["x"]}}),
        ("sqs", {"body": ["x"]}),
        ("sqs", {"messageAttributes": {"a.b": {"stringValue": ["x"]}, "c": {"dataType": ["Number.int"]}}}),
        ("dynamodb", {"userIdentity": {"type": ["Service"], "principalId": ["dynamodb.amazonaws.com"]}}),
        ("dynamodb", {"dynamodb": {"StreamViewType": ["KEYS_ONLY"], "SequenceNumber": ["1"]}}),
    ],
)
def test_nothing_to_warn_of(source: Source, pattern: Any) -> None:
    found = lint([pattern], source)
    assert [each for each in found if each.message != "every eventName fits"] == []


def test_a_warning_is_given_once_for_all_ways_and_says_where() -> None:
    ways = {"dynamodb": {"NewImage": {"id": ["x"]}}, "$or": [{"eventID": ["a"]}, {"eventID": ["b"]}]}
    (found,) = lint([ways], "dynamodb")
    assert found == Warned(1, "$.dynamodb.NewImage.id", "never", found.message)
    assert str(found) == f"filter 1, $.dynamodb.NewImage.id: never matches; {found.message}"


def test_a_pattern_that_is_refused_is_refused_here_too() -> None:
    with pytest.raises(MappingError):
        lint([{"body": "x"}], "sqs")
