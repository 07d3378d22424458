from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esm.filtering.criteria import FilterCriteria, compile_for_sqs
from esm.filtering.document import MAX_DEPTH, Reader, read_nothing, read_whole, skimmer, sound
from esm.filtering.number import Inexact

Kept = msgspec.defstruct("Kept", [("k", Any)])


@pytest.fixture(params=["whole", "skimmed"])
def read(request: pytest.FixtureRequest) -> Reader:
    return {"whole": read_whole, "skimmed": skimmer(Kept, exact=True)}[request.param]


def test_only_the_keys_asked_for_are_built() -> None:
    assert skimmer(Kept, exact=True)('{"k": [1, {"x": 2}], "o": 3}') == Kept([1, {"x": 2}])
    assert read_nothing('{"k": [1, {"x": 2}], "o": 3}') == type(read_nothing("{}"))()
    assert read_whole('{"k": [1, {"x": 2}], "o": 3}') == {"k": [1, {"x": 2}], "o": 3}


@pytest.mark.parametrize("key", ["\u00e9", "\u65e5\u672c", "\U0001f600", ""])
def test_a_key_in_any_script_is_read(key: str) -> None:
    """The decoder would take a dict's key beyond ASCII for an empty one."""
    pattern, body = {key: ["x"]}, json.dumps({"": 1, key: "x"}, ensure_ascii=False)
    for filters in ([pattern], [pattern, {"o": {'"': ["y"]}}]):
        criteria = FilterCriteria([{"body": each} for each in filters], source="sqs")
        assert compile_for_sqs(criteria)(body, {})
        assert criteria.explain({"body": body}) == "Filter 1 matches."


def test_an_array_is_built_whole(read: Reader) -> None:
    assert read(b'[{"o": 1}, 2.5]') == [{"o": 1}, 2.5]


@pytest.mark.parametrize("data", [b"5", b'"x"', b"null", b"true", b"1e5"])
def test_a_scalar_is_no_document(read: Reader, data: bytes) -> None:
    assert read(data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"plain",
        b'{"k": 1',
        b'{"k": NaN}',
        b'{"k": "\xff"}',
        b'{"k": 01}',
        b'{"k": 1} x',
        b"[1",
        b'["\xff"]',
        b'{"o": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
        b"[" * 200_000 + b"]" * 200_000,
        b'{"k": ' + b"9" * 5000 + b', "o": NaN}',
        b'{"k": ' + b"9" * 5000 + b', "o": "\xff"}',
        "\ud800",
        '{"k": "\ud800"}',
    ],
)
def test_what_is_no_json(read: Reader, data: bytes | str) -> None:
    assert read(data) is None


@pytest.mark.parametrize("text", ["9" * 5000, "1e999"])
def test_numbers_beyond_the_decoder(text: str) -> None:
    assert read_whole(f'{{"k": {text}}}') == {"k": Inexact(text)}
    assert read_whole(f"[{text}]".encode()) == [Inexact(text)]


def test_digits_that_a_double_loses_are_kept_where_they_matter() -> None:
    text = "0.1000000000000000055511151231257827"
    assert skimmer(Kept, exact=True)(f'{{"k": {text}}}') == Kept(Inexact(text))
    assert skimmer(Kept, exact=False)(f'{{"k": {text}}}') == Kept(0.1)
    assert skimmer(Kept, exact=False)('{"k": 1e999}') == {"k": Inexact("1e999")}


def test_skipped_parts_are_checked_for_utf_8() -> None:
    assert skimmer(Kept, exact=True)(b'{"k": 1, "o": "\xff"}') == Kept(1)
    assert not sound(b'{"k": 1, "o": "\xff"}')
    assert sound('{"k": 1, "o": "ü"}'.encode())
    assert sound('{"k": 1, "o": "ü"}')


def nested(depth: int, inside: str = "") -> str:
    return "[" * (depth - 1) + '{"k": ' + (inside or "1") + "}" + "]" * (depth - 1)


def test_depth_has_an_end() -> None:
    assert sound(nested(MAX_DEPTH))
    assert not sound(nested(MAX_DEPTH + 1))
    assert not sound(nested(900))
    for one in ("[", "]"), ('{"k":', "}"):  # of one kind alone, and as both kinds of data
        for depth in (MAX_DEPTH, MAX_DEPTH + 1):
            text = one[0] * depth + ("1" if one[0] != "[" else "") + one[1] * depth
            assert sound(text) is sound(text.encode()) is (depth == MAX_DEPTH)


def test_brackets_in_texts_are_no_depth() -> None:
    assert sound(json.dumps({"k": "[" * 1000, "]\\": '\\"{{' * 500}))
    hiding = ",".join(["[", "]"] * 40)
    assert not sound(nested(MAX_DEPTH, f'["]", {json.dumps(hiding)}]'))


def depth(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(50, 75),
    st.recursive(
        st.text(alphabet='[]{}"\\x', max_size=6),
        lambda v: st.lists(v) | st.dictionaries(st.text('{"\\', max_size=2), v),
    ),
)
def test_depth_is_counted_exactly(above: int, value: object) -> None:
    for _ in range(above):
        value = [value, {}]
    assert sound(json.dumps(value)) is (depth(value) <= MAX_DEPTH)
