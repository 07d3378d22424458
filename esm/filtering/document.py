"""A record's data as JSON: only as much of it is built as patterns look at.

JSON here is an object or an array. What parses to a bare string, number, boolean or null is taken as plain text, which
AWS does not document. (chosen) A key that an object has twice counts once, the last one. (chosen)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec

from esm.filtering.number import read_float, read_int

__all__ = ["MAX_DEPTH", "Reader", "read_nothing", "read_whole", "skimmer", "sound"]

MAX_DEPTH = 64
"""Arrays and objects within each other; data nested deeper matches no pattern that looks inside it. (chosen)"""

Reader = Callable[[bytes | str], Any]
"""Gives the JSON object or array that data holds, as a dict, a list or a struct; `None` when it holds none."""

_WHOLE = msgspec.json.Decoder(float_hook=read_float)


def skimmer(kind: type[msgspec.Struct], *, exact: bool) -> Reader:
    """A reader that builds such a struct of a top-level object; what it cannot say is read whole.

    `exact`: whether it matters that a number loses digits as a double; it costs time for every one that has a point.
    """
    decode = msgspec.json.Decoder(kind, float_hook=read_float if exact else None).decode

    def read(data: bytes | str) -> Any:
        try:
            return decode(data)
        except msgspec.ValidationError:  # not an object, or something that the decoder or the struct does not hold
            return read_whole(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None

    return read


def read_whole(data: bytes | str) -> dict[str, Any] | list[Any] | None:
    """A reader that builds all there is."""
    try:
        value = _WHOLE.decode(data)
    except msgspec.ValidationError:
        value = _read_any_number(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return value if isinstance(value, (dict, list)) else None


def _read_any_number(data: bytes | str) -> Any:
    """The slow way, for integers of thousands of digits."""
    try:
        text = data if isinstance(data, str) else str(data, "utf-8")
        return json.loads(text, parse_float=read_float, parse_int=read_int, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


read_nothing = skimmer(msgspec.defstruct("Skipped", []), exact=False)
"""A reader that tells an object from what is none, and builds nothing of it."""


def sound(data: bytes | str) -> bool:
    """Whether parsed JSON is UTF-8 throughout and not too deep: what a reader that skips does not see."""
    if isinstance(data, str):  # what is no UTF-8 was refused by the reader
        data = data.encode()
    elif not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError:
            return False
    # CPython counts byte by byte, and looks for what it takes out with `memchr`: in a third of the time.
    shut = data.replace(b"{", b"", MAX_DEPTH + 1).replace(b"[", b"", MAX_DEPTH + 1)
    return len(data) - len(shut) <= MAX_DEPTH or _depth(data) <= MAX_DEPTH


_BRACKETS = bytes.maketrans(b"{}", b"[]")
_OTHERS = bytes(set(range(256)) - set(b"[]{}"))


def _depth(data: bytes) -> int:
    """How deep valid JSON is nested, at most one above the limit: strings out, then innermost pairs, level by level."""
    outside = b"".join(data.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    brackets = outside.translate(_BRACKETS, _OTHERS)
    depth = 0
    while brackets and depth <= MAX_DEPTH:
        brackets = brackets.replace(b"[]", b"")
        depth += 1
    return depth
