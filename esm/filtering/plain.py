"""The fast test of one rule: for values in which no key with dots and no involved array stands in its way.

Nearly all records are so. Each leaf is asked where it stands, and the first that is not met ends the test. An array is
involved when arrays stand directly in it, or when below it the rule asks for absence, or for scalars and objects both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from msgspec import Struct

from esm.filtering import skim
from esm.filtering.leaf import Test
from esm.filtering.skim import MISSING, Keys, Structs

__all__ = ["PlainLeaf", "PlainTest", "plain_test"]

PlainTest = Callable[[Any], bool | None]
"""Whether a value matches; `None` when something stands in the way that only a full search can tell."""


class PlainLeaf(NamedTuple):
    """One leaf: the steps of its path, its test, whether it takes absence.

    `texts`: what its value may be when that is one of a few texts and nothing else.
    """

    steps: list[str]
    test: Test
    absent: bool
    texts: frozenset[str] | None = None


@dataclass(slots=True)
class _Branch:
    """What a rule asks for at one place: a test of the value, `absent` for none, and what it asks for below."""

    test: Test | None = None
    absent: bool = True
    texts: frozenset[str] | None = None
    below: dict[str, _Branch] = field(default_factory=dict)

    def only(self) -> frozenset[str] | None:
        """The texts of which one has to stand there; `None` when something else may, or keys below are asked for."""
        return None if self.below else self.texts

    def optional(self) -> bool:
        """Whether all of it is met when there is nothing."""
        return self.absent and all(branch.optional() for branch in self.below.values())

    def strict(self) -> bool:
        """Whether no leaf of it is met when there is nothing."""
        return (self.test is None or not self.absent) and all(branch.strict() for branch in self.below.values())


def plain_test(leaves: Iterable[PlainLeaf], keys: Keys, structs: Structs, root: tuple[str, ...] = ()) -> PlainTest:
    """The test of a rule, for the value at `root`, whose objects are such structs, and else dicts."""
    top = _Branch()
    for leaf in leaves:
        branch = top
        for step in leaf.steps[len(root) :]:
            branch = branch.below.setdefault(step, _Branch())
        branch.test, branch.absent, branch.texts = leaf.test, leaf.absent, leaf.texts
    return _Tests(keys, structs).of_object(top, root)


_Get = Callable[[Any], Any]
_SCALARS = frozenset({str, int, float, bool, type(None)})


class _Tests:
    """Makes the tests of a rule's branches, from the root down."""

    def __init__(self, keys: Keys, structs: Structs) -> None:
        self._keys, self._structs = keys, structs

    def of_object(self, branch: _Branch, steps: tuple[str, ...], but: str | None = None) -> PlainTest:
        """The test of an object there; `but`: a key that is asked elsewhere."""
        kind: type = self._structs.get(steps, dict)
        below = [(self._getter(key, steps), each, (*steps, key)) for key, each in branch.below.items() if key != but]
        words = [(get, texts, self._of_value(each, at)) for get, each, at in below if (texts := each.only())]
        others = [(get, self._of_value(each, at)) for get, each, at in below if not each.only()]
        test = _all_of(kind, words, others)
        dotted = [key for key in self._keys(*steps) if "." in key]
        return _openly(kind, dotted, test) if dotted else test

    def _getter(self, key: str, steps: tuple[str, ...]) -> _Get:
        kind = self._structs.get(steps)
        return (lambda value: value.get(key, MISSING)) if kind is None else skim.field(kind, key)

    def _of_value(self, branch: _Branch, steps: tuple[str, ...]) -> PlainTest:
        """The test of what stands there: `MISSING`, a scalar, an object or an array."""
        fits, absent = branch.test, branch.absent
        optional = all(below.optional() for below in branch.below.values())
        missing = absent and optional
        on_scalar = fits or _always if optional else _never
        inside = self.of_object(branch, steps) if branch.below else _always
        on_object = inside if absent else _never
        on_array: PlainTest = _unsure
        if branch.strict() and not (fits and branch.below):
            hurdle = self._hurdle(branch, steps)
            rest = self.of_object(branch, steps, hurdle[0]) if hurdle else inside
            on_array = _array_test(fits or _never, on_object)
            if hurdle:
                on_array = _array_test_over(self._getter(hurdle[0], steps), hurdle[1], rest, on_array)

        def meets(value: Any) -> bool | None:
            if type(value) in _SCALARS:
                return on_scalar(value)
            if value is MISSING:
                return missing
            if isinstance(value, list):
                return on_array(value)
            return (on_object if isinstance(value, (dict, Struct)) else on_scalar)(value)

        return meets

    def _hurdle(self, branch: _Branch, steps: tuple[str, ...]) -> tuple[str, frozenset[str]] | None:
        """What is asked first of the structs in an array: one of a few texts, where no key with dots hides others."""
        if steps not in self._structs or any("." in key for key in self._keys(*steps)):
            return None
        asked = ((key, below.only()) for key, below in branch.below.items())
        return next(((key, texts) for key, texts in asked if texts), None)


_Words = list[tuple[_Get, frozenset[str], PlainTest]]


def _all_of(kind: type, words: _Words, others: list[tuple[_Get, PlainTest]]) -> PlainTest:
    """A test that an object of a kind meets all of these; what is only a few texts is asked first, and at once."""
    if not words and len(others) == 1:
        only_get, only_meets = others[0]
        return lambda value: only_meets(only_get(value)) if type(value) is kind else None

    def test(value: Any) -> bool | None:
        if type(value) is not kind:
            return None
        for get, texts, meets in words:
            inner = get(value)
            if type(inner) is not str:
                answer = meets(inner)
                if not answer:
                    return answer
            elif inner not in texts:
                return False
        for get, meets in others:
            answer = meets(get(value))
            if not answer:
                return answer
        return True

    return test


def _openly(kind: type, dotted: list[str], test: PlainTest) -> PlainTest:
    """The same test where no key with dots is there, which spells a path that nested keys may spell as well."""
    if kind is dict:
        hiding = frozenset(dotted)
        return lambda value: test(value) if type(value) is dict and hiding.isdisjoint(value) else None
    get, none = skim.field(kind, *dotted), skim.field(kind, *dotted)(kind())
    return lambda value: test(value) if type(value) is kind and get(value) == none else None


def _array_test(fits: PlainTest, inside: PlainTest) -> PlainTest:
    """A test that one element has to pass, all by itself: so all leaves are met within the same one."""

    def of_element(element: Any) -> bool | None:
        if type(element) in _SCALARS:
            return fits(element)
        if isinstance(element, (dict, Struct)):
            return inside(element)
        return None if isinstance(element, list) else fits(element)

    return lambda elements: _any(of_element, elements)


def _array_test_over(get: _Get, texts: frozenset[str], rest: PlainTest, otherwise: PlainTest) -> PlainTest:
    """The same, with one question put to all elements first; `rest` is asked of those that are left."""

    def test(elements: list[Any]) -> bool | None:
        try:
            likely = [element for element in elements if get(element) in texts]
        except (AttributeError, TypeError):  # an element that is no struct, or a value that is an array or an object
            return otherwise(elements)
        return _any(rest, likely) if likely else False

    return test


def _any(test: PlainTest, elements: list[Any]) -> bool | None:
    answer: bool | None = False
    for element in elements:
        met = test(element)
        if met:
            return True
        if met is None:
            answer = None
    return answer


def _always(_value: Any) -> bool:
    return True


def _never(_value: Any) -> bool:
    return False


def _unsure(_value: Any) -> None:
    return None
