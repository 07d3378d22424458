"""Why a record passes a mapping's filters, or does not, in words: for a person who asks, not for logs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from esm.filtering.answers import Members
from esm.filtering.document import MAX_DEPTH, read_whole, sound
from esm.filtering.match import Matching
from esm.filtering.number import Inexact
from esm.filtering.pattern import Leaf, Pattern, Rule
from esm.filtering.view import View, look_of

__all__ = ["explanation"]

_SHOWN = 60  # characters of a value
_MOST = 6  # matchers of a leaf


def explanation(patterns: tuple[Pattern, ...], view: View, record: Any) -> str:
    """The first filter that matches, or a line for every leaf that does not. Shows values of the record, shortened."""
    if not patterns:
        return "There is no filter: every record passes."
    seen = _Seen.of(view, record)
    lines = []
    for number, pattern in enumerate(patterns, 1):
        for way, rule in enumerate(pattern.rules, 1):
            reasons = _reasons(rule, view, seen)
            if not reasons:
                return f"Filter {number} matches."
            name = f"Filter {number}" + (f", way {way} of {len(pattern.rules)}" if len(pattern.rules) > 1 else "")
            lines += [f"{name}: {reason}." for reason in reasons]
    return "\n".join(["No filter matches.", *lines])


@dataclass(frozen=True)
class _Seen:
    """A record as filters see it. `value`: the whole view, data included. `json`: whether the data is JSON."""

    value: dict[str, Any]
    json: bool
    sound: bool

    @classmethod
    def of(cls, view: View, record: Any) -> _Seen:
        value, data = view.split(record)
        text = view.unwrap(data)
        if text is None:
            return cls(value, json=False, sound=False)
        document = read_whole(text)
        if document is None:
            return cls({**value, view.data_key: text}, json=False, sound=True)
        return cls({**value, view.data_key: document}, json=True, sound=sound(text))


def _reasons(rule: Rule, view: View, seen: _Seen) -> list[str]:
    """Why the rule does not match; empty when it does."""
    mismatch = _mismatch(rule, view, seen)
    if mismatch:
        return [mismatch]
    matching = Matching([rule])
    members = matching.members(seen.value)
    if members is None:
        return ["the arrays are nested too deep"]
    if matching.met(0, members):
        return []
    unmet = [_reason(path, rule[path], seen, matching, members) for path in matching.unmet(0, members)]
    return unmet or ["each leaf is met, but not all within the same element of an array: " + ", ".join(matching.paths)]


def _mismatch(rule: Rule, view: View, seen: _Seen) -> str | None:
    """Why the data and the rule are of different kinds; `None` when they are not."""
    look, key = look_of(rule, view), view.data_key
    if look == "never":
        return f"{key} would have to be plain text and JSON at once"
    if look == "inside" and not seen.json:
        return f"{key} is not a JSON object or array, and the filter looks inside it"
    if look == "inside" and not seen.sound:
        return f"{key} is nested more than {MAX_DEPTH} levels deep, or not UTF-8 throughout"
    if look == "plain" and (seen.json or not seen.sound):
        return f"{key} is {'JSON' if seen.json else 'missing'}, and the filter expects plain text"
    return None


def _reason(path: str, leaf: Leaf, seen: _Seen, matching: Matching, members: Members) -> str:
    values = [value for value, _ in members[matching.paths.index(path)]]
    expected = " or ".join(str(matcher)[:_SHOWN] for matcher in leaf.matchers[:_MOST])
    more = len(leaf.matchers) - _MOST
    if more > 0:
        expected += f" or one of {more} more"
    return f"{path} {_found(values, path, seen.value)}, expected {expected}"


def _found(values: list[Any], path: str, value: Any) -> str:
    if not values:
        return "is an object, which only its own keys match" if _is_object(value, path) else "is missing"
    shown = ", ".join(_text(each) for each in values[:3])
    return f"is {shown}" + (f" and {len(values) - 3} more" if len(values) > 3 else "")  # noqa: PLR2004  # three are shown


def _is_object(value: Any, path: str) -> bool:
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return isinstance(value, dict)


def _text(value: Any) -> str:
    text = value.text if isinstance(value, Inexact) else json.dumps(value, ensure_ascii=False, default=repr)
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return shown if shown.isprintable() else "".join(map(_printable, shown))


def _printable(character: str) -> str:
    """Nothing of a record moves a terminal's cursor, or is more than one line."""
    return character if character.isprintable() else f"\\u{ord(character):04x}"
