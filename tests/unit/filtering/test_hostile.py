"""Hostile patterns and records: refused or answered by bounds on size and steps, and never an exception.

No clocks here: what would take exponential time in a careless matcher would not end at all.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esm.errors import MappingError
from esm.filtering.criteria import FilterCriteria, compile_for_kinesis, compile_for_sqs
from esm.filtering.wildcard import MAX_WILDCARDS, wildcard
from esm.records.kinesis import KinesisEventShape, KinesisRecord

SHAPE = KinesisEventShape(shard_id="shardId-000000000000", event_source_arn="arn", region="eu-west-1", role_arn="role")


@pytest.mark.parametrize(
    "pattern",
    [
        {"data": {f"k{number}": ["x"] for number in range(100_000)}},
        {"data": {"k": list(range(100_000))}},
        {"data": {"k": [{"prefix": "x" * 100_000}]}},
        {"data": {"k": [{"wildcard": "*a" * 1000}]}},
        {"data": {"$or": [{"k": [number]} for number in range(100_000)]}},
        {f"p{number}": {"$or": [{"a": [1]}, {"b": [1]}]} for number in range(60)},
        '{"data":' * 500 + "[1]" + "}" * 500,
        "[" * 4000,
        '{"a":' * 600,
    ],
    ids=range(9),
)
def test_a_hostile_pattern_is_refused(pattern: Any) -> None:
    with pytest.raises(MappingError, match=r"^InvalidParameterValueException: Invalid filter pattern definition\."):
        FilterCriteria([pattern], source="kinesis")


def test_a_wildcard_looks_for_each_piece_once() -> None:
    test = wildcard("*" + "a*" * (MAX_WILDCARDS - 2) + "ab*c")
    assert not test("a" * 1_000_000)
    assert test("a" * 1_000_000 + "bc")


def test_the_widest_patterns_that_are_taken() -> None:
    paths = {".".join("a" * 78) + f".{number}": ["x"] for number in range(20)}
    letters = {"k": [{"suffix": {"equals-ignore-case": "ß" * 4000}}]}
    ways = {"$or": [{"k": [number]} for number in range(300)]}
    for pattern in (paths, letters, ways):
        criteria = FilterCriteria([{"data": pattern}] * 5, source="kinesis")
        assert not criteria.matches({"kinesis": {"data": b64encode(b'{"k":"' + b"s" * 10_000 + b'"}').decode()}})


HOSTILE = [
    b"",
    b"\xff\xfe\x00",
    b"plain",
    b"null",
    b"5",
    b'{"k":' + b"9" * 10_000 + b"}",
    b'{"k":1e' + b"9" * 10_000 + b"}",
    b'{"k":0.' + b"0" * 10_000 + b"1}",
    b'{"k":NaN}',
    b'{"k":-Infinity}',
    b'{"k":"x","k":"y"}',
    b'{"__proto__":{"k":"x"},"__class__":"x"}',
    b'{"k":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    b'{"k":' + b'{"k":' * 70 + b"1" + b"}" * 71,
    b"[" * 100_000,
    b'{"k":"' + b"\\u0000" * 100_000 + b'"}',
    b'{"k":"\\ud800"}',
    b"\xef\xbb\xbf{}",
    b'{"k":[' + b"{}," * 5_000 + b"{}]}",
]

PATTERNS: list[Any] = [
    {"k": ["x", 1, None, {"numeric": [">", 0]}, {"anything-but": [1, 2]}]},
    {"k": {"k": [{"wildcard": "*x*x*"}], "j": [{"exists": False}]}},
    {"k": [{"exists": False}], "__proto__": {"k": ["x"]}},
    {"$or": [{"k": [{"cidr": "::/0"}]}, {"k": {"k": {"k": [1e300]}}}]},
]


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_record_gets_an_answer(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    for pattern in PATTERNS:
        stream = FilterCriteria([{"data": pattern}], source="kinesis")
        encoded = b64encode(data).decode()
        item = {"kinesis": {"data": encoded}}
        record = KinesisRecord(data=encoded, key="k", sequence_number="1")
        assert compile_for_kinesis(stream, SHAPE)(record) is stream.matches(item)
        assert stream.explain(item).startswith("Filter 1 matches") is stream.matches(item)
        queue = FilterCriteria([{"body": pattern}], source="sqs")
        assert compile_for_sqs(queue)(text, {}) is queue.matches({"body": text})
        assert queue.explain({"body": text}).startswith("Filter 1 matches") is queue.matches({"body": text})


def test_too_deep_matches_nothing_that_looks_inside() -> None:
    deep = '{"k":"x","o":' + "[" * 64 + "]" * 64 + "}"
    criteria = FilterCriteria([{"body": {"k": ["x"]}}], source="sqs")
    assert not criteria.matches({"body": deep})
    assert criteria.explain({"body": deep}) == (
        "No filter matches.\nFilter 1: body is nested more than 64 levels deep, or not UTF-8 throughout."
    )
    assert criteria.matches({"body": deep.replace("[]", "1")})


@pytest.mark.parametrize(
    "record",
    [
        None,
        5,
        "x",
        [],
        {},
        {"kinesis": 5},
        {"kinesis": {"data": None}},
        {"kinesis": {"data": "!"}},
        {"body": 5},
        {"dynamodb": 5},
    ],
)
def test_what_is_no_record_at_all(record: Any) -> None:
    assert not FilterCriteria([{"data": {"k": ["x"]}}], source="kinesis").matches(record)
    assert not FilterCriteria([{"body": ["x"]}, {"body": {"k": ["x"]}}], source="sqs").matches(record)
    assert not FilterCriteria([{"dynamodb": {"k": ["x"]}}], source="dynamodb").matches(record)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["k", "j", "$or", "prefix", "exists"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(JSON | st.text(max_size=30), st.binary(max_size=40) | JSON.map(json.dumps).map(str.encode))
def test_any_pattern_is_refused_or_answers(pattern: Any, data: bytes) -> None:
    try:
        criteria = FilterCriteria([pattern if isinstance(pattern, str) else {"data": pattern}], source="kinesis")
    except MappingError:
        return
    item = {"kinesis": {"data": b64encode(data).decode()}}
    assert criteria.explain(item).startswith("Filter 1 matches") is criteria.matches(item)
