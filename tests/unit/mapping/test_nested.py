from __future__ import annotations

from typing import Any

import pytest

from esm.errors import MappingError
from esm.mapping import nested
from esm.mapping.limits import Limits

LIMITS = Limits()
SQS = "arn:aws:sqs:eu-west-1:123456789012:failed"


def refusal(call: Any, value: object, *rest: Any) -> MappingError:
    with pytest.raises(MappingError) as caught:
        call("setting", value, *rest)
    return caught.value


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], ()),
        ((), ()),
        ({}, ()),
        ({"Filters": None}, ()),
        ([{"a": [1]}], ({"a": [1]},)),
        (['{"a": [1]}'], ('{"a": [1]}',)),
        (({"a": (1,)},), ({"a": [1]},)),
        ({"Filters": [{"Pattern": '{"a": [1]}'}]}, ('{"a": [1]}',)),
    ],
)
def test_patterns(given: Any, expected: Any) -> None:
    assert nested.patterns("filter_criteria", given, LIMITS) == expected


@pytest.mark.parametrize(
    "pattern",
    [None, 5, [], "", "[]", "{", "null", {"a": {1, 2}}, {"a": float("nan")}, {(1,): 2}, '{"a":' * 500],
)
def test_no_pattern(pattern: Any) -> None:
    refused = refusal(nested.patterns, [pattern], LIMITS)
    assert refused.message == "Invalid filter pattern definition."
    assert refused.field == "setting"


def test_a_pattern_that_contains_itself() -> None:
    pattern: dict[str, Any] = {}
    pattern["a"] = pattern
    assert refusal(nested.patterns, [pattern], LIMITS).message == "Invalid filter pattern definition."


def test_a_pattern_nested_too_deeply() -> None:
    pattern: dict[str, Any] = {}
    for _ in range(100_000):
        pattern = {"a": pattern}
    assert refusal(nested.patterns, [pattern], LIMITS).message == "Invalid filter pattern definition."


@pytest.mark.parametrize("pattern", ['{"a": ["' + "x" * 4096 + '"]}', {"a": ["x" * 4096]}])
def test_a_pattern_too_long(pattern: Any) -> None:
    message = refusal(nested.patterns, [{"b": [1]}, pattern], LIMITS).message
    assert "at 'filterCriteria.filters.2.member.pattern' failed to satisfy constraint: " in message
    assert message.endswith("Member must have length less than or equal to 4096")


@pytest.mark.parametrize(
    ("given", "ending"),
    [
        ("{}", "Value '{}' at 'setting' failed to satisfy constraint: Member must be a list"),
        ({"filters": []}, "Unknown parameter in Setting: 'filters', must be one of: Filters"),
        ({"Filters": "{}"}, "Member must be a list"),
        (
            {"Filters": ["{}"]},
            "Value '{}' at 'filterCriteria.filters.1.member' failed to satisfy constraint: Member must be a structure",
        ),
        (
            {"Filters": [{"Pattern": {"a": [1]}}]},
            (
                "Value 'dict' at 'filterCriteria.filters.1.member.pattern' failed to satisfy constraint: "
                "Member must be a string"
            ),
        ),
        (
            {"Filters": [{"pattern": ""}]},
            "Unknown parameter in filterCriteria.filters.1.member: 'pattern', must be one of: Pattern",
        ),
    ],
)
def test_no_criteria(given: Any, ending: str) -> None:
    assert refusal(nested.patterns, given, LIMITS).message.endswith(ending)


@pytest.mark.parametrize(
    "name",
    [
        SQS,
        "arn:aws-cn:sqs:elasticmq:000000000000:failed",
        "arn:aws:sns:eu-west-1:123456789012:failed",
        "arn:aws:s3:::failed-records",
        "file:///var/spool/esm/failed.jsonl",
        "file:///with blanks/and-ümlauts",
        "memory:",
        "memory:failed",
    ],
)
def test_destinations(name: str) -> None:
    assert nested.destination("destination_config", name) == name
    assert nested.destination("destination_config", {"OnFailure": {"Destination": name}}) == name
    assert nested.destination("destination_config", {"OnFailure": {"Destination": name}, "OnSuccess": {}}) == name


@pytest.mark.parametrize(
    "empty",
    ["", {}, {"OnFailure": {}}, {"OnFailure": None}, {"OnFailure": {"Destination": ""}}, {"OnSuccess": {}}],
)
def test_no_destination(empty: Any) -> None:
    assert nested.destination("destination_config", empty) is None


