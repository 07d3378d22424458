"""What a server of canned answers has seen so far, in a file that whoever measures maps too."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Sequence
from typing import cast

__all__ = ["COUNTER_BYTES", "Counter", "mapped", "percentile"]

LATE_MS_MAX = 4000
COUNTER_BYTES = 16 + 8 * (LATE_MS_MAX + 1)


class Counter:
    """Polls and records that the server has answered so far, in a file that both processes map.

    And how late polls of empty shards came, in whole milliseconds beyond a second after the one before.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._map = mapped(path, COUNTER_BYTES)

    def add(self, records: int) -> None:
        """One more poll."""
        polls, before = self.read()
        struct.pack_into("<QQ", self._map, 0, polls + 1, before + records)

    def read(self) -> tuple[int, int]:
        """Polls and records."""
        return cast("tuple[int, int]", struct.unpack_from("<QQ", self._map))

    def add_late(self, seconds: float) -> None:
        """One more poll of an empty shard, so late."""
        at = 16 + 8 * min(LATE_MS_MAX, max(0, int(seconds * 1000)))
        struct.pack_into("<Q", self._map, at, struct.unpack_from("<Q", self._map, at)[0] + 1)

    def late(self) -> list[int]:
        """By milliseconds, how many polls were so late."""
        return list(struct.unpack_from(f"<{LATE_MS_MAX + 1}Q", self._map, 16))


def percentile(late: Sequence[int], share: float) -> int | None:
    """Within how many milliseconds so large a share came; `None` when none did."""
    left = share * sum(late)
    for milliseconds, count in enumerate(late):
        left -= count
        if count and left <= 0:
            return milliseconds
    return None


def mapped(path: str | os.PathLike[str], size: int) -> mmap.mmap:
    """A file of so many bytes, shared with whoever else maps it."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)
