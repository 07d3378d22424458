"""Structs instead of dicts: the same answers from a fraction of the objects."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from esm.filtering.criteria import FilterCriteria, compile_for_kinesis, compile_for_sqs
from esm.filtering.match import Matching
from esm.filtering.number import Inexact
from esm.filtering.pattern import parse_pattern
from esm.filtering.skim import fields
from esm.records.kinesis import KinesisEventShape, KinesisRecord
from tests.unit.filtering import oracle
from tests.unit.filtering.drawn import events, patterns
from tests.unit.filtering.test_differential import THOROUGH

SHAPE = KinesisEventShape(shard_id="shardId-000000000000", event_source_arn="arn", region="eu-west-1", role_arn="role")


def skimming(pattern: Any) -> Matching:
    return Matching(parse_pattern(pattern).rules, [()])


def skimmed(pattern: Any, text: str) -> Any:
    value = skimming(pattern).reader()(text)
    return dict(fields(value)) if isinstance(value, msgspec.Struct) else value


def test_only_what_paths_lead_through_is_built() -> None:
    text = '{"o": {"x": [1]}, "k": {"o": 1, "j": [{"x": 1.5}]}, "s": 1}'
    found = skimmed({"k": {"j": [1]}}, text)
    assert [*found] == ["k"]
    assert dict(fields(found["k"])) == {"j": [{"x": 1.5}]}


@pytest.mark.parametrize("inner", ["5", '"x"', "null", "true", "1.5", "[]", "[1, null]", "[[{}]]"])
def test_no_object_where_keys_are_looked_for(inner: str) -> None:
    assert skimmed({"k": {"j": [1]}}, f'{{"k": {inner}}}') == {"k": json.loads(inner)}


@pytest.mark.parametrize("text", ["[]", '[{"k": 1}]'])
def test_an_array_is_read_whole(text: str) -> None:
    assert skimmed({"k": [1]}, text) == json.loads(text)


def test_numbers_keep_their_digits_where_they_are_weighed() -> None:
    digits = "9" * 5000
    assert skimmed({"k": [1]}, '{"k": 1e400, "o": 1e400}') == {"k": Inexact("1e400")}
    assert skimmed({"k": [1]}, f'{{"k": {digits}, "o": 1}}') == {"k": Inexact(digits), "o": 1}
    assert skimmed({"k": {"j": [1]}}, f'{{"k": {digits}}}') == {"k": Inexact(digits)}


def test_of_a_key_that_is_there_twice_the_last_counts() -> None:
    found = skimmed({"k": {"j": [1], "i": [1]}}, '{"k": {"j": 1}, "k": {"i": 2}}')
    assert dict(fields(found["k"])) == {"i": 2}
    assert skimmed({"k": {"j": [1]}}, '{"k": {"j": 1}, "\\u006b": 5}') == {"k": 5}


@pytest.mark.parametrize("key", ['"', "\\", "\n", "\ud800"])
def test_a_key_that_no_field_is_named_for(key: str) -> None:
    text = json.dumps({"k": "x", key: "y"}) if key != "\ud800" else '{"k": "x"}'
    assert skimmed({key: ["y"], "k": ["x"]}, text) == json.loads(text)


def test_more_keys_than_structs_are_made_of() -> None:
    """Every run of steps may be one key with dots: of fifty steps, 1,275."""
    pattern: Any = ["x"]
    event: Any = "x"
    for _ in range(50):
        pattern, event = {"k": pattern}, {"k": event}
    assert skimmed(pattern, json.dumps(event | {"o": 1})) == event | {"o": 1}
    assert skimming(pattern)(event)


@pytest.mark.parametrize(
    ("pattern", "event"),
    [
        ({"a": {"b": ["x"], "c": [1]}}, {"a": [{"b": "x", "c": 2}, {"b": "x", "c": 1}]}),
        ({"a": {"b": ["x"], "c": [1]}}, {"a": [{"b": "x", "c": 2}, {"b": "y", "c": 1}]}),
        ({"a": {"b": ["x"], "c": [1]}}, {"a": [5, {"b": "x", "c": 1}]}),
        ({"a": {"b": ["x"], "c": [1]}}, {"a": [{"b": ["x"], "c": 1}]}),
        ({"a": {"b": ["x"], "c": [1]}}, {"a": [{"b": "x", "c": [2, 1]}]}),
        ({"a": {"b": ["x"], "c": {"d": [1]}}}, {"a": [{"b": "x", "c": [[{"d": 1}]]}]}),
        ({"a": {"b": ["x"], "c": {"d": [1]}}}, {"a": [{"b": "x", "c": [[{"d": 1}]]}, {"b": "x", "c": {"d": 1}}]}),
        ({"a": {"b": ["x"], "c": {"d": [1]}}}, {"a": [{"b": "x", "c.d": 1}]}),
        ({"a": {"b": ["x"]}}, {"a.b": "x"}),
        ({"a": {"b": ["x"]}}, {"a.b": "y", "a": {"b": "x"}}),
        ({"a": {"b": [1]}}, {"a": [[{"b": 1}]]}),
        ({"a": {"b": [1]}}, {"a": [[1], {"b": 2}]}),
        ({"a": ["x"], "b": [1]}, {"a": ["y", "x"], "b": 1}),
        ({"a": ["x"], "b": [1]}, {"a": 5, "b": 1}),
        ({"a": ["x"], "b": [1]}, {"b": 1}),
        ({"a": {"b": [1], "c": [{"exists": False}]}}, {"a": [{"b": 1, "c": 1}, {"b": 1}]}),
        ({"a": ["x", {"exists": False}]}, {"a": {"c": 1}}),
        ({"a": [{"exists": False}], "b": ["x"]}, {"b": "x"}),
        # Absence in the leaf that comes first chooses the element, or none.
        ({"a": {"b": [{"exists": False}], "c": [1]}}, {"a": [{"c": 1}, {"c": 2}]}),
        ({"a": {"b": [{"exists": False}], "c": [1]}}, {"a": [{"c": 1}, {"b": 5}]}),
        ({"a": {"b": [1, {"exists": False}], "c": [1]}}, {"a": [{"c": 1}, {"b": 1, "c": 2}]}),
        ({"a": {"b": [1, {"exists": False}], "c": [1]}}, {"a": [{"c": 2}, {"b": 1, "c": 1}]}),
        ({"a": {"b": [{"exists": False}], "c": [1]}}, {"a": [5, {"c": 1}]}),
        ({"a": {"b": [{"exists": False}], "c": [1]}}, {"a": [[{"b": 1}], {"c": 1}]}),
        ({"a": {"b": [{"exists": False}], "c": [1]}}, {"a": [{"b": [], "c": 1}, {"b": {}}]}),
        ({"a": {"b": [{"exists": False}], "c": [1]}}, {"a": [{"b": [[2]]}, {"c": 1}]}),
        ({"a": {"b": [{"exists": False}], "c": [{"exists": False}]}}, {"a": [{"d": 1}, 5]}),
        ({"a": {"b": [{"exists": False}], "c": [{"exists": False}]}}, {"a": [{"c": 1}]}),
        ({"a": {"b": {"c": [{"exists": False}], "d": [1]}}}, {"a": [{"b": [{"d": 1}, {"c": 1}]}, {"b": [{"d": 1}]}]}),
        ({"a": {"b": {"c": [{"exists": False}], "d": [1]}}}, {"a": [{"b": [{"d": 1}]}, {"b": {"d": 1}}]}),
        # A value and keys below it; what stands in an array by itself is bound to no element.
        ({"a": [5], "a.b": ["x"]}, {"a": [5, {"b": "x"}]}),
        ({"a": [5], "a.b": ["x"]}, {"a": [{"b": "x"}]}),
        ({"a": [5, {"exists": False}], "a.b": ["x"]}, {"a": [{"b": "x"}, {"b": "y"}]}),
        ({"a": [5], "a.b": ["x"]}, {"a": [5, [{"b": "x"}]]}),
    ],
)
def test_structs_say_what_dicts_and_the_slow_way_say(pattern: Any, event: Any) -> None:
    matching = skimming(pattern)
    expected = oracle.matches(pattern, event)
    assert matching(matching.reader()(json.dumps(event))) is expected
    assert Matching(parse_pattern(pattern).rules)(event) is expected


BODIES = st.sampled_from(
    [
        '{"a": 1e400}',
        '{"a": [0.1, 1.0e-1], "b": 0.1000000000000000055511151231257827}',
        '{"a": 9007199254740993, "c": 123456789012345678901234567890}',
        '{"a": ' + "9" * 5000 + ', "b": "x"}',
        '{"a": {"b": ' + "9" * 5000 + "}}",
        '{"\\u0061": "\\u0078", "b": "x\\/y"}',
        '{"a": "\\ud800"}',
        '{"o": "\\ud800", "a": "x"}',
        '{"a": "x", "o": "\udcff"}',
        '{"a": "\udcff"}',
        '{"a": "x", "o": "\\q"}',
        '{"a": "x", "o": 01}',
        '{"a": "x", "o": nul}',
        '{"a": "x", "o": [1,]}',
        '{"a": "x"} x',
        '{"a": "x"',
        '{"a": "x", "o": NaN}',
        '{"a": "x", "a": 5}',
        '{"a": {"b": 1}, "a": {"c": 1}}',
        '{"a": "x", "o": ' + "[" * 70 + "]" * 70 + "}",
        '[{"a": "x"}, {"b": 1}]',
        "5",
        "x",
        "",
        "\ufeff{}",
    ]
)


@st.composite
def torn(draw: st.DrawFn) -> str:
    """JSON with a piece of it gone, or written twice."""
    text = json.dumps(draw(events), ensure_ascii=draw(st.booleans()))
    start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
    return text[:start] + text[start:end] * draw(st.sampled_from([0, 2])) + text[end:]


def read_strictly(data: bytes) -> Any:
    """What the standard library makes of it; `None` when it is no JSON, or not one that patterns look into."""
    try:
        value = json.loads(data.decode(), parse_int=_number, parse_float=_number, parse_constant=_no_number)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) and deep(value) <= 64 else None


def _number(text: str) -> Any:
    """A number that a double holds; else something that no pattern here takes."""
    if len(text) > 300 or float(text) in {float("inf"), float("-inf")}:
        return 10**300
    value = float(text)
    try:
        same = Decimal(text) == Decimal(repr(value))
    except ArithmeticError:
        same = False
    if not same:
        return 10**300
    return int(value) if value.is_integer() and repr(int(value)) == text else value


def _no_number(constant: str) -> Any:
    raise ValueError(constant)


def deep(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(deep, inner), default=0)


@THOROUGH
@given(st.lists(patterns, min_size=1, max_size=4), BODIES | torn() | events.map(json.dumps))
@example([{"b": [{"numeric": ["<", 5]}]}], '{"b": 0.1000000000000000055511151231257827}')
def test_any_text_gets_the_answer_of_the_slow_way(filters: list[dict[str, Any]], text: str) -> None:
    data = text.encode("utf-8", "surrogateescape")
    document = read_strictly(data)
    expected = document is not None and any(oracle.matches(each, document) for each in filters)
    queue = FilterCriteria([{"body": each} for each in filters], source="sqs")
    assert compile_for_sqs(queue)(text, {}) is expected
    assert queue.matches({"body": text}) is expected
    stream = FilterCriteria([{"data": each} for each in filters], source="kinesis")
    encoded = msgspec.json.encode(data)[1:-1].decode()
    assert compile_for_kinesis(stream, SHAPE)(KinesisRecord(encoded, "k", "1")) is expected
    item = {"kinesis": {"data": encoded}}
    assert stream.explain(item).startswith("Filter ") is expected
