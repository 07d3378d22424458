"""The fast test of an array: one element has to meet all leaves below it, and scalars in it count by themselves.

Exact, also where leaves take absence. Leaves are taken in the order of their paths, and a value is missing when it is
missing in the element that the leaves before have chosen. So the first leaf that any element has a value for chooses
among those elements; the leaves before it are met by all, and those behind it are asked of the element chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple

from msgspec import Struct

from esm.filtering.leaf import Test, anything
from esm.filtering.skim import MISSING

__all__ = ["SCALARS", "Get", "Hurdle", "Kind", "PlainTest", "Presence", "objects_test", "presence_test", "scalars_test"]

Get = Callable[[Any], Any]
"""Gets the value that stands somewhere below; `MISSING` for none, `AttributeError` where it cannot say."""

PlainTest = Callable[[Any], bool | None]
"""Whether a value matches; `None` when something stands in the way that only a full search can tell."""

SCALARS = frozenset({str, int, float, bool, type(None)})


class Kind(NamedTuple):
    """What objects at a place are: such structs, or dicts with none of the `dotted` keys, which spell a path."""

    type: type
    dotted: frozenset[str]

    def holds(self, value: Any) -> bool:
        """Whether it is one of them."""
        kind: Any = type(value)
        return kind is self.type and (not self.dotted or self.dotted.isdisjoint(value))


class Presence(NamedTuple):
    """A leaf that takes absence: `has` tells whether an element has a value there, `near` what stands on the way."""

    has: PlainTest
    near: Get | None


class Hurdle(NamedTuple):
    """What is asked first, of all elements at once: whether the text there is one of a few."""

    get: Get
    texts: frozenset[str]


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
    among = scalars_test(anything, absent=False) if below is None else _any(below, ())

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


def objects_test(
    inside: PlainTest, hurdles: Iterable[Hurdle], leading: Iterable[Presence], *, empty: Any, optional: bool
) -> PlainTest:
    """Whether an object in the array meets all that is asked for below it.

    `hurdles`: what some of the leaves ask. `leading`: the leaves that take absence, in the order of their paths, up to
    the first that does not. `empty`: an object without values. `optional`: whether all leaves take absence, so that
    nothing will do, too.
    """
    any_meets = _any(inside, tuple(hurdles))
    presences = tuple(leading)
    if not presences:
        return any_meets

    def test(elements: list[Any]) -> bool | None:
        some = elements if len(presences) == 1 else [element for element in elements if element != empty]
        for presence in presences:
            having = _having(presence, some)
            if having is None:
                return None
            if having:
                return any_meets(having)
        return optional or any_meets(elements)

    return test


def _having(presence: Presence, elements: list[Any]) -> list[Any] | None:
    """The elements that have a value there; `None` when only a full search can tell."""
    has, near = presence
    likely = elements
    try:
        if near is not None:
            values = [*map(near, elements)]
            if values.count(MISSING) == len(values):
                return []
            likely = [element for element, value in zip(elements, values, strict=True) if value is not MISSING]
    except AttributeError:  # an element that is no struct, or has an array on the way
        pass
    having = []
    for element in likely:
        there = _of_element(has, element)
        if there:
            having.append(element)
        elif there is None:
            return None
    return having


def _any(inside: PlainTest, hurdles: tuple[Hurdle, ...]) -> PlainTest:
    one_by_one = _any_of(partial(_of_element, inside))
    if not hurdles:
        return one_by_one
    *before, (last, last_texts) = hurdles

    def test(elements: list[Any]) -> bool | None:
        likely = elements
        try:
            for get, texts in before:
                likely = [element for element in likely if get(element) in texts]
            for element in likely:
                if last(element) in last_texts:  # a struct
                    met = inside(element)
                    if met:
                        return True
                    if met is None:
                        break
            else:
                return False
        except (AttributeError, TypeError):  # as above, or the value there is itself an array or an object
            pass
        return one_by_one(elements)

    return test


def _any_of(meets: PlainTest) -> PlainTest:
    def test(elements: list[Any]) -> bool | None:
        answer: bool | None = False
        for element in elements:
            met = meets(element)
            if met:
                return True
            if met is None:
                answer = None
        return answer

    return test


def _of_element(test: PlainTest, element: Any) -> bool | None:
    return test(element) if isinstance(element, (Struct, dict)) else None if isinstance(element, list) else False
