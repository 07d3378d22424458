"""What happened outside the system under test, in order: the evidence a checker judges by.

Written where an effect takes place, never by the worker itself, so that a worker that deceives itself cannot deceive
the journal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any, TypeVar

from esm.clock import Millis
from esm.leasing.lease import LeaseKey
from esm.records.position import Checkpoint

__all__ = [
    "AttemptEnded",
    "AttemptStarted",
    "CheckpointAccepted",
    "DiscardReceived",
    "Entry",
    "FaultInjected",
    "GapOpened",
    "Journal",
    "LeaseChanged",
    "RecordPut",
    "ShardResharded",
    "WorkerEnded",
    "WorkerKilled",
    "WorkerPaused",
    "WorkerStarted",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """`at`: epoch ms of the world's own clock. `worker`: whose call it was, "" for the world's own doing."""

    at: Millis
    worker: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordPut(Entry):
    """A record is on the stream."""

    stream: str
    shard: str
    key: str
    sequence_number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardResharded(Entry):
    """`parents` are closed, `children` are open."""

    stream: str
    parents: tuple[str, ...]
    children: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GapOpened(Entry):
    """Records are no longer readable, those up to `up_to` of this shard among them."""

    stream: str
    shard: str
    up_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptStarted(Entry):
    """The function was called with these records."""

    mapping: str
    shard: str
    request_id: str
    sequence_numbers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded(Entry):
    """The function answered. `done`: those of the attempt's records that its answer says are handled."""

    mapping: str
    shard: str
    request_id: str
    done: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseChanged(Entry):
    """A store took a change of owner or of rows: `verb` is `create`, `take`, `release` or `remove`."""

    key: LeaseKey
    verb: str
    owner: str | None
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointAccepted(Entry):
    """A store has this checkpoint now, written under (owner, epoch)."""

    key: LeaseKey
    owner: str | None
    epoch: int
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscardReceived(Entry):
    """The on-failure destination has this failure record."""

    mapping: str
    shard: str
    document: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStarted(Entry):
    """A worker process began its life."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerEnded(Entry):
    """A worker process ended by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerKilled(Entry):
    """A worker process was killed: right after the effect of its `nth` call of `kind`; "" if at any time."""

    kind: str = ""
    nth: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPaused(Entry):
    """A worker process stood still from now on for `duration_ms`."""

    duration_ms: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultInjected(Entry):
    """A call of `kind` met a `fault` (a field of `Faults`). `effect`: whether it took effect all the same."""

    kind: str
    fault: str
    effect: bool


E = TypeVar("E", bound=Entry)


class Journal:
    """Entries in the order of their effects. Once closed it takes no more, so that clearing away leaves no trace."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._closed = False

    def add(self, entry: Entry) -> None:
        """The next entry."""
        if not self._closed:
            self.entries.append(entry)

    def close(self) -> None:
        """What comes later did not happen."""
        self._closed = True

    def of(self, kind: type[E]) -> Iterator[E]:
        """Those of one kind, in order."""
        return (entry for entry in self.entries if isinstance(entry, kind))

    def counts(self) -> Counter[str]:
        """How many there are of each kind, and how often each fault was met: what a run reached."""
        counts = Counter(type(entry).__name__ for entry in self.entries)
        counts.update(f"{fault.kind}: {fault.fault}" for fault in self.of(FaultInjected))
        return counts

    def tail(self, number: int = 200) -> str:
        """The last entries, one a line, for the person who reads a failure."""
        return "\n".join(_line(entry) for entry in self.entries[-number:])

    def digest(self) -> str:
        """The same for two runs with the same history, and for no others."""
        text = "\n".join(_line(entry) for entry in self.entries)
        return sha256(text.encode()).hexdigest()


def _line(entry: Entry) -> str:
    rest = (f"{f.name}={getattr(entry, f.name)!r}" for f in fields(entry) if f.name != "at")
    return f"{entry.at} {type(entry).__name__} " + " ".join(rest)
