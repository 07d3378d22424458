"""What a record's values say to leaves: each value is asked once, however many places it stands in.

What a leaf of plain values takes is looked up among the values of its path, so that hundreds of leaves cost as much as
one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from esm.filtering.consistency import Place, Sought
from esm.filtering.leaf import Test
from esm.filtering.number import Inexact, comparable

__all__ = ["Answers", "Members", "Step", "lookup_key"]

Members = list[list[tuple[Any, Place]]]
"""For every path, by its number: the values there, with their places."""


_HASHABLE = (bool, int, float, Inexact, type(None))  # what JSON has; a record given as a dict may hold more


class Step(NamedTuple):
    """A leaf of a rule: the number of its path, its test, whether it takes absence.

    `texts`: see `only_texts`. `keys`: the lookup keys of the values it takes; `None` when it takes others, too.
    """

    number: int
    test: Test
    absent: bool
    texts: frozenset[str] | None
    keys: frozenset[Any] | None


class Answers:
    """What one record answers, found out when it is asked for."""

    def __init__(self, members: Members) -> None:
        self.fields = sum(map(len, members))
        self._members = members
        self._values: dict[int, dict[Any, tuple[Any, set[Place]]]] = {}
        self._sought: dict[Step, Sought] = {}

    def sought(self, step: Step) -> Sought:
        """Where a leaf is met, and where there is a value."""
        if step not in self._sought:
            met = self._met(step)
            present = {place for _, place in self._members[step.number]} if step.absent else set[Place]()
            self._sought[step] = Sought(met, present, absent=step.absent)
        return self._sought[step]

    def _met(self, step: Step) -> set[Place]:
        values = self._of(step.number)
        if step.keys is None:
            found = [places for value, places in values.values() if step.test(value)]
        else:
            found = [values[key][1] for key in step.keys & values.keys()]
        return found[0] if len(found) == 1 else set().union(*found)

    def _of(self, number: int) -> dict[Any, tuple[Any, set[Place]]]:
        """The values at a path, each with all of its places."""
        if number not in self._values:
            values = self._values[number] = {}
            for value, place in self._members[number]:
                values.setdefault(lookup_key(value), (value, set()))[1].add(place)
        return self._values[number]


def lookup_key(value: Any) -> Any:
    """The same for values that are equal, as event patterns see it, whatever an address is written like."""
    if isinstance(value, str):
        return value
    number = comparable(value)
    if number is not None:
        return number
    return type(value), value if isinstance(value, _HASHABLE) else id(value)
