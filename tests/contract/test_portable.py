"""The file that positions are exported to: exact, and checked to its last field before anything is taken from it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm.errors import StoreError
from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position
from esm.records.window import Window
from esm.stores import portable
from esm.stores.portable import leases_of, lines_of

HEADER = '{"format":"esm-positions","version":1}'
ENTRY: dict[str, Any] = {
    "mapping": "m",
    "stream": "1732200000.000",
    "shard": "shardId-1",
    "parents": ["shardId-0"],
    "start": {"type": "LATEST", "at": 1_732_200_000_000, "sequence_number": None},
    "lanes": [["7"], ["0049", None]],
    "ended": False,
    "window": {"start": 0, "end": 60_000, "state": '{"n":1.50}', "terminated_early": False},
}

millis = st.integers(0, 253_402_300_799_999 - 900_000)
numbers = st.from_regex(r"\A[0-9]{1,128}\Z")
starts = st.one_of(
    st.just(Position.trim_horizon()),
    millis.map(Position.latest),
    millis.map(Position.at_timestamp),
    numbers.map(Position.after),
    st.builds(lambda at, number: Position.latest(at).begun(number), millis, numbers),
)
windows = st.builds(
    lambda start, size, state, early: Window(start, start + size, json.dumps(state), early),
    millis,
    st.integers(1, 900_000),
    st.dictionaries(st.text(), st.text()),
    st.booleans(),
)
layers = st.lists(st.lists(st.one_of(st.none(), numbers), min_size=1, max_size=4).map(tuple).map(LanePositions))
leases = st.builds(
    Lease,
    st.builds(
        LeaseKey,
        st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z"),
        st.text(),
        st.from_regex(r"\A[A-Za-oq-z0-9_.-][A-Za-z0-9_.-]{0,127}\Z"),
    ),
    st.builds(Checkpoint, starts, layers.map(tuple), st.booleans(), st.one_of(st.none(), windows)),
    st.lists(st.from_regex(r"\Ap[A-Za-z0-9_.-]{0,127}\Z"), max_size=2).map(tuple),  # none of them is a shard above
)


def text_of(*entries: dict[str, Any]) -> bytes:
    return "\n".join([HEADER, *map(json.dumps, entries)]).encode()


@given(st.lists(leases, unique_by=lambda lease: lease.key, max_size=5))
def test_there_and_back_is_the_same(positions: list[Lease]) -> None:
    lines = list(lines_of(positions))
    text = "".join(f"{line}\n" for line in lines).encode()
    assert leases_of(text) == sorted(positions, key=lambda lease: lease.key)
    assert list(lines_of(leases_of(text))) == lines


def test_the_documented_shape() -> None:
    (lease,) = leases_of(text_of(ENTRY))
    assert lease.key == LeaseKey("m", "1732200000.000", "shardId-1")
    assert lease.checkpoint.lanes == (LanePositions(("7",)), LanePositions(("0049", None)))
    assert json.loads(list(lines_of([lease]))[1]) == ENTRY
    assert portable.__doc__ is not None
    shown = re.search(r'\{"mapping".*?"window":null\}', portable.__doc__, re.DOTALL)
    assert shown is not None
    assert list(json.loads(re.sub(r"\s+", "", shown[0]))) == list(ENTRY)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("mapping", "", "mapping: expected `str` matching"),
        ("mapping", "a/b", "mapping: expected `str` matching"),
        ("mapping", 5, "mapping: expected `str`, got `int`"),
        ("shard", "../etc", "shard: expected `str` matching"),
        ("parents", ["a", "b", "c"], "parents: expected `array` of length <= 2"),
        ("parents", "shardId-0", "parents: expected `array`, got `str`"),
        ("start", {"type": "SOON", "at": None, "sequence_number": None}, "start.type: invalid enum value 'SOON'"),
        ("start", {"type": "LATEST", "at": None, "sequence_number": None}, "start.at: is needed with LATEST"),
        ("start", {"type": "TRIM_HORIZON", "at": 5, "sequence_number": None}, "start.at: is null with TRIM_HORIZON"),
        ("start", {"type": "LATEST", "at": -5, "sequence_number": None}, "start.at: expected `int` >= 0"),
        (
            "start",
            {"type": "LATEST", "at": 10**15, "sequence_number": None},
            "start.at: expected `int` <= 253402300799999",
        ),
        ("parents", ["shardId-2"], "parents: is among its own ancestors"),
        ("start", {"type": "LATEST", "at": 1.5, "sequence_number": None}, "start.at: expected `int | null`"),
        (
            "start",
            {"type": "AFTER_SEQUENCE_NUMBER", "at": None, "sequence_number": None},
            "start.sequence_number: is needed with AFTER_SEQUENCE_NUMBER",
        ),
        (
            "start",
            {"type": "AT_TIMESTAMP", "at": 5, "sequence_number": "5"},
            "start.sequence_number: is null with AT_TIMESTAMP",
        ),
        ("lanes", [["7"], [7]], "lanes[1][0]: expected `str | null`, got `int`"),
        ("lanes", [["7\n"]], "lanes[0][0]: expected `str` matching"),
        ("lanes", [["-7"]], "lanes[0][0]: expected `str` matching"),
        ("lanes", [["\u0667"]], "lanes[0][0]: expected `str` matching"),
        ("lanes", [["7" * 129]], "lanes[0][0]: expected `str` matching"),
        ("lanes", [[]], "lanes[0]: expected `array` of length >= 1"),
        ("ended", "no", "ended: expected `bool`, got `str`"),
        ("window", {"start": 0, "end": 0, "state": "{}", "terminated_early": False}, "window.end: comes after"),
        ("window", {"start": 0, "end": 1, "state": "{", "terminated_early": False}, "window.state: is the text of"),
        ("window", {"start": 0, "end": 1, "state": "[]", "terminated_early": False}, "window.state: is the text of"),
        ("owner", "a", "(line): object contains unknown field `owner`"),
    ],
)
def test_what_is_wrong_is_named_by_line_field_and_rule(field: str, value: object, said: str) -> None:
    with pytest.raises(StoreError, match=rf"^line 3: {re.escape(said)}"):
        leases_of(text_of(ENTRY, ENTRY | {"shard": "shardId-2", field: value}))


@pytest.mark.parametrize("missing", ENTRY)
def test_no_field_may_be_left_out(missing: str) -> None:
    entry = {name: value for name, value in ENTRY.items() if name != missing}
    with pytest.raises(StoreError, match=rf"^line 2: .*missing required field `{missing}`"):
        leases_of(text_of(entry))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "line 1: (line): is no JSON object"),
        (b"[]", "line 1: (line): expected `object`, got `array`"),
        (b'{"format":"esm-positions","version":2}', "line 1: version: invalid enum value 2"),
        (b'{"format":"other","version":1}', "line 1: format: invalid enum value 'other'"),
        (HEADER.encode() + b"\n\n", "line 2: (line): is no JSON object"),
        (HEADER.encode() + b"\n{", "line 2: (line): is no JSON object"),
        (HEADER.encode() + b'\n{"mapping":"\xff"}', "line 2: (line): is no JSON object"),
        (HEADER.encode() + b"\n" + b"[" * 100_000, "line 2: (line): expected `object`"),
    ],
)
def test_what_is_no_such_file_at_all(text: bytes, said: str) -> None:
    with pytest.raises(StoreError, match=rf"^{re.escape(said)}"):
        leases_of(text)


def test_the_same_shard_twice() -> None:
    with pytest.raises(StoreError, match=r"^line 4: shard: stands on line 2 already"):
        leases_of(text_of(ENTRY, ENTRY | {"stream": "another"}, ENTRY))


def test_shards_that_would_wait_for_each_other() -> None:
    parents = {"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a", "b"]}
    with pytest.raises(StoreError, match=r"^line 4: parents: is among its own ancestors"):
        leases_of(text_of(*(ENTRY | {"shard": shard, "parents": its} for shard, its in parents.items())))


@given(st.binary(max_size=200))
def test_whatever_it_is_the_answer_is_a_refusal(text: bytes) -> None:
    with pytest.raises(StoreError, match=r"^line \d+: "):
        leases_of(HEADER.encode() + b"\n{" + text)


def test_no_positions_are_a_file_too() -> None:
    assert list(lines_of([])) == [HEADER]
    assert leases_of(f"{HEADER}\n".encode()) == []
