from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esm.filtering.document import MAX_DEPTH, reader, sound
from esm.filtering.number import Inexact

read = reader({"k", "a.b"})


def test_only_the_keys_asked_for_are_built() -> None:
    assert read(b'{"k": [1, {"x": 2}], "o": 3, "a.b": null}') == {"k": [1, {"x": 2}], "a.b": None}
    assert read('{"o": 1}') == {}


def test_an_array_is_built_whole() -> None:
    assert read(b'[{"o": 1}, 2.5]') == [{"o": 1}, 2.5]


@pytest.mark.parametrize("data", [b"5", b'"x"', b"null", b"true", b"1e5"])
def test_a_scalar_is_no_document(data: bytes) -> None:
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
def test_what_is_no_json(data: bytes | str) -> None:
    assert read(data) is None


def test_numbers_beyond_the_decoder() -> None:
    digits = "9" * 5000
    assert read(f'{{"k": {digits}}}') == {"k": Inexact(digits)}
    assert read(f"[{digits}]".encode()) == [Inexact(digits)]
    assert read('{"k": 1e999}') == {"k": Inexact("1e999")}


def test_digits_that_a_double_loses_are_kept_where_they_matter() -> None:
    text = "0.1000000000000000055511151231257827"
    assert read(f'{{"k": {text}}}') == {"k": Inexact(text)}
    assert reader({"k"}, exact=False)(f'{{"k": {text}}}') == {"k": 0.1}
    assert reader({"k"}, exact=False)('{"k": 1e999}') == {"k": Inexact("1e999")}


def test_a_key_that_is_no_text_is_never_there() -> None:
    assert reader({"\ud800", "k"})(b'{"k": 1}') == {"k": 1}


def test_skipped_parts_are_checked_for_utf_8() -> None:
    assert read(b'{"k": 1, "o": "\xff"}') == {"k": 1}
    assert not sound(b'{"k": 1, "o": "\xff"}')
    assert sound('{"k": 1, "o": "ü"}'.encode())
    assert sound('{"k": 1, "o": "ü"}')


def nested(depth: int, inside: str = "") -> str:
    return "[" * (depth - 1) + '{"k": ' + (inside or "1") + "}" + "]" * (depth - 1)


def test_depth_has_an_end() -> None:
    assert sound(nested(MAX_DEPTH))
    assert not sound(nested(MAX_DEPTH + 1))
    assert not sound(nested(900))


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
