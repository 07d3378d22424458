"""Arrays of objects: all leaves of a rule have to be met within the same element of each array.

A value's *place* says which element of which array it stands in: pairs of an array's number and an index, outermost
first. Two places agree unless they name different elements of one array. Scalars that stand directly in an array are
not bound to their index, so an array of scalars is matched by any of its elements. (observed with EventBridge's
TestEventPattern)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

__all__ = ["Budget", "Place", "Sought", "consistent"]

Place = tuple[tuple[int, int], ...]
"""(array, index), outermost first; empty outside of all arrays of objects."""


class Budget:
    """How many steps the search through one record may take: bounded, whatever the record.

    Chosen. It is linear in `fields`, the values found; only records made to be hard to match come near it.
    """

    __slots__ = ("left",)

    def __init__(self, fields: int) -> None:
        self.left = 5_000 + 4 * fields


@dataclass(slots=True)
class _Branch:
    """The places that go on below one element."""

    ends: bool = False
    arrays: dict[int, dict[int, _Branch]] = field(default_factory=dict)

    def add(self, place: Place) -> None:
        branch = self
        for array, index in place:
            branch = branch.arrays.setdefault(array, {}).setdefault(index, _Branch())
        branch.ends = True


class Sought:
    """One leaf of a rule and a record: where it is met (`met`), where its path has a value at all (`present`).

    `absent`: the leaf is also met where there is no value; `present` counts for nothing when it is not.
    """

    def __init__(self, met: set[Place], present: set[Place], *, absent: bool) -> None:
        self.met, self.present, self.absent = met, present, absent

    @cached_property
    def arrays(self) -> frozenset[int]:
        """All arrays that its places name."""
        return frozenset(array for place in self.met.union(self.present if self.absent else ()) for array, _ in place)

    @cached_property
    def met_tree(self) -> _Branch:
        """`met`, so that the places that agree with a choice are found without looking at the others."""
        return _tree(self.met)

    @cached_property
    def present_tree(self) -> _Branch:
        """`present`, likewise."""
        return _tree(self.present)


def _tree(places: Iterable[Place]) -> _Branch:
    root = _Branch()
    for place in places:
        root.add(place)
    return root


def consistent(leaves: list[Sought], budget: Budget) -> bool:
    """Whether one choice of elements meets all leaves, taken in the order of their paths.

    The order matters for absence alone: a value is missing when it is missing in the elements chosen by the leaves
    before. `False` too when the budget is used up.
    """
    if not any(leaf.absent for leaf in leaves):
        bound = [leaf.met for leaf in leaves if () not in leaf.met]
        if len(bound) <= 1 or set.intersection(*bound):
            return all(
                leaf.met for leaf in leaves
            )  # one leaf alone is bound to an element, or one element meets them all
    budget.left -= sum(len(leaf.arrays) for leaf in leaves)
    last = {array: at for at, leaf in enumerate(leaves) for array in leaf.arrays}
    states: set[Place] = {()}
    for at, leaf in enumerate(leaves):
        following: set[Place] = set()
        for state in states:
            chosen = dict(state)
            for met in _meet(leaf, chosen, budget):
                # An array that no later leaf looks into is forgotten: the states stay few.
                following.add(tuple(sorted((a, i) for a, i in (chosen | met).items() if last[a] > at)))
            if budget.left < 0:
                return False
        states = following
    return bool(states)


def _meet(leaf: Sought, chosen: dict[int, int], budget: Budget) -> Iterator[dict[int, int]]:
    """The elements that meeting the leaf adds to those chosen, once for each way to meet it."""
    if leaf.absent and next(_agreeing(leaf.present_tree, chosen, budget), None) is None:
        yield {}
    yield from _agreeing(leaf.met_tree, chosen, budget)


def _agreeing(root: _Branch, chosen: dict[int, int], budget: Budget) -> Iterator[dict[int, int]]:
    todo: list[tuple[_Branch, dict[int, int]]] = [(root, {})]
    while todo and budget.left >= 0:
        branch, added = todo.pop()
        budget.left -= 1
        if branch.ends:
            yield added
        for array, elements in branch.arrays.items():
            index = chosen.get(array)
            if index is None:
                todo += [(below, added | {array: at}) for at, below in elements.items()]
            elif index in elements:
                todo.append((elements[index], added))
