"""Worlds that are decided by seeds, one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from esm.errors import InvariantError

__all__ = ["Violation", "assert_rules_hold", "reached", "some_rule_breaks"]

Simulate = Callable[[int], Counter[str]]
"""Runs the world of a seed; gives how often what happened. Raises `Violation`, `InvariantError`."""


class Violation(AssertionError):  # noqa: N818  # it is one, and "ViolationError" would say it twice
    """A rule that a machine broke."""


def assert_rules_hold(simulate: Simulate, seeds: range) -> None:
    """Nothing, when no rule breaks; what breaks names its seed."""
    for seed in seeds:
        try:
            simulate(seed)
        except (Violation, InvariantError) as error:
            error.add_note(f"seed {seed}")
            raise


def some_rule_breaks(simulate: Simulate, seeds: range) -> bool:
    """Whether one of the worlds shows that something is wrong."""
    return any(_breaks(simulate, seed) for seed in seeds)


def reached(simulate: Simulate, seeds: range) -> Counter[str]:
    """How often what happened in all of these worlds."""
    counts: Counter[str] = Counter()
    for seed in seeds:
        counts.update(simulate(seed))
    return counts


def _breaks(simulate: Simulate, seed: int) -> bool:
    try:
        simulate(seed)
    except (Violation, InvariantError):
        return True
    return False
