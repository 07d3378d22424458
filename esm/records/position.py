"""Where in a shard: a starting point, and how far each lane has come from it.

A shard's records are spread over lanes by key (`ParallelizationFactor`). Each lane settles its records in order, so
one sequence number a lane says all: every record of that lane at or below it is settled. Sequence numbers are decimal
text of any width and are compared as integers (Kinesis writes 56 digits, DynamoDB 21 and more, local servers fewer).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal
from zlib import crc32

from msgspec import Struct, convert, to_builtins
from msgspec.structs import replace

from esm.clock import Millis
from esm.records.window import Window

__all__ = ["Checkpoint", "LanePositions", "Position", "SequenceNumber", "as_declared", "by_lane", "lane_of"]

SequenceNumber = str
"""Decimal digits, only ever compared as integers."""


def lane_of(key: str, lanes: int) -> int:
    """The lane of a key: stable over processes and releases, because stored positions depend on it (chosen)."""
    return crc32(key.encode()) % lanes if lanes > 1 else 0


def by_lane(records: Iterable[Any], lanes: int) -> list[list[Any]]:
    """The records of each lane, in their order: all of one key go through one lane, as `lane_of` says."""
    parts: list[list[Any]] = [[] for _ in range(lanes)]
    puts = [part.append for part in parts]
    for record in records:
        puts[crc32(record.key.encode()) % lanes](record)
    return parts


class Position(Struct, frozen=True):
    """Where reading begins: a starting point of a mapping, or just after a record.

    Names are those of `ShardIteratorType`. `LATEST` carries the time (`at`, epoch ms) it was first asked for: whoever
    comes back to it without having read a record continues from that time, not from the new tip, or records would be
    lost. Once a record was read it carries that record's `sequence_number`, and means that record.
    """

    type: Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "AFTER_SEQUENCE_NUMBER"]
    at: Millis | None = None
    sequence_number: SequenceNumber | None = None

    @classmethod
    def trim_horizon(cls) -> Position:
        """The oldest record kept."""
        return cls("TRIM_HORIZON")

    @classmethod
    def latest(cls, now: Millis) -> Position:
        """The tip as it stood at `now`."""
        return cls("LATEST", at=now)

    def begun(self, sequence_number: SequenceNumber) -> Position:
        """This starting point, now that its first record is known."""
        return replace(self, sequence_number=sequence_number)

    @classmethod
    def at_timestamp(cls, at: Millis) -> Position:
        """The first record that arrived at or after `at`."""
        return cls("AT_TIMESTAMP", at=at)

    @classmethod
    def after(cls, sequence_number: SequenceNumber) -> Position:
        """The record that follows `sequence_number`."""
        return cls("AFTER_SEQUENCE_NUMBER", sequence_number=sequence_number)


class LanePositions(Struct, frozen=True):
    """How far each of `len(settled)` lanes has come.

    `None`: nothing of that lane is settled since the starting point.
    """

    settled: tuple[SequenceNumber | None, ...]

    def covers(self, key: str, sequence_number: SequenceNumber) -> bool:
        """Whether the record of this key at this place is settled already."""
        settled = self.settled[lane_of(key, len(self.settled))]
        return settled is not None and int(sequence_number) <= int(settled)

    @property
    def lowest(self) -> SequenceNumber | None:
        """Every record of the shard at or below it is settled; `None` when some lane has settled nothing."""
        if len(self.settled) == 1:
            return self.settled[0]
        numbers = [n for n in self.settled if n is not None]
        if len(numbers) < len(self.settled):
            return None
        return min(numbers) if len(set(map(len, numbers))) == 1 else min(numbers, key=int)  # as text, which costs half

    @property
    def highest(self) -> SequenceNumber | None:
        """No record above it is settled; `None` when nothing is."""
        return max((n for n in self.settled if n is not None), key=int, default=None)


class Checkpoint(Struct, frozen=True):
    """What is settled of one shard: enough to go on without loss and, after a clean stop, without repetition.

    `start`: where the shard's reading began. `lanes`: one layer for each lane count in use since the oldest unsettled
    record; the last is the current one. A record is settled when any layer covers it. Empty: nothing is settled yet.
    `ended`: the shard
    is closed, all of it is settled and its children have leases; never "equal to the last record". `window`: the open
    tumbling window, with its state as it was when all this was settled; `None` when none is open.
    """

    start: Position
    lanes: tuple[LanePositions, ...] = ()
    ended: bool = False
    window: Window | None = None

    def covers(self, key: str, sequence_number: SequenceNumber) -> bool:
        """Whether the record of this key at this place is settled already."""
        return any(layer.covers(key, sequence_number) for layer in self.lanes)

    @property
    def settled(self) -> SequenceNumber | None:
        """Every record of the shard at or below it is settled; `None` while that is none."""
        if len(self.lanes) == 1:
            return self.lanes[0].lowest
        lowest = [n for layer in self.lanes if (n := layer.lowest) is not None]
        return max(lowest, key=int, default=None)

    @property
    def resume_at(self) -> Position:
        """Where to read on from: after `settled`, or from the start."""
        return self.start if self.settled is None else Position.after(self.settled)


def as_declared(checkpoint: Checkpoint) -> Checkpoint:
    """The same, of the types that its fields have: a store of a user's own may give lists, decimals or floats.

    Raises `ValueError`, with the field's name, for what cannot be one.
    """
    return convert(to_builtins(checkpoint), Checkpoint, strict=False)
