"""JSON numbers as event patterns compare them: as doubles when nothing is lost by that, as text otherwise.

EventBridge compares a number as an IEEE double as long as the double, written out shortest, is the number again
(observed: 300 equals 300.0; 2.0e422 and 1E-325 are refused in a range). All other numbers equal only themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from math import isfinite
from typing import Any

__all__ = ["Inexact", "JsonNumber", "comparable", "read_float", "read_int"]

_EXACT = 2**53  # every integer up to here is a double of its own
_SHORT = 16  # 15 digits and a point: always survive the way to a double and back
_INT_DIGITS = 4000  # below Python's own limit for turning text into an integer


@dataclass(frozen=True, slots=True)
class Inexact:
    """A number that no double stands for, by its text: it equals the same text and nothing else."""

    text: str


JsonNumber = int | float | Inexact
"""A number of a JSON text: comparable as a double, or not (`Inexact`, and integers that no double stands for)."""


def read_float(text: str) -> float | Inexact:
    """The number that a JSON text with a point or an exponent says."""
    value = float(text)
    if (len(text) <= _SHORT and "e" not in text and "E" not in text) or repr(value) == text:
        return value
    if not isfinite(value):
        return Inexact(text)
    try:
        same = Decimal(text) == Decimal(repr(value))
    except ArithmeticError:  # an exponent beyond what decimals hold
        return Inexact(text)
    return value if same else Inexact(text)


def read_int(text: str) -> int | Inexact:
    """The number that a JSON text of digits says."""
    return int(text) if len(text) <= _INT_DIGITS else Inexact(text)


def comparable(value: Any) -> int | float | None:
    """What a number is compared by; `None` for what is no number or loses digits as a double."""
    kind = type(value)
    if kind is int:
        return value if -_EXACT <= value <= _EXACT else _rounded(value)
    if kind is float and isfinite(value):
        return value  # type: ignore[no-any-return]  # a float by its kind
    return None


def _rounded(value: int) -> float | None:
    try:
        rounded = float(value)
    except OverflowError:
        return None
    return rounded if int(Decimal(repr(rounded))) == value else None
