"""The fast test of one rule: for values in which no key with dots and no array right in an array stands in its way.

Nearly all records are so. It is a function that is written for the rule, as somebody would who had nothing else to ask:
each leaf where it stands, and the first that is not met ends the test. Of `{"kind": ["order"], "price": [{"numeric":
[">", 10]}]}` this is, with names that say more than those that are written,

    def rule(value):
        if not (type(value) is Order):
            return None
        kind = value.f0
        if type(kind) is str:
            if not kind in texts:
                return False
        elif kind is MISSING:
            return False
        elif isinstance(kind, list):
            met = scalars(kind)
            if not met:
                return met
        ...
        price = value.f1
        if type(price) in SCALARS:
            if not more_than_ten(price):
                return False
        ...
        return True

What is asked further below stands within; what is asked of the elements of an array is a function of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any, NamedTuple, TypeAlias

from msgspec import Struct

from esm.filtering.leaf import SCALARS, Test, scalars_test
from esm.filtering.skim import MISSING, Keys, Structs, field_name
from esm.filtering.source import Lines, Source, branches, indented, unless

__all__ = ["PlainLeaf", "PlainTest", "plain_test"]

Steps: TypeAlias = tuple[str, ...]

PlainTest = Callable[[Any], bool | None]
"""Whether a value matches; `None` when something stands in the way that only a full search can tell."""


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
        return (self.leaf is None or self.leaf.absent) and self.optional()

    def words(self) -> bool:
        """Whether one of a few texts has to stand there, which is asked first, as it costs least."""
        return self.leaf is not None and self.leaf.texts is not None and not self.below


class _Ends(NamedTuple):
    """What is written where a question ends the test of an object: it is not met, nobody can say, or as `met` says."""

    unmet: Lines
    unsure: Lines
    as_met: Lines


_OF_FUNCTION = _Ends(["return False"], ["return None"], ["return met"])
_OF_ELEMENT = _Ends(
    ["continue"], ["answer = None", "continue"], [*branches(("met is None", ["answer = None"])), "continue"]
)


class _Rule:
    """Writes the tests of a rule's places."""

    def __init__(self, leaves: tuple[PlainLeaf, ...], keys: Keys, structs: Structs, source: Source) -> None:
        self._leaves, self._keys, self._structs, self._source = leaves, keys, structs, source
        self._functions: dict[tuple[str, Steps], str] = {}  # what is written at most once for a place, by its name
        self._alone: dict[PlainLeaf, _Rule] = {}
        self._branches: dict[Steps, _Branch] = {(): _Branch()}
        for leaf in leaves:
            for end, step in enumerate(leaf.steps, 1):
                above = self._branches[leaf.steps[: end - 1]]
                self._branches[leaf.steps[:end]] = above.below.setdefault(step, _Branch())
            self._branches[leaf.steps].leaf = leaf

    def _function(self, kind: str, argument: str, steps: Steps, body: Callable[[], Lines]) -> str:
        if (kind, steps) not in self._functions:
            self._functions[kind, steps] = self._source.later(kind, argument, body)
        return self._functions[kind, steps]

    # -- objects ---------------------------------------------------------------------------------------------------

    def of_object(self, steps: Steps) -> Lines:
        """The body of a function of the `value` there."""
        asked = self._asked("value", steps, _OF_FUNCTION)
        return [*unless(f"({self._is_object('value', steps)})", ["return None"]), *asked, "return True"]

    def name_of_object(self, steps: Steps) -> str:
        """The name of such a function."""
        return self._function("object", "value", steps, lambda: self.of_object(steps))

    def _is_object(self, value: str, steps: Steps) -> str:
        """A condition: it is the struct that there is for the place, else a dict in which no key spells a path."""
        if steps in self._structs:
            return f"type({value}) is {self._source.name('Struct', self._structs[steps])}"
        dotted = frozenset(key for key in self._keys(*steps) if "." in key)
        disjoint = f" and {self._source.name('dotted', dotted)}.isdisjoint({value})" if dotted else ""
        return f"type({value}) is dict{disjoint}"

    def _asked(self, value: str, steps: Steps, ends: _Ends) -> Lines:
        """All that is asked of such an object, in the order in which it is told."""
        lines: Lines = []
        inner, below = f"value{len(steps) + 1}", self._branches[steps].below
        for key in sorted(below, key=lambda key: not below[key].words()):
            lines += [f"{inner} = {self._inner(value, steps, key)}", *self._met(inner, (*steps, key), ends)]
        return lines

    def _inner(self, value: str, steps: Steps, key: str) -> str:
        """An expression: what an object has at a key."""
        if steps in self._structs:
            return f"{value}.{field_name(self._structs[steps], key)}"
        return f"{value}.get({self._source.name('key', key)}, MISSING)"

    # -- values ----------------------------------------------------------------------------------------------------

    def _met(self, value: str, steps: Steps, ends: _Ends) -> Lines:
        """Ends the test unless the value there meets what is asked of it. What is seen most often is asked first."""
        branch = self._branches[steps]
        leaf, unmet = branch.leaf, ends.unmet
        scalar, takes_objects = self._scalar(value, branch, unmet), leaf is None or leaf.absent
        missing = (f"{value} is MISSING", [] if branch.missing() else unmet)
        array = (f"isinstance({value}, list)", self._array(value, branch, steps, ends))
        if leaf is None or branch.below:
            usual = (self._is_object(value, steps), self._asked(value, steps, ends) if takes_objects else unmet)
            other = (f"isinstance({value}, (dict, Struct))", ends.unsure if takes_objects else unmet)
            return branches(usual, missing, array, other, otherwise=scalar)
        usual = (f"type({value}) in SCALARS", scalar)
        if leaf.texts is not None:
            among = f"{value} in {self._source.name('texts', leaf.texts)}"
            usual = (f"type({value}) is str", unless(among, unmet))
        other = (f"isinstance({value}, (dict, Struct))", [] if takes_objects else unmet)
        first = (missing, usual) if leaf.absent else (usual, missing)
        return branches(*first, array, other, otherwise=scalar)

    def _scalar(self, value: str, branch: _Branch, unmet: Lines) -> Lines:
        if not branch.optional():
            return unmet
        return unless(f"{self._source.name('test', branch.leaf.test)}({value})", unmet) if branch.leaf else []

    # -- arrays ----------------------------------------------------------------------------------------------------
    #
    # One element has to meet all leaves below the array. Exact, also where leaves take absence: leaves are taken in the
    # order of their paths, and a value is missing when it is missing in the element that the leaves before have chosen.
    # So the first leaf that any element has a value for chooses among those elements; the leaves before it are met by
    # all, and those behind it are asked of the element chosen.

    def _array(self, value: str, branch: _Branch, steps: Steps, ends: _Ends) -> Lines:
        array = self._own(branch)
        if branch.below:
            array = self._function("array", "elements", steps, lambda: self._of_array(branch, steps))
        return [f"met = {array}({value})", *unless("met", ends.as_met)] if array else []

    def _own(self, branch: _Branch) -> str:
        """The name of a function that tells whether the scalars of an array will do; empty when none is asked for."""
        leaf = branch.leaf
        return self._source.name("scalars", scalars_test(leaf.test, absent=leaf.absent)) if leaf else ""

    def _of_array(self, branch: _Branch, steps: Steps) -> Lines:
        """The body of a function of the `elements` there, some of which have to be objects."""
        own = self._own(branch)
        lines = [f"met = {own}(elements)", *unless("met", ["return met"])] if own else []
        lines += self._chosen(steps)
        if branch.optional():
            lines += unless("having", ["return True"])
        return [*lines, *self._any_element(steps)]

    def _chosen(self, steps: Steps) -> Lines:
        """Leaves those elements alone that have a value for the first leaf that any has one for."""
        below = (leaf for leaf in self._leaves if leaf.steps[: len(steps)] == steps and leaf.steps != steps)
        lines: Lines = []
        for leaf in takewhile(lambda leaf: leaf.absent, below):  # one that takes no absence is asked of each anyhow
            lines += unless("having", self._look(leaf, steps)) if lines else ["having = []", *self._look(leaf, steps)]
        return [*lines, *branches(("having", ["elements = having"]))] if lines else []

    def _look(self, leaf: PlainLeaf, steps: Steps) -> Lines:
        """Which elements have a value there."""
        near = f"{self._inner('value', steps, leaf.steps[len(steps)])} is not MISSING"
        has = self._has(leaf, steps)
        look = [f"met = {has}(value)", *branches(("met", ["having.append(value)"]), ("met is None", ["return None"]))]
        return ["for value in elements:", *indented(self._if_object(steps, branches((near, look)), ["return None"]))]

    def _has(self, leaf: PlainLeaf, steps: Steps) -> str:
        """The name of a function that tells whether an object has a value there."""
        if leaf not in self._alone:
            there = leaf._replace(test=_always, absent=False, texts=None)
            self._alone[leaf] = _Rule((there,), self._keys, self._structs, self._source)
        return self._alone[leaf].name_of_object(steps)

    def _any_element(self, steps: Steps) -> Lines:
        asked = [*self._asked("value", steps, _OF_ELEMENT), "return True"]
        loop = self._if_object(steps, asked, ["answer = None"])
        return ["answer = False", "for value in elements:", *indented(loop), "return answer"]

    def _if_object(self, steps: Steps, lines: Lines, otherwise: Lines) -> Lines:
        """`otherwise`: for an array in the array, and an object that cannot be asked."""
        odd = ("isinstance(value, (list, dict, Struct))", otherwise)
        return branches((self._is_object("value", steps), lines), odd)


def _always(_value: Any) -> bool:
    return True
