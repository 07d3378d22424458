"""What the simulated world writes into the journal beyond what the test kit does."""

from __future__ import annotations

from dataclasses import dataclass

from esm.testing.journal import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeBegan(Entry):
    """A worker starts with these settings."""

    batch_size: int
    parallelization_factor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered(Entry):
    """The filter lets the record that was just put not pass."""

    sequence_number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopping(Entry):
    """The worker says that it begins nothing more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded(Entry):
    """The worker says that it has given up a range; `lanes`: how many there are."""

    shard: str
    lane: int
    lanes: int
    condition: str
    first: str
    last: str
    records: int
    delivered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Troubled(Entry):
    """The worker says that a shard is halted or lost: in these runs, a bug."""

    shard: str
    error: str
