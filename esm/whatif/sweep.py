"""Which settings to try: `10..500`, `1,2,5`, and all their combinations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

__all__ = ["TRIALS_MAX", "combinations", "values_of"]

TRIALS_MAX = 200
"""Combinations in one sweep; each is a simulation of its own (chosen)."""

_STEPS = (1, 2, 5)


def values_of(text: str) -> list[int]:
    """The values that a text names, each once, in its order.

    `10..500` is 10, 20, 50, 100, 200, 500: the ends, and between them the round numbers, 1, 2 and 5 times a power of
    ten. `1,2,8` is what it says; the two may be mixed. Raises `ValueError`.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        first, dots, last = part.strip().partition("..")
        ends = [_number(first), _number(last) if dots else _number(first)]
        if ends[0] > ends[1]:
            raise ValueError(f"{part.strip()!r} goes backwards")
        found |= dict.fromkeys(_between(*ends))
    return list(found)


def combinations(settings: Mapping[str, list[int]]) -> list[dict[str, int]]:
    """Every combination, the last setting changing fastest. Raises `ValueError` for more than `TRIALS_MAX`."""
    count = 1
    for values in settings.values():
        count *= len(values)
    if count > TRIALS_MAX:
        raise ValueError(f"{count} combinations are more than {TRIALS_MAX}; name fewer values")
    return [dict(zip(settings, values, strict=True)) for values in product(*settings.values())]


def _between(first: int, last: int) -> Iterator[int]:
    yield first
    power = 1
    while power <= last:
        for step in _STEPS:
            if first < step * power < last:
                yield step * power
        power *= 10
    yield last


def _number(text: str) -> int:
    if not text.strip().isascii() or not text.strip().isdigit():
        raise ValueError(f"{text.strip()!r} is no number, and no range like 10..500")
    return int(text)
