"""The fast test of one rule: for values in which no key with dots and no array right in an array stands in its way.

Nearly all records are so. Each leaf is asked where it stands, and the first that is not met ends the test.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple

from msgspec import Struct

from esm.filtering.elements import (
    SCALARS,
    Get,
    Hurdle,
    Kind,
    PlainTest,
    Presence,
    objects_test,
    presence_test,
    scalars_test,
)
from esm.filtering.leaf import Test, anything
from esm.filtering.skim import MISSING, Keys, Structs, getter

__all__ = ["PlainLeaf", "plain_test"]


class PlainLeaf(NamedTuple):
    """One leaf: the steps of its path, its test, whether it takes absence.

    `texts`: what its value may be when that is one of a few texts and nothing else.
    """

    steps: tuple[str, ...]
    test: Test
    absent: bool
    texts: frozenset[str] | None = None


@dataclass(slots=True)
class _Branch:
    """What a rule asks for at one place: of the value itself, and below it."""

    leaf: PlainLeaf | None = None
    below: dict[str, _Branch] = field(default_factory=dict)

    def texts(self) -> frozenset[str] | None:
        """The texts of which one has to stand there; `None` when something else may, or keys below are asked for."""
        return self.leaf.texts if self.leaf and not self.below else None

    def optional(self) -> bool:
        """Whether all below is met when there is nothing."""
        return all(each.missing() for each in self.below.values())

    def missing(self) -> bool:
        """Whether all of it is met when there is nothing."""
        return (self.leaf is None or self.leaf.absent) and self.optional()


def plain_test(leaves: Iterable[PlainLeaf], keys: Keys, structs: Structs, root: tuple[str, ...] = ()) -> PlainTest:
    """The test of a rule, for the value at `root`, whose objects are such structs, and else dicts.

    `leaves`: in the order of their paths.
    """
    return _Tests(tuple(leaves), keys, structs).of_object(root)


_LIST = "L"  # DynamoDB's tag of a list, below which elements stand: no object


class _Asked(NamedTuple):
    """One question to an object: where the value is, and what it has to meet, in the order in which it is told."""

    get: Get
    texts: frozenset[str]
    on_scalar: PlainTest
    meets: PlainTest


class _Tests:
    """Makes the tests of a rule's places, each once."""

    def __init__(self, leaves: tuple[PlainLeaf, ...], keys: Keys, structs: Structs) -> None:
        self._leaves, self._keys, self._structs = leaves, keys, structs
        self._objects: dict[tuple[tuple[str, ...], bool], PlainTest] = {}
        self._presences: dict[tuple[tuple[str, ...], int], PlainTest] = {}
        self._kinds: dict[tuple[str, ...], Kind] = {}
        self._branches: dict[tuple[str, ...], _Branch] = {(): _Branch()}
        for leaf in leaves:
            for end, step in enumerate(leaf.steps, 1):
                above = self._branches[leaf.steps[: end - 1]]
                self._branches[leaf.steps[:end]] = above.below.setdefault(step, _Branch())
            self._branches[leaf.steps].leaf = leaf

    def of_object(self, steps: tuple[str, ...], *, stepwise: bool = False) -> PlainTest:
        """The test of an object there: a struct if there is one for the place, else a dict.

        `stepwise`: without looking through several objects at once, because one was seen to be missing, or an array.
        """
        if (steps, stepwise) not in self._objects:
            make = self._of_struct if steps in self._structs else self._of_dict
            self._objects[steps, stepwise] = make(steps, stepwise)
        return self._objects[steps, stepwise]

    def _of_dict(self, steps: tuple[str, ...], stepwise: bool) -> PlainTest:
        test = _all_of(dict, [self._asked(_item(key), (*steps, key), stepwise) for key in self._branches[steps].below])
        dotted = self._kind(steps).dotted
        return lambda value: test(value) if type(value) is dict and dotted.isdisjoint(value) else None

    def _of_struct(self, steps: tuple[str, ...], stepwise: bool) -> PlainTest:
        keys = self._branches[steps].below
        ways = [(key,) if stepwise else self._way(steps, key) for key in keys]
        asked = [self._asked(getter(self._structs, steps, *way), (*steps, *way), stepwise) for way in ways]
        test = _all_of(self._structs[steps], asked)
        if all(len(way) == 1 for way in ways):
            return test
        otherwise = self.of_object(steps, stepwise=True)

        def straight(value: Any) -> bool | None:
            try:
                return test(value)
            except AttributeError:
                return otherwise(value)

        return straight

    def _way(self, steps: tuple[str, ...], key: str) -> tuple[str, ...]:
        """The keys from there to the next place with a leaf, or with several keys."""
        way: tuple[str, ...] = (key,)
        while (
            way[-1] != _LIST
            and (*steps, *way) in self._structs
            and len(below := self._branches[*steps, *way].below) == 1
        ):
            way += tuple(below)
        return way

    def _asked(self, get: Get, steps: tuple[str, ...], stepwise: bool) -> _Asked:
        branch = self._branches[steps]
        on_scalar = (branch.leaf.test if branch.leaf else anything) if branch.optional() else _never
        inside = self.of_object(steps, stepwise=stepwise) if branch.below else anything
        on_object = inside if branch.leaf is None or branch.leaf.absent else _never
        meets = _of_value(on_scalar, on_object, self._of_array(branch, steps), missing=branch.missing())
        return _Asked(get, branch.texts() or frozenset(), on_scalar, meets)

    def _of_array(self, branch: _Branch, steps: tuple[str, ...]) -> PlainTest:
        own = scalars_test(branch.leaf.test, absent=branch.leaf.absent) if branch.leaf else anything
        if not branch.below:
            return own
        leading = [self._presence(leaf, steps) for leaf in takewhile(lambda leaf: leaf.absent, self._below(steps))]
        hurdles = self._hurdles(steps)
        empty: Any = self._structs.get(steps, dict)()
        below = objects_test(self.of_object(steps), hurdles, leading, empty=empty, optional=branch.optional())

        def test(elements: list[Any]) -> bool | None:
            answer = own(elements)
            return below(elements) if answer else answer

        return test if branch.leaf else below

    def _below(self, steps: tuple[str, ...]) -> list[PlainLeaf]:
        """The leaves below a place, in the order of their paths."""
        return [leaf for leaf in self._leaves if leaf.steps[: len(steps)] == steps and leaf.steps != steps]

    def _presence(self, leaf: PlainLeaf, steps: tuple[str, ...]) -> Presence:
        way = leaf.steps[len(steps) :]
        near = way[:-1] or way
        has = self._has(leaf.steps, len(steps))
        return Presence(has, getter(self._structs, steps, *near) if self._has_structs(steps, near) else None)

    def _has(self, path: tuple[str, ...], at: int) -> PlainTest:
        """Whether the object there has a value at the end of the path; made once, however many arrays are above it."""
        for end in range(len(path) - 1, at - 1, -1):
            if (path, end) not in self._presences:
                place, key, below = path[:end], path[end], self._presences.get((path, end + 1))
                get = getter(self._structs, place, key) if place in self._structs else _item(key)
                self._presences[path, end] = presence_test(self._kind(place), get, below)
        return self._presences[path, at]

    def _kind(self, steps: tuple[str, ...]) -> Kind:
        if steps not in self._kinds:
            dotted = frozenset(() if steps in self._structs else (key for key in self._keys(*steps) if "." in key))
            self._kinds[steps] = Kind(self._structs.get(steps, dict), dotted)
        return self._kinds[steps]

    def _hurdles(self, steps: tuple[str, ...]) -> list[Hurdle]:
        hurdles = []
        for leaf in self._below(steps):
            way = leaf.steps[len(steps) :]
            texts = self._branches[leaf.steps].texts()
            if texts and self._has_structs(steps, way):
                hurdles.append(Hurdle(getter(self._structs, steps, *way), texts))
        return hurdles

    def _has_structs(self, steps: tuple[str, ...], way: tuple[str, ...]) -> bool:
        return all((*steps, *way[:end]) in self._structs for end in range(len(way)))


def _of_value(on_scalar: PlainTest, on_object: PlainTest, on_array: PlainTest, *, missing: bool) -> PlainTest:
    def meets(value: Any) -> bool | None:
        if value is MISSING:
            return missing
        if isinstance(value, list):
            return on_array(value)
        return (on_object if isinstance(value, (dict, Struct)) else on_scalar)(value)

    return meets


def _item(key: str) -> Get:
    return lambda value: value.get(key, MISSING)


def _all_of(kind: type, asked: list[_Asked]) -> PlainTest:
    """A test that an object of a kind meets all of these; what is only a few texts is asked first, and at once."""
    words = [(get, texts, meets) for get, texts, _, meets in asked if texts]
    others = [(get, on_scalar, meets) for get, texts, on_scalar, meets in asked if not texts]

    def test(value: Any) -> bool | None:
        if type(value) is not kind:
            return None
        for get, texts, meets in words:
            inner = get(value)
            answer = inner in texts if type(inner) is str else meets(inner)
            if not answer:
                return answer
        for get, on_scalar, meets in others:
            inner = get(value)
            answer = on_scalar(inner) if type(inner) in SCALARS else meets(inner)
            if not answer:
                return answer
        return True

    return test


def _never(_value: Any) -> bool:
    return False
