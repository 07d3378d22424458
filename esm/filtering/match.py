"""Rules compiled to a predicate over a parsed JSON value.

The paths of all rules stand in one tree, so a value is walked once for all of them, and only where a pattern looks. An
event's keys may hold dots just as a pattern's may: the tree has an edge for every way in which keys can spell a path.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec import Struct

from esm.filtering.answers import Answers, Members, Step, lookup_key
from esm.filtering.consistency import Budget, Place, consistent
from esm.filtering.document import Reader, read_whole, skimmer
from esm.filtering.elements import PlainTest
from esm.filtering.leaf import Test, leaf_test, only_texts, only_values, takes_absence, weighs_numbers
from esm.filtering.operators import Matcher
from esm.filtering.pattern import Rule
from esm.filtering.plain import PlainLeaf, plain_test
from esm.filtering.skim import Structs, fields, structs
from esm.filtering.ways import merged

__all__ = ["MAX_ARRAYS", "Matching", "sort_key"]

MAX_ARRAYS = 64
"""Arrays within arrays that are looked into; a value nested deeper matches nothing. (chosen)"""


@dataclass(slots=True, eq=False)
class _Edge:
    """What stands behind a key: the path's number when a rule has a leaf there, the edges that go on from there."""

    number: int | None = None
    below: dict[str, _Edge] = field(default_factory=dict)


_FEW = 16  # rules that are tried one by one before a value's members are gathered for all of them


class Matching:
    """Tests values against rules, of which at least one has to match. Never raises, whatever the value.

    `texts`: the paths, by their steps, at which there was JSON text that `reader` has read. `root`: where the values
    stand that are tested; all paths go through it.
    """

    def __init__(
        self, rules: Sequence[Rule], texts: Iterable[tuple[str, ...]] = (), root: tuple[str, ...] = ()
    ) -> None:
        rules = merged(rules)
        self.paths = sorted({path for rule in rules for path in rule})
        self._root: dict[str, _Edge] = {}
        for number, path in enumerate(self.paths):
            _grow(self._root, path.split("."), number)
        numbers = {path: number for number, path in enumerate(self.paths)}
        leaves = {id(leaf): leaf.matchers for rule in rules for leaf in rule.values()}  # rules share most of theirs
        compiled = {key: _compiled(matchers) for key, matchers in leaves.items()}
        self._exact = any(map(weighs_numbers, leaves.values()))
        self._rules = [
            [Step(numbers[path], *compiled[id(rule[path])]) for path in sorted(rule, key=sort_key)] for rule in rules
        ]
        self._structs: Structs = {}
        for text in texts:
            self._structs |= structs(text, self.keys, numbers)
        self._at = root
        self._quick = [self._plain(rule) for rule in self._rules] if len(rules) <= _FEW else []

    def _plain(self, rule: list[Step]) -> PlainTest:
        paths = [tuple(self.paths[step.number].split(".")) for step in rule]
        leaves = [PlainLeaf(path, step.test, step.absent, step.texts) for path, step in zip(paths, rule, strict=True)]
        return plain_test(leaves, self.keys, self._structs, self._at)

    def reader(self, *root: str) -> Reader:
        """What reads the JSON text that stands at a path, as far as rules look into it."""
        kind = self._structs.get(root)
        return read_whole if kind is None else skimmer(kind, exact=self._exact)

    def keys(self, *path: str) -> set[str]:
        """The keys that are looked at in the object at `path`."""
        return set(self._edges(path))

    def _edges(self, steps: tuple[str, ...]) -> dict[str, _Edge]:
        edges = self._root
        for step in steps:
            edges = edges[step].below if step in edges else {}
        return edges

    @property
    def test(self) -> Test:
        """The same as a function, which costs less to call where there is one rule."""
        if len(self._quick) != 1:
            return self
        (quick,), among_arrays, rules = self._quick, self._among_arrays, self._rules

        def test(value: Any) -> bool:
            answer = quick(value)
            return among_arrays(value, rules) if answer is None else answer

        return test

    def __call__(self, value: Any) -> bool:
        """Whether any rule matches."""
        sure = bool(self._quick)
        for quick in self._quick:
            answer = quick(value)
            if answer:
                return True
            if answer is None:
                sure = False
        return not sure and self._among_arrays(value, self._rules)

    def _among_arrays(self, value: Any, rules: list[list[Step]]) -> bool:
        members = self.members(value)
        if members is None:
            return False
        answers = Answers(members)
        budget = Budget(answers.fields)
        return any(_met_together(rule, answers, budget) for rule in rules)

    def members(self, value: Any) -> Members | None:
        """The values at every path; `None` when arrays are nested too deep."""
        members: Members = [[] for _ in self.paths]
        arrays = 0
        todo: list[tuple[_Edge, Any, Place]] = [(_Edge(below=self._edges(self._at)), value, ())]
        while todo:
            edge, here, place = todo.pop()
            if isinstance(here, list):
                if len(place) == MAX_ARRAYS:
                    return None
                arrays += 1
                for index, inner in enumerate(here):
                    if isinstance(inner, (dict, list, Struct)):
                        todo.append((edge, inner, (*place, (arrays, index))))
                    elif edge.number is not None:
                        members[edge.number].append((inner, place))
            elif isinstance(here, dict):
                todo += [(edge.below[key], here[key], place) for key in edge.below.keys() & here.keys()]
            elif isinstance(here, Struct):
                todo += [(edge.below[key], inner, place) for key, inner in fields(here)]
            elif edge.number is not None:
                members[edge.number].append((here, place))
        return members

    def unmet(self, rule: int, members: Members) -> list[str]:
        """The paths of a rule whose leaf no value meets, by themselves; none is left when only together they fail."""
        return [self.paths[step.number] for step in self._rules[rule] if not _met_alone(step, members[step.number])]

    def met(self, rule: int, members: Members) -> bool:
        """Whether this rule matches."""
        answers = Answers(members)
        return _met_together(self._rules[rule], answers, Budget(answers.fields))


def _compiled(matchers: tuple[Matcher, ...]) -> tuple[Test, bool, frozenset[str] | None, frozenset[Any] | None]:
    values = only_values(matchers)
    keys = None if values is None else frozenset(map(lookup_key, values))
    return leaf_test(matchers), takes_absence(matchers), only_texts(matchers), keys


def sort_key(path: str) -> bytes:
    """EventBridge takes paths in the order of UTF-16 units; it tells which elements an absence is looked for in."""
    return path.encode("utf-16-be", "surrogatepass")


def _grow(root: dict[str, _Edge], steps: list[str], number: int) -> None:
    """Add a path: to every object on the way, an edge for each run of steps that may be one key with dots."""
    objects, edge = [root], _Edge()
    for end, step in enumerate(steps, 1):
        known = objects[-1].get(step)
        edge = known or _Edge()
        if known is None:
            for start, edges in enumerate(objects):
                edges[".".join(steps[start:end])] = edge
        objects.append(edge.below)
    edge.number = number


def _met_alone(step: Step, values: list[tuple[Any, Place]]) -> bool:
    return any(step.test(value) for value, _ in values) or (step.absent and not values)


def _met_together(rule: list[Step], answers: Answers, budget: Budget) -> bool:
    leaves = []
    for step in rule:
        leaf = answers.sought(step)
        if not leaf.met and not leaf.absent:
            return False
        leaves.append(leaf)
    return consistent(leaves, budget)
