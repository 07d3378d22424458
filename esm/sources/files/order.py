"""Sequence numbers of one shard, as a file has them: whether they are numbers, and whether they grow."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from operator import lt

from esm.records.position import SequenceNumber

__all__ = ["ascend", "is_behind", "is_number"]

_DIGITS_MAX = 256
"""A sequence number has 56, or fewer (chosen)."""


def ascend(numbers: Sequence[SequenceNumber]) -> bool:
    """Whether they are numbers of one width that grow: of such, the order of the texts is that of the numbers."""
    text = "".join(numbers)
    return (
        is_number(numbers[0])
        and len(set(map(len, numbers))) == 1
        and text.isascii()
        and text.encode().isdigit()  # many times as fast as of text
        and all(map(lt, numbers, islice(numbers, 1, None)))
    )


def is_number(number: SequenceNumber) -> bool:
    """Whether it is one, and not too long to be compared as such."""
    return number.isascii() and number.isdecimal() and len(number) <= _DIGITS_MAX


def is_behind(number: SequenceNumber, other: SequenceNumber | None) -> bool:
    """Whether it comes after `other`; `None`: there is nothing before it."""
    return other is None or int(number) > int(other)
