"""One entry of a pattern's array: a plain value, or an object with one operator.

Operators: https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html and, beyond Lambda's own table,
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from esm.errors import MappingError
from esm.filtering.address import network
from esm.filtering.number import Inexact, comparable
from esm.filtering.wildcard import WildcardError, pieces

__all__ = ["RESERVED", "Matcher", "Pairs", "Range", "at", "parse_matcher", "refuse"]

_REFUSED = "Invalid filter pattern definition."

RESERVED = frozenset(
    {
        "exactly",
        "equals-ignore-case",
        "prefix",
        "suffix",
        "anything-but",
        "exists",
        "wildcard",
        "numeric",
        "cidr",
        "=",
        "<",
        "<=",
        ">",
        ">=",
        "regex",
        "not-wildcard",
        "not-equals-ignore-case",
        "date-after",
        "date-on-or-after",
        "date-before",
        "date-on-or-before",
        "in-date-range",
        "ip-address-in-range",
        "ip-address-not-in-range",
    }
)
"""Names that no key inside an `$or` may have: EventBridge keeps them for its operators, some of them to come."""


class Pairs(list[tuple[str, Any]]):
    """A JSON object as it stands in the text: keys in order, the same key possibly twice."""


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`; `None` is no bound, `open_*` leaves the bound itself out."""

    low: float | None
    high: float | None
    open_low: bool = False
    open_high: bool = False

    def __str__(self) -> str:
        """The range in comparison signs."""
        if self.low == self.high:
            return f"= {self.low}"
        low = "" if self.low is None else f"{'>' if self.open_low else '>='} {self.low}"
        high = "" if self.high is None else f"{'<' if self.open_high else '<='} {self.high}"
        return " and ".join(filter(None, (low, high)))


@dataclass(frozen=True, slots=True)
class Matcher:
    """One thing that a value may be.

    `operator`: AWS's word, `equals` for a plain value, two words for a nested operator (`prefix equals-ignore-case`,
    `anything-but prefix`). `operand`: a JSON scalar, a `Range`, or a tuple of the values of `anything-but`.
    """

    operator: str
    operand: Any

    def __str__(self) -> str:
        """The entry in words, for messages."""
        if self.operator == "equals":
            return _text(self.operand)
        if self.operator == "exists":
            return "any value" if self.operand else "no value"
        if isinstance(self.operand, tuple):
            return f"{self.operator} {', '.join(map(_text, self.operand))}"
        return f"{self.operator} {self.operand if isinstance(self.operand, Range) else _text(self.operand)}"


def _text(value: Any) -> str:
    return value.text if isinstance(value, Inexact) else json.dumps(value, ensure_ascii=False)


def refuse(place: str, problem: str) -> NoReturn:
    """Refuse the pattern with AWS's words, then the place in it and what was expected there."""
    raise MappingError(f"{_REFUSED} At {place}: {problem}.", field="filter_criteria")


def at(place: str, step: str) -> str:
    """The place of a key below `place`."""
    if step.replace("-", "_").replace("$", "_").isidentifier() and len(step) <= 60:  # noqa: PLR2004  # fits a message
        return f"{place}.{step}"
    return f"{place}[{json.dumps(step[:60], ensure_ascii=not step.isprintable())}]"


def parse_matcher(entry: Any, place: str) -> Matcher:
    """The matcher that one entry of a leaf's array says.

    Raises:
        MappingError: the entry is not a value or an operator; the pattern's author's fault.
    """
    if isinstance(entry, Pairs):
        operator, operand = _only_pair(entry, place)
        parse = _OPERATORS.get(operator)
        if parse is None:
            refuse(at(place, operator), f"expected one of {', '.join(sorted(_OPERATORS))}")
        return parse(operator, operand, at(place, operator))
    if isinstance(entry, list):
        refuse(place, "expected a string, number, true, false, null or an operator, not an array")
    return Matcher("equals", entry)


def _only_pair(pairs: Pairs, place: str) -> tuple[str, Any]:
    if len(pairs) != 1:
        refuse(place, f"expected an object with exactly one operator, not {len(pairs)}")
    return pairs[0]


def _string(operator: str, operand: Any, place: str) -> Matcher:
    if not isinstance(operand, str):
        refuse(place, f"expected a string, not {_kind(operand)}")
    return Matcher(operator, operand)


def _affix(operator: str, operand: Any, place: str) -> Matcher:
    if not isinstance(operand, Pairs):
        return _string(operator, operand, place)
    nested, value = _only_pair(operand, place)
    if nested != "equals-ignore-case":
        refuse(at(place, nested), "expected equals-ignore-case, the only operator inside prefix and suffix")
    return _string(f"{operator} {nested}", value, at(place, nested))


