from __future__ import annotations

import base64
import json
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esm.handlers.context import FunctionFacts
from esm.handlers.frames import (
    FRAME_MAX,
    HEAD,
    Answer,
    Call,
    Frames,
    Garbled,
    KinesisCall,
    Start,
    call_of,
    read_answer,
    read_call,
    read_start,
    written,
)
from esm.handlers.invoker import Invocation, Raised, Returned
from esm.records.kinesis import KinesisEventShape, KinesisRecord
from esm.records.recording import RecordedKinesis

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
SHAPE = KinesisEventShape(shard_id="shard-1", event_source_arn="arn", region="eu-west-1", role_arn="role")
RECORDS = [
    KinesisRecord(base64.b64encode(b"one").decode(), "k", "1", 1_700_000_000.123),
    KinesisRecord("", "é", "2" * 56),
]


def through(message: msgspec.Struct, number: int = 7) -> tuple[bytes, bytes]:
    """Kind and body as they arrive."""
    kind, body = written(message)
    (frame,) = Frames().feed(HEAD.pack(len(body), number, kind) + body)
    assert frame == (number, kind, body)
    return kind, body


@settings(max_examples=30)
@given(JSON)
def test_whatever_json_holds_arrives_as_it_was(value: Any) -> None:
    assert read_answer(*through(Answer.of(Returned(value)))).outcome() == Returned(value)
    assert read_call(*through(Call("id", 1, {"event": value}))).built() == {"event": value}


@pytest.mark.parametrize("value", ["\ud800", {"\udfff": 1}, 1 << 80, [-(1 << 64)], ["x" * 10, "\udc00"]])
def test_what_messagepack_cannot_hold_arrives_too(value: Any) -> None:
    assert read_answer(*through(Answer.of(Returned(value)))).outcome() == Returned(value)


@pytest.mark.parametrize(
    "outcome", [Returned(None), Raised("E", "m"), Raised("E", "m", "trace\n", "app.py:1 in f"), Raised("E", "\ud800")]
)
def test_an_outcome_arrives_as_it_was(outcome: Invocation) -> None:
    assert read_answer(*through(Answer.of(outcome))).outcome() == outcome


def test_a_start_arrives_as_it_was() -> None:
    facts = FunctionFacts.of("arn:aws:lambda:eu-west-1:123456789012:function:orders", 128, 1_700_000_000_000)
    start = Start("app:handle", facts, None, "/code")
    assert read_start(*through(start, 0)) == start


def test_a_batch_of_a_kinesis_shard_travels_as_records_and_becomes_the_same_event() -> None:
    call = call_of("id", 3000, partial(SHAPE.event, RECORDS))
    assert isinstance(call, KinesisCall)
    arrived = read_call(*through(call))
    assert arrived == call
    assert arrived.built() == SHAPE.event(RECORDS)


def test_a_batch_with_text_that_is_none_travels_as_an_event() -> None:
    odd = [KinesisRecord("", "\ud800", "1")]
    arrived = read_call(*through(call_of("id", 3000, partial(SHAPE.event, odd))))
    assert isinstance(arrived, Call)
    assert arrived.built() == SHAPE.event(odd)


def test_a_batch_of_a_recording_travels_as_an_event() -> None:
    recorded = [RecordedKinesis("shard-1", "1", "k", 1.5, "")]
    arrived = read_call(*through(call_of("id", 3000, partial(SHAPE.event, recorded))))  # type: ignore[arg-type]  # of the same shape
    assert isinstance(arrived, Call)
    assert arrived.built()["Records"][0]["kinesis"]["partitionKey"] == "k"
    assert call_of("id", 1, partial(SHAPE.event, [])) == Call("id", 1, {"Records": []})


def test_any_other_event_travels_as_it_is() -> None:
    assert call_of("id", 1, {"a": 1}) == Call("id", 1, {"a": 1})
    assert call_of("id", 1, lambda: {"a": 1}) == Call("id", 1, {"a": 1})
    assert call_of("id", 1, partial(dict, a=1)) == Call("id", 1, {"a": 1})


@given(st.lists(st.binary(max_size=40)), st.data())
def test_frames_are_found_however_they_come_in_pieces(bodies: list[bytes], data: st.DataObject) -> None:
    sent = b"".join(HEAD.pack(len(body), number, b"m") + body for number, body in enumerate(bodies))
    frames, found = Frames(), []
    while sent:
        size = data.draw(st.integers(1, len(sent)))
        found += list(frames.feed(sent[:size]))
        sent = sent[size:]
    assert found == [(number, b"m", body) for number, body in enumerate(bodies)]


def test_an_impossible_length_is_refused_at_once() -> None:
    with pytest.raises(Garbled):
        list(Frames().feed(HEAD.pack(FRAME_MAX + 1, 1, b"m")))


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (b"p", b"x"),
        (b"m", b"\xc1"),
        (b"m", b""),
        (b"m", msgspec.msgpack.encode([1])),
        (b"m", msgspec.msgpack.encode({"value": 1})),
        (b"j", b"{"),
        (b"j", b"\xff"),
        (b"j", json.dumps([1]).encode()),
        (b"j", b"[" * 100_000),
        (b"r", msgspec.msgpack.encode([None])),
    ],
)
def test_a_body_that_is_none_is_garbled(kind: bytes, body: bytes) -> None:
    with pytest.raises(Garbled):
        read_answer(kind, body)


@given(st.binary(max_size=80))
def test_no_bytes_at_all_raise_anything_else(data: bytes) -> None:
    frames = Frames()
    try:
        for _, kind, body in frames.feed(data):
            read_answer(kind, body)
    except Garbled:
        pass
