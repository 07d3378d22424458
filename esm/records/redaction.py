"""Takes values out of records before they are written down, by JSON path.

A path begins at the decoded data: what the JSON text of a Kinesis record or of a message's body holds, or the change of
a DynamoDB record (`Keys`, `NewImage`, `OldImage`). `$.card.number`, `$['card number']`, `$.lines[0]`,
`$.lines[*].price`, `$.*`, `$..email` (at any depth, also in JSON text within text, as in what SNS hands on). What a
path names keeps its shape: text becomes `[redacted]`, a number 0, `true` becomes `false`, and so inside of objects and
lists; DynamoDB's type tags stay. Data that is no JSON is taken out as a whole, and so is a lone number or text.
Partition keys, message attributes and the names within objects stay.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from decimal import Decimal
from hashlib import md5
from typing import Any

import msgspec

from esm.records.recording import RecordedChange, RecordedKinesis, RecordedLine

__all__ = ["REDACTED", "Redaction"]

REDACTED = "[redacted]"
"""What stands where there was text."""

_STEP = re.compile(
    r"""\.\.(?P<deep>[^.\[\]*'"$@?()\s]+) | \.(?P<name>[^.\[\]*'"$@?()\s]+)
      | \[(?:'(?P<quoted>[^']*)'|"(?P<double>[^"]*)")\] | \[(?P<index>\d{1,9})\] | (?P<all>\.\*|\[\*\])""",
    re.VERBOSE,
)
_ANY = object()
_read = msgspec.json.Decoder(float_hook=Decimal).decode
_write = msgspec.json.Encoder(decimal_format="number").encode
_DEEPEST = 200
"""Levels of nesting in data that is looked into; what is deeper is taken out (chosen)."""

_TAGGED = {"N": "0", "NS": "0", "B": "", "BS": ""}
"""What stands under DynamoDB's tags whose text is no free one."""

_Step = tuple[bool, Any]
"""Whether it goes to any depth, and a key, an index or `_ANY`."""


class Redaction:
    """What is to be taken out. `paths`: as they were given. Raises `ValueError` for one that is no path."""

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = tuple(paths)
        self._parsed = [_parse(path) for path in self.paths]

    def applied(self, record: RecordedLine) -> RecordedLine:
        """The record without it; the same object when there is nothing to take out."""
        if not self.paths:
            return record
        if isinstance(record, RecordedKinesis):
            data = b64encode(self._text(_decoded(record.data))).decode()
            return msgspec.structs.replace(record, data=data)
        if isinstance(record, RecordedChange):
            return self._change(record)
        body = self._text(record.body.encode()).decode()
        # Whoever checks the sum of what the file holds finds it right.
        return msgspec.structs.replace(
            record, body=body, md5_of_body=md5(body.encode(), usedforsecurity=False).hexdigest()
        )

    def _text(self, text: bytes | None) -> bytes:
        """The JSON text without it; what is no JSON, or no text at all, goes as a whole."""
        try:
            value = None if text is None else _read(text)
            if isinstance(value, dict | list):  # a scalar is plain text to Lambda, a card's number perhaps
                return _write(self._value(value, tagged=False))
        except (msgspec.MsgspecError, ValueError, RecursionError):
            pass
        return REDACTED.encode()

    def _change(self, record: RecordedChange) -> RecordedChange:
        names = {"keys": "Keys", "new_image": "NewImage", "old_image": "OldImage"}
        there = {field: raw for field in names if (raw := getattr(record, field))}
        value = self._value({names[field]: _read(raw) for field, raw in there.items()}, tagged=True)
        return msgspec.structs.replace(record, **{field: msgspec.Raw(_write(value[names[field]])) for field in there})

    def _value(self, value: Any, *, tagged: bool) -> Any:
        for steps in self._parsed:
            value = _without(value, steps, tagged=tagged)
        return value


def _parse(path: str) -> list[_Step]:
    steps: list[_Step] = []
    at = 1
    while path[:1] == "$" and (found := _STEP.match(path, at)):
        at = found.end()
        names = found.groupdict()
        if names["all"]:
            steps.append((False, _ANY))
        elif names["index"] is not None:
            steps.append((False, int(names["index"])))
        else:
            name = next(names[kind] for kind in ("deep", "name", "quoted", "double") if names[kind] is not None)
            steps.append((names["deep"] is not None, name))
    if at != len(path) or path[:1] != "$":
        msg = f"{path!r} is no JSON path that can be redacted: $, then .name, ['name'], [0], [*], .* or ..name"
        raise ValueError(msg)
    return steps


def _without(value: Any, steps: Sequence[_Step], *, tagged: bool, depth: int = 0, tag: str = "") -> Any:
    """The value with what the steps lead to blotted out. `tag`: the name it stands under, in a tagged value."""
    if not steps or depth > _DEEPEST:
        return _blot(value, tag, tagged=tagged, depth=depth)
    deep, wanted = steps[0]

    def entered(name: str | int, inner: Any) -> Any:
        tag = name if tagged and isinstance(name, str) else ""
        if wanted is _ANY or name == wanted:
            inner = _without(inner, steps[1:], tagged=tagged, depth=depth + 1, tag=tag)
        return _without(inner, steps, tagged=tagged, depth=depth + 1, tag=tag) if deep else inner

    if isinstance(value, dict):
        return {name: entered(name, inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [entered(index, inner) for index, inner in enumerate(value)]
    return _within(value, steps, depth) if deep and isinstance(value, str) else value


def _within(text: str, steps: Sequence[_Step], depth: int) -> str:
    """Text that is JSON itself, as of what SNS hands on, without what any depth of it holds."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        inner = _read(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return text
    return _write(_without(inner, steps, tagged=False, depth=depth + 1)).decode()


def _blot(value: Any, tag: str, *, tagged: bool, depth: int) -> Any:
    """The same shape without its content."""
    if depth > 2 * _DEEPEST:
        return REDACTED
    if isinstance(value, dict):
        return {
            name: _blot(inner, name if tagged else "", tagged=tagged, depth=depth + 1) for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_blot(inner, tag, tagged=tagged, depth=depth + 1) for inner in value]
    if isinstance(value, str):
        return _TAGGED.get(tag, REDACTED)
    if isinstance(value, bool):
        return False
    return 0 if isinstance(value, int | float | Decimal) else value


def _decoded(data: str) -> bytes | None:
    try:
        return b64decode(data, validate=True)
    except ValueError:
        return None
