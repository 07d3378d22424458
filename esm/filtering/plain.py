"""The fast test of one rule: for values in which no key with dots and no array right in an array stands in its way.

Nearly all records are so. It is a function that is written for the rule, as somebody would who had nothing else to ask:
each leaf where it stands, and the first that is not met ends the test. Of `{"kind": ["order"], "buyer": {"age":
[{"numeric": [">", 17]}]}}` this is, with names that say more than those that are written,

    def rule(value):
        if not (type(value) is Order):
            return None
        kind = value.f1
        if type(kind) is str:
            if kind not in texts:
                return False
        else:
            met = other_kind(kind)
            if not met:
                return met
        buyer = value.f0
        if type(buyer) is Buyer:
            age = buyer.f0
            if type(age) in SCALARS:
                if not more_than_17(age):
                    return False
            ...
        else:
            if isinstance(buyer, list):
                met = array(buyer)
            else:
                met = other_buyer(buyer)
            if not met:
                return met
        return True

What is asked of the elements of an array is a function of its own, written when the first array comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from operator import attrgetter
from typing import Any, NamedTuple, TypeAlias

from msgspec import Struct

from esm.filtering.elements import (
    SCALARS,
    Get,
    Kind,
    PlainTest,
    Presence,
    chooser,
    other_test,
    presence_test,
    scalars_test,
)
from esm.filtering.leaf import Test
from esm.filtering.skim import MISSING, Keys, Structs, field_name
from esm.filtering.source import Lines, Source, if_, indented

__all__ = ["PlainLeaf", "plain_test"]

Steps: TypeAlias = tuple[str, ...]

_WITHIN = 4
"""Objects in each other that are asked in one function; those below have one of their own, or text would be written
over and over for the arrays above it. (chosen)"""


class PlainLeaf(NamedTuple):
    """One leaf: the steps of its path, its test, whether it takes absence.

    `texts`: what its value may be when that is one of a few texts and nothing else.
    """

    steps: Steps
    test: Test
    absent: bool
    texts: frozenset[str] | None = None


def plain_test(leaves: Iterable[PlainLeaf], keys: Keys, structs: Structs, root: Steps = ()) -> PlainTest:
    """The test of a rule, for the value at `root`, whose objects are such structs, and else dicts.

    `leaves`: in the order of their paths.
    """
    source = Source(MISSING=MISSING, SCALARS=SCALARS, Struct=Struct)
    rule = _Rule(tuple(leaves), keys, structs, source)
    return source.function("rule", "value", rule.of_object(root))


@dataclass(slots=True)
class _Branch:
    """What a rule asks for at one place: of the value itself, and below it."""

    leaf: PlainLeaf | None = None
    below: dict[str, _Branch] = field(default_factory=dict)

    def optional(self) -> bool:
        """Whether all below is met when there is nothing."""
        return all(each.missing() for each in self.below.values())

    def missing(self) -> bool:
        """Whether all of it is met when there is nothing."""
        return self.takes_objects() and self.optional()

    def takes_objects(self) -> bool:
        """Whether an object may stand there: none has a value of its own."""
        return self.leaf is None or self.leaf.absent

    def words(self) -> bool:
        """Whether one of a few texts has to stand there, which is asked first, as it costs least."""
        return self.leaf is not None and self.leaf.texts is not None and not self.below


class _Ends(NamedTuple):
    """What is written where a question ends the test of an object: it is not met, or `met` is false or `None`."""

    unmet: Lines
    as_met: Lines


_OF_FUNCTION = _Ends(["return False"], ["return met"])
_OF_ELEMENT = _Ends(["continue"], [*if_("met is None", ["answer = None"]), "continue"])  # in a loop, for an `answer`


class _Rule:
    """Writes the tests of a rule's places."""

    def __init__(self, leaves: tuple[PlainLeaf, ...], keys: Keys, structs: Structs, source: Source) -> None:
        self._leaves, self._keys, self._structs, self._source = leaves, keys, structs, source
        self._names: dict[tuple[str, Steps], str] = {}  # of what is written or made for a place
        self._kinds: dict[Steps, Kind] = {}
        self._having: dict[tuple[Steps, int], PlainTest] = {}
        self._branches: dict[Steps, _Branch] = {(): _Branch()}
        for leaf in leaves:
            for end, step in enumerate(leaf.steps, 1):
                above = self._branches[leaf.steps[: end - 1]]
                self._branches[leaf.steps[:end]] = above.below.setdefault(step, _Branch())
            self._branches[leaf.steps].leaf = leaf

    # -- objects ---------------------------------------------------------------------------------------------------

    def of_object(self, steps: Steps) -> Lines:
        """The body of a function of the `value` there."""
        asked = self._asked("value", steps, _OF_FUNCTION, 1)
        return [*if_(f"not ({self._is_object('value', steps)})", ["return None"]), *asked, "return True"]

    def _is_object(self, value: str, steps: Steps) -> str:
        """A condition: it is of the kind that there is for the place."""
        kind = self._kind(steps)
        disjoint = f" and {self._source.name('dotted', kind.dotted)}.isdisjoint({value})" if kind.dotted else ""
        return f"type({value}) is {self._source.name('Kind', kind.type)}{disjoint}"

    def _kind(self, steps: Steps) -> Kind:
        if steps not in self._kinds:
            dotted = frozenset(() if steps in self._structs else (key for key in self._keys(*steps) if "." in key))
            self._kinds[steps] = Kind(self._structs.get(steps, dict), dotted)
        return self._kinds[steps]

    def _inner(self, value: str, steps: Steps, key: str) -> str:
        """An expression: what an object has at a key."""
        if steps in self._structs:
            return f"{value}.{field_name(self._structs[steps], key)}"
        return f"{value}.get({self._source.name('key', key)}, MISSING)"

    def _asked(self, value: str, steps: Steps, ends: _Ends, within: int) -> Lines:
        """All that is asked of such an object, in the order in which it is told."""
        lines: Lines = []
        inner, below = f"value{within}", self._branches[steps].below
        for key in sorted(below, key=lambda key: not below[key].words()):
            lines.append(f"{inner} = {self._inner(value, steps, key)}")
            branch = below[key]
            if branch.leaf is not None and not branch.below:
                lines += self._leaf_met(inner, branch.leaf, ends)
            else:
                lines += self._all_met(inner, branch, (*steps, key), ends, within + 1)
        return lines

    # -- values ----------------------------------------------------------------------------------------------------

    def _leaf_met(self, value: str, leaf: PlainLeaf, ends: _Ends) -> Lines:
        """Ends the test unless the value there meets the leaf. What is seen most often is asked first."""
        other = self._name("other", leaf.steps, lambda: _other(leaf))
        told = [f"met = {other}({value})", *if_("not met", ends.as_met)]
        if leaf.texts is not None:
            usual, unmet = f"type({value}) is str", f"{value} not in {self._source.name('texts', leaf.texts)}"
        else:
            usual, unmet = f"type({value}) in SCALARS", f"not {self._source.name('test', leaf.test)}({value})"
        lines = if_(usual, if_(unmet, ends.unmet), told)
        return if_(f"{value} is not MISSING", lines) if leaf.absent else lines

    def _all_met(self, value: str, branch: _Branch, steps: Steps, ends: _Ends, within: int) -> Lines:
        """Ends the test unless the value there meets all that is asked for below it, and of itself."""
        other = self._name("other", steps, lambda: _other_than_object(branch))
        array = self._function("array", "elements", steps, lambda: self._of_array(branch, steps))
        told = if_(f"isinstance({value}, list)", [f"met = {array}({value})"], [f"met = {other}({value})"])
        told += if_("not met", ends.as_met)
        if not branch.takes_objects():
            return told
        if within <= _WITHIN:
            return if_(self._is_object(value, steps), self._asked(value, steps, ends, within), told)
        own = self._function("object", "value", steps, lambda: self.of_object(steps))
        return if_(self._is_object(value, steps), [f"met = {own}({value})", *if_("not met", ends.as_met)], told)

    # -- arrays ----------------------------------------------------------------------------------------------------
    #
    # One element has to meet all leaves below the array. Exact, also where leaves take absence: leaves are taken in the
    # order of their paths, and a value is missing when it is missing in the element that the leaves before have chosen.
    # So the first leaf that any element has a value for chooses among those elements; the leaves before it are met by
    # all, and those behind it are asked of the element chosen.

    def _of_array(self, branch: _Branch, steps: Steps) -> Lines:
        """The body of a function of the `elements` there, some of which have to be objects."""
        lines: Lines = []
        if branch.leaf is not None:
            own = self._source.name("scalars", scalars_test(branch.leaf.test, absent=branch.leaf.absent))
            lines = [f"met = {own}(elements)", *if_("not met", ["return met"])]
        return [*lines, *self._chosen(branch, steps), *self._any_element(steps)]

    def _chosen(self, branch: _Branch, steps: Steps) -> Lines:
        """Leaves those elements alone that have a value for the first leaf that any has one for: mostly, none has."""
        below = (leaf for leaf in self._leaves if leaf.steps[: len(steps)] == steps and leaf.steps != steps)
        leading = list(takewhile(lambda leaf: leaf.absent, below))  # one that takes no absence is asked of each anyhow
        if not leading:
            return []
        presences = [self._presence(leaf, steps) for leaf in leading]
        choose = self._source.name("choose", chooser(presences, self._kind(steps).type()))
        seen = dict.fromkeys(self._may_have("value", steps, leaf.steps[len(steps) :]) for leaf in leading)
        likely = " or ".join([f"not ({self._is_object('value', steps)})", *seen])
        chosen = [f"having = {choose}(elements)", *if_("having is None", ["return None"]), "break"]
        loop = ["having = None", "for value in elements:", *indented(if_(likely, chosen))]
        return [*loop, *if_("having", ["elements = having"], ["return True"] if branch.optional() else None)]

    def _may_have(self, value: str, steps: Steps, way: Steps) -> str:
        """A condition: an object may have a value at the end of the way, as far as structs tell."""
        inner, within = self._inner(value, steps, way[0]), (*steps, way[0])
        if len(way) == 1 or within not in self._structs or value.count(".") == _WITHIN:
            return f"{inner} is not MISSING"
        further = self._may_have(inner, within, way[1:])
        return f"({inner} is not MISSING and (not ({self._is_object(inner, within)}) or {further}))"

    def _presence(self, leaf: PlainLeaf, steps: Steps) -> Presence:
        return Presence(
            self._has(leaf.steps, len(steps)),
            None if self._kind(steps).dotted else self._get(steps, leaf.steps[len(steps)]),
        )

    def _has(self, path: Steps, at: int) -> PlainTest:
        """Whether the object there has a value at the end of a path."""
        for end in range(len(path) - 1, at - 1, -1):
            if (path, end) not in self._having:
                below, place = self._having.get((path, end + 1)), path[:end]
                self._having[path, end] = presence_test(self._kind(place), self._get(place, path[end]), below)
        return self._having[path, at]

    def _get(self, steps: Steps, key: str) -> Get:
        if steps in self._structs:
            return attrgetter(field_name(self._structs[steps], key))
        return lambda value: value.get(key, MISSING)

    def _any_element(self, steps: Steps) -> Lines:
        asked = [*self._asked("value", steps, _OF_ELEMENT, 1), "return True"]
        odd = if_("isinstance(value, (list, dict, Struct))", ["answer = None"])
        loop = if_(self._is_object("value", steps), asked, odd)
        return ["answer = False", "for value in elements:", *indented(loop), "return answer"]

    # -- names -----------------------------------------------------------------------------------------------------

    def _name(self, kind: str, steps: Steps, make: Callable[[], Any]) -> str:
        if (kind, steps) not in self._names:
            self._names[kind, steps] = self._source.name(kind, make())
        return self._names[kind, steps]

    def _function(self, kind: str, argument: str, steps: Steps, body: Callable[[], Lines]) -> str:
        if (kind, steps) not in self._names:
            self._names[kind, steps] = self._source.later(kind, argument, body)
        return self._names[kind, steps]


def _other(leaf: PlainLeaf) -> PlainTest:
    """Whether whatever stands where there is a leaf alone will do."""
    scalars = scalars_test(leaf.test, absent=leaf.absent)
    return other_test(leaf.test, scalars, on_object=leaf.absent, missing=leaf.absent)


def _other_than_object(branch: _Branch) -> PlainTest:
    """The same where there is more below: of what is no array, and no object that can be asked."""
    scalar = (branch.leaf.test if branch.leaf else _always) if branch.optional() else _never
    on_object = None if branch.takes_objects() else False
    return other_test(scalar, _never, on_object=on_object, missing=branch.missing())


def _always(_value: Any) -> bool:
    return True


def _never(_value: Any) -> bool:
    return False
