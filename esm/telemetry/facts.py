"""Everything that happens and that somebody may want to know, one frozen value each.

Logs, metrics, the simulation's checker and the crash tests read the same facts, so they cannot disagree. No fact
holds a payload,
a credential or an event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from esm.clock import Millis

__all__ = [
    "CheckpointStored",
    "DestinationDelivered",
    "DestinationFailed",
    "Fact",
    "HandlerAbandoned",
    "InvocationEnded",
    "InvocationStarted",
    "LeaseLost",
    "LeaseTaken",
    "MappingStateChanged",
    "MessagesDeleted",
    "MessagesReturned",
    "ObserverDropped",
    "PollFailed",
    "Polled",
    "PositionTrimmed",
    "RecordsDiscarded",
    "ShardEnded",
    "ShardHalted",
    "ShardStarted",
    "StoreFailed",
    "VisibilityExtended",
    "WorkerStopped",
    "WorkerStopping",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """`at`: epoch ms.

    `mapping`: the mapping's uuid, "" for the worker itself. `shard`: shard id, "" where there is none.
    """

    at: Millis
    mapping: str = ""
    shard: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingStateChanged(Fact):
    """`state`: Lambda's (`Creating`, `Enabled`, ...). `reason`: StateTransitionReason or what is wrong."""

    state: str
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserverDropped(Fact):
    """An observer raised and is told nothing more; the others are. `error`: its kind, never its text."""

    observer: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTaken(Fact):
    """This worker reads the shard from now on, under `epoch`."""

    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLost(Fact):
    """Another owner reads the shard; this worker dropped it without settling anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStarted(Fact):
    """Reading begins at `position` (`TRIM_HORIZON`, ..., or the sequence number it follows)."""

    position: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardEnded(Fact):
    """The shard is closed, all of it settled, its children have leases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardHalted(Fact):
    """The shard is not read any more until somebody acts; its checkpoint stays. `error`: the rule or fault."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionTrimmed(Fact):
    """Records after `after` and before `resumed_at` (`None`: the end) were no longer kept, and may be lost."""

    after: str
    resumed_at: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled(Fact):
    """One read. `filtered`: records of it that no filter let through. `behind_ms`: distance to the tip."""

    records: int
    filtered: int
    behind_ms: Millis
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PollFailed(Fact):
    """A read failed; the next try is at `retry_at`."""

    code: str
    message: str
    retry_at: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationStarted(Fact):
    """The function is called. `first`, `last`: sequence numbers. `age_ms`: of the last record (`IteratorAge`).

    The final call of a tumbling window has no records, "" for both numbers, and no age.
    """

    request_id: str
    lane: int
    records: int
    first: str
    last: str
    invoke_count: int
    age_ms: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationEnded(Fact):
    """The function answered, raised or timed out. `failed_records`: how many of `records` are not done.

    `error_at`: where it raised, as in `app.py:12 in handle`; the file's name alone.
    """

    request_id: str
    lane: int
    records: int
    outcome: Literal["succeeded", "failed", "partly failed"]
    failed_records: int
    duration_ms: Millis
    error_type: str | None = None
    error_message: str | None = None
    error_trace: str | None = None
    error_at: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerAbandoned(Fact):
    """A call ran out of time and did not stop when told; `abandoned` of this function's are still out there."""

    request_id: str
    abandoned: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsDiscarded(Fact):
    """A range is given up: `condition` in AWS's words. `delivered`: whether a destination has the failure record."""

    condition: str
    lane: int
    records: int
    first: str
    last: str
    delivered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationDelivered(Fact):
    """The on-failure destination took the record of `records` stream records."""

    destination: str
    records: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationFailed(Fact):
    """The on-failure destination refused; `attempt` tries so far."""

    destination: str
    records: int
    attempt: int
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointStored(Fact):
    """The store has it. `settled`: all at or below it is settled; `None` while nothing is."""

    settled: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFailed(Fact):
    """A write of a position failed; it is tried again, and its lanes wait."""

    error: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesDeleted(Fact):
    """A queue was told that `messages` are done. `failed`: tried again. `stale`: their handles were of no use."""

    messages: int
    failed: int
    stale: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesReturned(Fact):
    """`messages` were given back to a queue, which shows them again; `missed`: not given back."""

    messages: int
    missed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class VisibilityExtended(Fact):
    """A queue hides `messages` for longer, as they are still wanted; `missed`: not those."""

    messages: int
    missed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStopping(Fact):
    """No more reads or invocations begin; what is out has `drain_ms` to end."""

    drain_ms: Millis


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStopped(Fact):
    """Nothing runs any more. `clean`: everything that was out ended by itself."""

    clean: bool