def _wildcard(operator: str, operand: Any, place: str) -> Matcher:
    matcher = _string(operator, operand, place)
    try:
        pieces(operand)
    except WildcardError as error:
        refuse(place, str(error))
    return matcher


def _cidr(operator: str, operand: Any, place: str) -> Matcher:
    matcher = _string(operator, operand, place)
    try:
        network(operand)
    except ValueError as error:
        refuse(place, f"expected an address block such as 10.0.0.0/8 or 2001:db8::/32; {error}")
    return matcher


def _exists(operator: str, operand: Any, place: str) -> Matcher:
    if not isinstance(operand, bool):
        refuse(place, f"expected true or false, not {_kind(operand)}")
    return Matcher(operator, operand)


def _numeric(operator: str, operand: Any, place: str) -> Matcher:
    if not isinstance(operand, list) or isinstance(operand, Pairs):
        refuse(place, f'expected an array such as [">", 0, "<=", 5], not {_kind(operand)}')
    signs, bounds = operand[::2], operand[1::2]
    for index, sign in enumerate(signs):
        if sign not in _next_signs(signs[:index]):
            refuse(f"{place}[{2 * index}]", _expected_sign(signs[:index]))
        if index >= len(bounds):
            refuse(f"{place}[{2 * index}]", "expected a number behind every comparison sign")
        _bound(bounds[index], f"{place}[{2 * index + 1}]")
    if not signs:
        refuse(place, _expected_sign([]))
    return Matcher(operator, _range(signs, bounds, place))


_LOW, _HIGH = (">", ">="), ("<", "<=")


def _next_signs(signs: list[str]) -> tuple[str, ...]:
    """What may stand behind these signs: behind a lower bound an upper one, behind all else nothing."""
    if not signs:
        return ("=", *_LOW, *_HIGH)
    return _HIGH if len(signs) == 1 and signs[0] in _LOW else ()


def _expected_sign(signs: list[str]) -> str:
    choice = _next_signs(signs)
    return f"expected one of {' '.join(choice)}" if choice else "expected the end of the array"


def _bound(value: Any, place: str) -> None:
    if comparable(value) is None:
        refuse(place, "expected a number that a double holds without loss")


def _range(signs: list[str], bounds: list[float], place: str) -> Range:
    if signs[0] == "=":
        return Range(bounds[0], bounds[0])
    if signs[0] in _HIGH:
        return Range(None, bounds[0], open_high=signs[0] == "<")
    if len(signs) == 1:
        return Range(bounds[0], None, open_low=signs[0] == ">")
    if bounds[0] >= bounds[1]:
        refuse(f"{place}[3]", "expected an upper bound above the lower one")
    return Range(bounds[0], bounds[1], open_low=signs[0] == ">", open_high=signs[1] == "<")


def _anything_but(operator: str, operand: Any, place: str) -> Matcher:
    if isinstance(operand, Pairs):
        nested, value = _only_pair(operand, place)
        if nested not in _EXCLUDABLE:
            refuse(at(place, nested), f"expected one of {', '.join(_EXCLUDABLE)}")
        return _anything_but_nested(nested, value, at(place, nested))
    values = operand if isinstance(operand, list) else [operand]
    if not values or not (all(isinstance(v, str) for v in values) or all(comparable(v) is not None for v in values)):
        refuse(place, "expected a string or a number, or a non-empty array of strings or of numbers, unmixed")
    return Matcher(operator, tuple(values))


_EXCLUDABLE = ("equals-ignore-case", "prefix", "suffix", "wildcard")


def _anything_but_nested(nested: str, operand: Any, place: str) -> Matcher:
    values = operand if isinstance(operand, list) and not isinstance(operand, Pairs) else [operand]
    if not values:
        refuse(place, "expected a string or a non-empty array of strings")
    for value in values:
        _OPERATORS["wildcard" if nested == "wildcard" else "exactly"]("", value, place)
        if not value and nested in {"prefix", "suffix"}:
            refuse(place, "expected a string that is not empty")
    return Matcher(f"anything-but {nested}", tuple(values))


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "an object" if isinstance(value, Pairs) else "an array"
    names = {str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


_OPERATORS: dict[str, Callable[[str, Any, str], Matcher]] = {
    "exactly": _string,
    "equals-ignore-case": _string,
    "prefix": _affix,
    "suffix": _affix,
    "anything-but": _anything_but,
    "exists": _exists,
    "wildcard": _wildcard,
    "numeric": _numeric,
    "cidr": _cidr,
}
