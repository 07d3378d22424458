"""The fast test of one rule: for values in which no key with dots and no involved array stands in its way.

Nearly all records are so. Each leaf is asked where it stands, and the first that is not met ends the test. An array is
involved when arrays stand directly in it, or when below it the rule asks for absence, or for scalars and objects both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from esm.filtering.leaf import Test

__all__ = ["PlainTest", "plain_test"]

PlainTest = Callable[[Any], bool | None]
"""Whether a value matches; `None` when something stands in the way that only a full search can tell."""


@dataclass(slots=True)
class _Branch:
    """What a rule asks for at one place: a test of the value, `absent` for none, and what it asks for below."""

    test: Test | None = None
    absent: bool = True
    below: dict[str, _Branch] = field(default_factory=dict)

    def optional(self) -> bool:
        """Whether all of it is met when there is nothing."""
        return self.absent and all(branch.optional() for branch in self.below.values())

    def strict(self) -> bool:
        """Whether no leaf of it is met when there is nothing."""
        return (self.test is None or not self.absent) and all(branch.strict() for branch in self.below.values())


def plain_test(leaves: Iterable[tuple[list[str], Test, bool]], keys: Callable[[list[str]], set[str]]) -> PlainTest:
    """The test of a rule: the steps of each leaf's path, its test, and whether it takes absence.

    `keys` gives all keys that matter in the object at some steps, those with dots too.
    """
    root = _Branch()
    for steps, test, absent in leaves:
        branch = root
        for step in steps:
            branch = branch.below.setdefault(step, _Branch())
        branch.test, branch.absent = test, absent
    return _object_test(root, [], keys)


_MISSING = object()


def _object_test(branch: _Branch, steps: list[str], keys: Callable[[list[str]], set[str]]) -> PlainTest:
    dotted = frozenset(key for key in keys(steps) if "." in key)
    entries = [(key, *_value_tests(below, [*steps, key], keys)) for key, below in branch.below.items()]

    def test(value: Any) -> bool | None:
        if type(value) is not dict or not dotted.isdisjoint(value):
            return None
        for key, missing, on_scalar, on_object, on_array in entries:
            inner = value.get(key, _MISSING)
            if inner is _MISSING:
                answer: bool | None = missing
            elif isinstance(inner, dict):
                answer = on_object(inner)
            elif isinstance(inner, list):
                answer = on_array(inner)
            else:
                answer = on_scalar(inner)
            if not answer:
                return answer
        return True

    return test


def _value_tests(
    branch: _Branch, steps: list[str], keys: Callable[[list[str]], set[str]]
) -> tuple[bool, PlainTest, PlainTest, PlainTest]:
    """Whether a branch is met by nothing, and its tests of a scalar, an object and an array."""
    fits, absent = branch.test, branch.absent
    optional = all(below.optional() for below in branch.below.values())
    inside = _object_test(branch, steps, keys) if branch.below else None

    def on_scalar(value: Any) -> bool:
        return optional and (fits is None or fits(value))

    def on_object(value: Any) -> bool | None:
        return absent and (inside is None or inside(value))

    if not branch.strict() or (fits and inside):
        return absent and optional, on_scalar, on_object, _unsure
    return False, on_scalar, on_object, _array_test(fits or _never, inside or _never)


def _array_test(fits: PlainTest, inside: PlainTest) -> PlainTest:
    """A test that one element has to pass, all by itself: so all leaves are met within the same one."""

    def test(value: Any) -> bool | None:
        answer: bool | None = False
        for element in value:
            if isinstance(element, dict):
                met = inside(element)
            elif isinstance(element, list):
                met = None
            else:
                met = fits(element)
            if met:
                return True
            if met is None:
                answer = None
        return answer

    return test


def _never(_value: Any) -> bool:
    return False


def _unsure(_value: Any) -> None:
    return None
