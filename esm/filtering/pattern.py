"""Event patterns: parsed, checked, and written as rules of full paths.

A pattern is a JSON object of keys down to leaves; a leaf is an array of what the value there may be. Here it becomes
one rule, or one for each way through its `$or`s: a rule maps every full path (`dynamodb.NewImage.id.S`) to its leaf,
and matches when all its leaves do. So a key with dots is the same as nested keys, and of a key that stands twice each
leaf counts, the last one where the path is the same. (observed with EventBridge's TestEventPattern)

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from esm.filtering.number import read_float, read_int
from esm.filtering.operators import RESERVED, Matcher, Pairs, at, parse_matcher, refuse
from esm.mapping.limits import Limits

__all__ = ["MAX_DEPTH", "MAX_LEAVES", "MAX_RULES", "Leaf", "Pattern", "Rule", "parse_pattern"]

MAX_RULES = 1000
"""Ways through a pattern's `$or`s, as many as EventBridge takes.
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

MAX_DEPTH = 80
"""Steps of a path, and nested `$or`s: room for DynamoDB's 32 levels, each with its type tag. (chosen)"""

MAX_LEAVES = 10_000
"""Leaves of all of a pattern's rules together, so that a record's cost is bounded. (chosen)"""


@dataclass(frozen=True, slots=True)
class Leaf:
    """What the value at one path may be: any of `matchers`. `place` is where it stands in the pattern."""

    place: str
    matchers: tuple[Matcher, ...]


Rule = Mapping[str, Leaf]
"""Full paths and the leaves there, all of which have to match."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A checked pattern: its JSON text, and the rules of which at least one has to match."""

    text: str
    rules: tuple[Rule, ...]


_LONGEST = Limits().pattern_length


def parse_pattern(source: str | Mapping[str, Any], longest: int = _LONGEST) -> Pattern:
    """The pattern that a JSON text or a dict says, of at most `longest` characters of JSON.

    Raises:
        MappingError: `Invalid filter pattern definition.`, then the place in the pattern and what was expected there;
            the pattern's author's fault.
    """
    text = source if isinstance(source, str) else _written(source, longest)
    if len(text) > longest:
        refuse("$", f"expected at most {longest} characters of JSON, not {len(text)}")
    return Pattern(text, tuple(_Parser().rules(_read(text))))


def _written(source: Any, longest: int) -> str:
    """The JSON text of a pattern given as a dict; stops writing soon after `longest`."""
    text = ""
    try:
        for chunk in _ENCODER.iterencode(source):
            text += chunk
            if len(text) > longest:
                break
    except (TypeError, ValueError, RecursionError):
        refuse("$", "expected a dict that can be written as JSON")
    return text


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _read(text: str) -> Any:
    try:
        return json.loads(
            text, object_pairs_hook=Pairs, parse_float=read_float, parse_int=read_int, parse_constant=_refuse_constant
        )
    except json.JSONDecodeError as error:
        refuse("$", f"expected JSON; {error.msg} at line {error.lineno}, column {error.colno}")
    except RecursionError:
        refuse("$", f"expected at most {MAX_DEPTH} levels")


def _refuse_constant(constant: str) -> NoReturn:
    refuse("$", f"expected JSON, which has no {constant}")


class _Parser:
    """Walks one pattern, in the order of its text, and gathers its rules."""

    def rules(self, value: Any) -> list[dict[str, Leaf]]:
        if not isinstance(value, Pairs):
            refuse("$", "expected an object")
        return self._object(value, (), "$", [{}], 0)

    def _object(
        self, pairs: Pairs, path: tuple[str, ...], place: str, rules: list[dict[str, Leaf]], ors: int
    ) -> list[dict[str, Leaf]]:
        """The rules so far, with the leaves of this object added to each. `ors`: how many `$or`s it stands in."""
        if not pairs:
            refuse(place, "expected an object with at least one key")
        if len(path) + ors > MAX_DEPTH:
            refuse(place, f"expected at most {MAX_DEPTH} levels")
        for key, value in pairs:
            here = at(place, key)
            if key == "$or" and _is_alternatives(value):
                rules = self._alternatives(value, path, here, rules, ors + 1)
                continue
            if ors and key in RESERVED:
                refuse(here, "expected a key that is no operator's name, as everywhere inside $or")
            if isinstance(value, Pairs):
                rules = self._object(value, (*path, key), here, rules, ors)
            elif isinstance(value, list):
                _put(rules, ".".join((*path, key)), _leaf(value, here))
            else:
                refuse(here, "expected an array or an object")
        return rules

    def _alternatives(
        self, values: list[Any], path: tuple[str, ...], place: str, rules: list[dict[str, Leaf]], ors: int
    ) -> list[dict[str, Leaf]]:
        ways: list[dict[str, Leaf]] = []
        for index, value in enumerate(values):
            _check_size(place, len(ways) + len(rules), sum(map(len, ways)) + sum(map(len, rules)))
            ways += self._object(value, path, f"{place}[{index}]", [dict(rule) for rule in rules], ors)
        _check_size(place, len(ways), sum(map(len, ways)))
        return ways


def _is_alternatives(value: Any) -> bool:
    """Whether the value of `$or` makes it the operator: two objects or more, none an operator's; else it is a key."""
    return (
        isinstance(value, list)
        and not isinstance(value, Pairs)
        and len(value) > 1
        and all(isinstance(each, Pairs) and RESERVED.isdisjoint(key for key, _ in each) for each in value)
    )


def _leaf(entries: list[Any], place: str) -> Leaf:
    if not entries:
        refuse(place, "expected an array with at least one entry")
    return Leaf(place, tuple(parse_matcher(entry, f"{place}[{index}]") for index, entry in enumerate(entries)))


def _put(rules: list[dict[str, Leaf]], path: str, leaf: Leaf) -> None:
    if path.count(".") >= MAX_DEPTH:
        refuse(leaf.place, f"expected at most {MAX_DEPTH} levels, a dot in a key counting as one")
    for rule in rules:
        rule[path] = leaf
    _check_size(leaf.place, len(rules), len(rules) * len(rules[-1]))


def _check_size(place: str, rules: int, leaves: int) -> None:
    if rules > MAX_RULES:
        refuse(place, f"expected at most {MAX_RULES} combinations of $or")
    if leaves > MAX_LEAVES:
        refuse(place, f"expected at most {MAX_LEAVES} leaves over all combinations of $or")
