"""What is seldom asked of a value, and so is not written for each rule: arrays of scalars, absence among elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from msgspec import Struct

from esm.filtering.leaf import Test
from esm.filtering.skim import MISSING

__all__ = ["SCALARS", "Get", "Kind", "PlainTest", "Presence", "chooser", "other_test", "presence_test", "scalars_test"]

Get = Callable[[Any], Any]
"""Gets the value that an object has at a key; `MISSING` for none, `AttributeError` where it is no such object."""

PlainTest = Callable[[Any], bool | None]
"""Whether a value matches; `None` when something stands in the way that only a full search can tell."""

SCALARS = frozenset({str, int, float, bool, type(None)})
"""What nearly all of them are; the others stand for numbers that a double does not hold."""


class Kind(NamedTuple):
    """What objects at a place are: such structs, or dicts with none of the `dotted` keys, which spell a path."""

    type: type
    dotted: frozenset[str]

    def holds(self, value: Any) -> bool:
        """Whether it is one of them."""
        kind: Any = type(value)
        return kind is self.type and (not self.dotted or self.dotted.isdisjoint(value))


class Presence(NamedTuple):
    """A leaf that takes absence: `has` tells whether an object has a value there, `near` what stands on the way."""

    has: PlainTest
    near: Get | None


def other_test(on_scalar: Test, on_array: PlainTest, *, on_object: bool | None, missing: bool) -> PlainTest:
    """Whether whatever stands at a place will do."""

    def test(value: Any) -> bool | None:
        if value is MISSING:
            return missing
        if isinstance(value, list):
            return on_array(value)
        return on_object if isinstance(value, (dict, Struct)) else on_scalar(value)

    return test


def scalars_test(fits: Test, *, absent: bool) -> PlainTest:
    """Whether a scalar in the array fits; `absent`: no scalar will do, too."""

    def test(elements: list[Any]) -> bool | None:
        answer: bool | None = absent
        for element in elements:
            if type(element) in SCALARS or not isinstance(element, (dict, list, Struct)):
                if fits(element):
                    return True
                answer = answer and False
            elif isinstance(element, list):
                answer = None
        return answer

    return test


def presence_test(kind: Kind, get: Get, below: PlainTest | None) -> PlainTest:
    """Whether an object has a value where `get` gets it, or, `below` that, where the next of such tests looks."""
    among = scalars_test(_always, absent=False) if below is None else partial(_any_has, below)

    def test(value: Any) -> bool | None:
        if not kind.holds(value):
            return None
        inner = get(value)
        if inner is MISSING:
            return False
        if isinstance(inner, list):
            return among(inner)
        if isinstance(inner, (dict, Struct)):
            return below is not None and below(inner)
        return below is None

    return test


def _any_has(has: PlainTest, elements: list[Any]) -> bool | None:
    answer: bool | None = False
    for element in elements:
        there = _of_element(has, element)
        if there:
            return True
        answer = answer if there is False else None
    return answer


def chooser(presences: Sequence[Presence], empty: Any) -> Callable[[list[Any]], list[Any] | None]:
    """The elements that have a value for the first of these leaves that any has one for; none of them: none has any.

    `None` when only a full search can tell. `presences`: in the order of their paths. `empty`: an object of no values.
    """

    def choose(elements: list[Any]) -> list[Any] | None:
        some = [element for element in elements if element != empty]
        for presence in presences:
            having = _having(presence, some)
            if having is None or having:
                return having
        return []

    return choose


def _having(presence: Presence, elements: list[Any]) -> list[Any] | None:
    has, near = presence
    try:
        likely = elements if near is None else [element for element in elements if near(element) is not MISSING]
    except AttributeError:  # an element that is no struct
        likely = elements
    having = []
    for element in likely:
        there = _of_element(has, element)
        if there:
            having.append(element)
        elif there is None:
            return None
    return having


def _of_element(has: PlainTest, element: Any) -> bool | None:
    return has(element) if isinstance(element, (Struct, dict)) else None if isinstance(element, list) else False


def _always(_value: Any) -> bool:
    return True
