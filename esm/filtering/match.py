"""Rules compiled to a predicate over a parsed JSON value.

The paths of all rules stand in one tree, so a value is walked once for all of them, and only where a pattern looks. An
event's keys may hold dots just as a pattern's may: the tree has an edge for every way in which keys can spell a path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from esm.filtering.consistency import Budget, Place, Sought, consistent
from esm.filtering.leaf import Test, leaf_test, takes_absence
from esm.filtering.pattern import Rule
from esm.filtering.plain import PlainTest, plain_test

__all__ = ["MAX_ARRAYS", "Matching", "sort_key"]

MAX_ARRAYS = 64
"""Arrays within arrays that are looked into; a value nested deeper matches nothing. (chosen)"""


@dataclass(slots=True, eq=False)
class _Edge:
    """What stands behind a key: the path's number when a rule has a leaf there, the edges that go on from there."""

    number: int | None = None
    below: dict[str, _Edge] | None = None


_FEW = 16  # rules that are tried one by one before a value's members are gathered for all of them


class _Step(NamedTuple):
    number: int
    test: Test
    absent: bool


Members = list[list[tuple[Any, Place]]]
"""For every path, by its number: the values there, with their places."""


class Matching:
    """Tests values against rules, of which at least one has to match. Never raises, whatever the value."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.paths = sorted({path for rule in rules for path in rule})
        self._root: dict[str, _Edge] = {}
        for number, path in enumerate(self.paths):
            _grow(self._root, path.split("."), number)
        numbers = {path: number for number, path in enumerate(self.paths)}
        self._rules = [
            [
                _Step(numbers[path], leaf_test(rule[path].matchers), takes_absence(rule[path].matchers))
                for path in sorted(rule, key=sort_key)
            ]
            for rule in rules
        ]
        self._quick = [self._plain(rule) for rule in self._rules] if len(rules) <= _FEW else None

    def _plain(self, rule: list[_Step]) -> PlainTest:
        leaves = [(self.paths[step.number].split("."), step.test, step.absent) for step in rule]
        return plain_test(leaves, lambda steps: self.keys(*steps))

    def keys(self, *path: str) -> set[str]:
        """The keys that are looked at in the object at `path`."""
        edges = self._root
        for step in path:
            edges = (edges[step].below if step in edges else None) or {}
        return set(edges)

    def __call__(self, value: Any) -> bool:
        """Whether any rule matches."""
        if self._quick is None:
            return self._among_arrays(value, self._rules)
        unsure = []
        for quick, rule in zip(self._quick, self._rules, strict=True):
            answer = quick(value)
            if answer:
                return True
            if answer is None:
                unsure.append(rule)
        return bool(unsure) and self._among_arrays(value, unsure)

    def _among_arrays(self, value: Any, rules: list[list[_Step]]) -> bool:
        members = self.members(value)
        if members is None:
            return False
        budget = Budget(sum(map(len, members)))
        return any(_met_together(rule, members, budget) for rule in rules)

    def members(self, value: Any) -> Members | None:
        """The values at every path; `None` when arrays are nested too deep."""
        members: Members = [[] for _ in self.paths]
        arrays = 0
        todo: list[tuple[_Edge, Any, Place]] = [(_Edge(below=self._root), value, ())]
        while todo:
            edge, here, place = todo.pop()
            if isinstance(here, list):
                if len(place) == MAX_ARRAYS:
                    return None
                arrays += 1
                for index, inner in enumerate(here):
                    if isinstance(inner, (dict, list)):
                        todo.append((edge, inner, (*place, (arrays, index))))
                    elif edge.number is not None:
                        members[edge.number].append((inner, place))
            elif isinstance(here, dict) and edge.below:
                todo += [(edge.below[key], here[key], place) for key in edge.below.keys() & here.keys()]
            elif edge.number is not None and not isinstance(here, dict):
                members[edge.number].append((here, place))
        return members

    def unmet(self, rule: int, members: Members) -> list[str]:
        """The paths of a rule whose leaf no value meets, by themselves; none is left when only together they fail."""
        return [self.paths[step.number] for step in self._rules[rule] if not _met_alone(step, members[step.number])]

    def met(self, rule: int, members: Members) -> bool:
        """Whether this rule matches."""
        return _met_together(self._rules[rule], members, Budget(sum(map(len, members))))


def sort_key(path: str) -> bytes:
    """EventBridge takes paths in the order of UTF-16 units; it tells which elements an absence is looked for in."""
    return path.encode("utf-16-be", "surrogatepass")


def _grow(root: dict[str, _Edge], steps: list[str], number: int) -> None:
    """Add a path: to every object on the way, an edge for each run of steps that may be one key with dots."""
    objects = [root]
    for end, step in enumerate(steps, 1):
        edge = objects[-1].get(step)
        if edge is None:
            edge = _Edge()
            for start, edges in enumerate(objects):
                edges[".".join(steps[start:end])] = edge
        if end == len(steps):
            edge.number = number
            return
        if edge.below is None:
            edge.below = {}
        objects.append(edge.below)


def _met_alone(step: _Step, values: list[tuple[Any, Place]]) -> bool:
    return any(step.test(value) for value, _ in values) or (step.absent and not values)


def _met_together(rule: list[_Step], members: Members, budget: Budget) -> bool:
    met = [[place for value, place in members[number] if test(value)] for number, test, _ in rule]
    if not any(absent for _, _, absent in rule):
        if not all(met):
            return False
        bound = [set(places) for places in met if () not in places]
        if len(bound) <= 1 or set.intersection(*bound):
            return True  # one leaf alone is bound to an element, or one element meets them all
    present = [[place for _, place in members[number]] for number, _, _ in rule]
    return consistent([Sought(m, p, absent=step.absent) for m, p, step in zip(met, present, rule, strict=True)], budget)