@pytest.mark.parametrize(
    "name",
    [SQS + ".fifo", "arn:aws:s3:::b", "arn:aws:s3:::bucket/prefix", "arn:aws:lambda:eu-west-1:123456789012:function:f"],
)
def test_unsupported_destinations(name: str) -> None:
    assert refusal(nested.destination, name).message == nested.UNSUPPORTED_DESTINATION


@pytest.mark.parametrize(
    ("given", "constraint"),
    [
        ("kafka://topic", "Member must satisfy regular expression pattern: arn:"),
        ("file://relative", "Member must satisfy regular expression pattern: arn:"),
        ("file:///", "Member must satisfy regular expression pattern: arn:"),
        (SQS + "\n", "Member must satisfy regular expression pattern: arn:"),
        (SQS + "x" * 350, "Member must have length less than or equal to 350"),
        (5, "Member must be a string"),
        ({"OnFailure": {"Destination": 5}}, "Member must be a string"),
    ],
)
def test_malformed_destinations(given: Any, constraint: str) -> None:
    message = refusal(nested.destination, given).message
    assert f"at 'destinationConfig.onFailure.destination' failed to satisfy constraint: {constraint}" in message


@pytest.mark.parametrize(
    ("given", "ending"),
    [
        ({"onFailure": {}}, "Unknown parameter in Setting: 'onFailure', must be one of: OnFailure, OnSuccess"),
        ({"OnFailure": SQS}, "Member must be a structure"),
        ({5: {}}, "Unknown parameter in Setting: '5', must be one of: OnFailure, OnSuccess"),
    ],
)
def test_destinations_of_another_shape(given: Any, ending: str) -> None:
    assert refusal(nested.destination, given).message.endswith(ending)


def test_scaling() -> None:
    assert nested.scaling("scaling_config", {}, LIMITS) is None
    assert nested.scaling("scaling_config", {"MaximumConcurrency": None}, LIMITS) is None
    assert nested.scaling("scaling_config", {"MaximumConcurrency": 2}, LIMITS) == {"MaximumConcurrency": 2}
    assert refusal(nested.scaling, {"maximum_concurrency": 2}, LIMITS).code == "ValidationException"
    assert refusal(nested.scaling, 2, LIMITS).message.endswith("Member must be a structure")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"MinimumPollers": 5}, (5, 200)),
        ({"MaximumPollers": 5}, (2, 5)),
        ({"MinimumPollers": 3, "MaximumPollers": 9}, (3, 9)),
    ],
)
def test_pollers(given: dict[str, int], expected: tuple[int, int]) -> None:
    found = nested.pollers("provisioned_poller_config", given, LIMITS)
    assert (found["MinimumPollers"], found["MaximumPollers"]) == expected


def test_metrics() -> None:
    assert nested.metrics("metrics_config", {}) is None
    assert nested.metrics("metrics_config", {"Metrics": []}) is None
    assert nested.metrics("metrics_config", {"Metrics": ["EventCount"]}) == {"Metrics": ["EventCount"]}
    assert (
        "enum value set: [EventCount, ErrorCount, KafkaMetrics]" in refusal(nested.metrics, {"Metrics": ["X"]}).message
    )
    assert refusal(nested.metrics, {"Metrics": ["EventCount"] * 4}).message.endswith("less than or equal to 3")
    assert refusal(nested.metrics, {"Metrics": ["ErrorCount"]}).message == (
        "Unsupported ErrorCount metrics for given event source mapping type."
    )


def test_tags() -> None:
    assert nested.tags("tags", {"team": "shop", "öre": ""}) == {"team": "shop", "öre": ""}
    assert refusal(nested.tags, {"": "x"}).message.startswith("1 validation error detected: Value '' at 'setting'")
    assert refusal(nested.tags, {5: "x"}).value == 5
    assert refusal(nested.tags, {"a": 5}).message.endswith(
        "Value 'a' at 'setting' failed to satisfy constraint: " + "Map values must be strings"
    )
    assert refusal(nested.tags, {"a": "x" * 257}).message.endswith(
        "[Member must have length less than or equal to 256]"
    )
    assert refusal(nested.tags, {f"k{n}": "" for n in range(51)}).message.endswith("less than or equal to 50")
    assert refusal(nested.tags, [("a", "b")]).message.endswith("Member must be a map")
