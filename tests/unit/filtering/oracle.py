"""Event patterns the slow way: flatten the event, try every choice of array elements. Shares no code with the library.

A pattern is its parsed JSON (dicts, lists, scalars); it has to be valid.
"""

from __future__ import annotations

import ipaddress
import itertools
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

__all__ = ["matches"]

Rule = dict[str, list[Any]]
Places = dict[tuple[Any, ...], int]
"""For each array, by where it stands in the event, the element."""

Found = tuple[str, Any, Places]

OPERATORS = {
    "exactly",
    "equals-ignore-case",
    "prefix",
    "suffix",
    "anything-but",
    "exists",
    "wildcard",
    "numeric",
    "cidr",
}


def matches(pattern: dict[str, Any], event: Any) -> bool:
    """Whether the event matches the pattern."""
    found = list(flatten(event, (), (), {}))
    return any(rule_matches(rule, found) for rule in rules_of(pattern, "", [{}]))


def rules_of(pattern: dict[str, Any], prefix: str, rules: list[Rule]) -> list[Rule]:
    for key, value in pattern.items():
        if key == "$or" and isinstance(value, list) and len(value) > 1 and not any(OPERATORS & set(v) for v in value):
            rules = [way for each in value for way in rules_of(each, prefix, [dict(rule) for rule in rules])]
        elif isinstance(value, dict):
            rules = rules_of(value, f"{prefix}{key}.", rules)
        else:
            rules = [rule | {prefix + key: value} for rule in rules]
    return rules


def flatten(value: Any, keys: tuple[str, ...], where: tuple[Any, ...], places: Places) -> Iterator[Found]:
    """Every scalar with its path and the array elements that it stands in."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flatten(inner, (*keys, key), (*where, key), places)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            bound = places | {where: index} if isinstance(inner, (dict, list)) else places
            yield from flatten(inner, keys, (*where, index), bound)
    else:
        yield ".".join(keys), value, places


def rule_matches(rule: Rule, found: list[Found]) -> bool:
    """Takes one value, or absence, for every path in order, in every way there is."""
    chosen: list[Places] = [{}]
    for path in sorted(rule, key=lambda text: text.encode("utf-16-be")):
        here = [(value, places) for name, value, places in found if name == path]
        following = []
        for so_far in chosen:
            near = [(value, places) for value, places in here if agree(so_far, places)]
            if not near and {"exists": False} in rule[path]:
                following.append(so_far)
            following += [so_far | places for value, places in near if any(entry(e, value) for e in rule[path])]
        chosen = [places for at, places in enumerate(following) if places not in following[:at]]
    return bool(chosen)


def agree(one: Places, other: Places) -> bool:
    return all(other.get(array, index) == index for array, index in one.items())


def entry(expected: Any, value: Any) -> bool:  # noqa: PLR0911  # a table of operators, spelled out
    if not isinstance(expected, dict):
        return equal(expected, value)
    ((operator, operand),) = expected.items()
    match operator, operand:
        case "exists", _:
            return bool(operand)
        case "exactly", _:
            return type(value) is str and value == operand
        case "anything-but", {"prefix": _} | {"suffix": _} | {"wildcard": _} | {"equals-ignore-case": _}:
            ((nested, values),) = operand.items()
            each = values if isinstance(values, list) else [values]
            return not any(entry({nested: one}, value) for one in each)
        case "anything-but", _:
            each = operand if isinstance(operand, list) else [operand]
            return not any(value == one if type(one) is type(value) is str else equal(one, value) for one in each)
        case "numeric", _:
            return is_number(value) and all(
                compare(sign, value, bound) for sign, bound in zip(operand[::2], operand[1::2], strict=True)
            )
    return type(value) is str and text_entry(operator, operand, value)


def text_entry(operator: str, operand: Any, value: str) -> bool:  # noqa: PLR0911  # as above
    match operator, operand:
        case "prefix", {"equals-ignore-case": start}:
            return any(same_letters(start, value[:end]) for end in range(len(value) + 1))
        case "suffix", {"equals-ignore-case": end}:
            return any(same_letters(end, value[start:]) for start in range(len(value) + 1))
        case "equals-ignore-case", _:
            return same_letters(operand, value)
        case "wildcard", _:
            return wildcard(operand, value)
        case "cidr", _:
            try:
                return ipaddress.ip_address(value) in ipaddress.ip_network(operand, strict=False)
            except ValueError:
                return False
    return value.startswith(operand) if operator == "prefix" else value.endswith(operand)


def equal(expected: Any, value: Any) -> bool:
    if is_number(expected) and is_number(value):
        return Decimal(repr(expected)) == Decimal(repr(value))
    if type(expected) is str and type(value) is str and expected != value:
        try:
            return ipaddress.ip_address(expected) == ipaddress.ip_address(value)
        except ValueError:
            return False
    return type(expected) is type(value) and expected == value


def is_number(value: Any) -> bool:
    return type(value) in {int, float}


def compare(sign: str, value: Any, bound: Any) -> bool:
    left, right = Decimal(repr(value)), Decimal(repr(bound))
    return {"=": left == right, "<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[sign]


def same_letters(pattern: str, value: str) -> bool:
    """Tries every combination of lower and upper forms."""
    ends = {0}
    for letter in pattern:
        forms = {letter.lower(), letter.upper()}
        ends = {end + len(form) for end, form in itertools.product(ends, forms) if value[end : end + len(form)] == form}
    return len(value) in ends


def wildcard(pattern: str, value: str) -> bool:
    """Where in the value the part of the pattern read so far may end."""
    ends, at = {0}, 0
    while at < len(pattern):
        letter = pattern[at]
        if letter == "*":
            ends = set(range(min(ends), len(value) + 1)) if ends else set()
        else:
            if letter == "\\":
                at += 1
                letter = pattern[at]
            ends = {end + 1 for end in ends if value[end : end + 1] == letter}
        at += 1
    return len(value) in ends
