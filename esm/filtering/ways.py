"""Rules that differ in one leaf alone, made one: `$or` over the values of a key is the same as a leaf with them all."""

from __future__ import annotations

from collections.abc import Sequence

from esm.filtering.pattern import Leaf, Rule

__all__ = ["merged"]

_WIDEST = 16  # leaves of a rule that is compared with others: what it costs grows with their square


def merged(rules: Sequence[Rule]) -> list[Rule]:
    """Fewer rules, or as many, which together match what the given ones do.

    A rule asks for a choice of array elements that meets all its leaves, so "these, and this" or "these, and that" is
    "these, and this or that".
    """
    written = {id(leaf): repr(leaf.matchers) for rule in rules for leaf in rule.values()}
    left = dict(enumerate(rules))
    holders: dict[str, list[int]] = {}
    for number, rule in left.items():
        for path in rule if len(rule) <= _WIDEST else ():
            holders.setdefault(path, []).append(number)
    for path, numbers in holders.items():
        groups: dict[frozenset[tuple[str, str]], list[int]] = {}
        for number in numbers:
            if number in left:
                beside = [(other, written[id(leaf)]) for other, leaf in left[number].items() if other != path]
                groups.setdefault(frozenset(beside), []).append(number)
        for first, *others in groups.values():
            if others:
                leaf = _joined([left[first][path], *(left.pop(number)[path] for number in others)])
                written[id(leaf)] = repr(leaf.matchers)
                left[first] = {**left[first], path: leaf}
    return list(left.values())


def _joined(leaves: list[Leaf]) -> Leaf:
    """A leaf that takes what any of these does. Matchers are told apart as written: `1` is not `true`."""
    matchers = {repr(matcher): matcher for leaf in leaves for matcher in leaf.matchers}
    return Leaf(leaves[0].place, tuple(matchers.values()))
