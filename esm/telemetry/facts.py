"""Everything that happens and that somebody may want to know, one frozen value each.

Logs, metrics, the simulation's checker and the crash tests read the same facts, so they cannot disagree. No fact
holds a payload, a credential or an event. They are made for every batch: a struct costs a third of a frozen dataclass,
and hold nothing that could be part of a cycle.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from esm.clock import Millis

__all__ = [
    "CallsThroughSdk",
    "CheckpointStored",
    "DestinationDelivered",
    "DestinationFailed",
    "Fact",
    "FunctionThrottled",
    "HandlerAbandoned",
    "InvocationEnded",
    "InvocationStarted",
    "LeaseLost",
    "LeaseTaken",
    "LoopBlocked",
    "LoopFreed",
    "MappingFailed",
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
    "ShardSilent",
    "ShardStarted",
    "StoreFailed",
    "VisibilityExtended",
    "WorkerStopped",
    "WorkerStopping",
]


class Fact(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """`at`: epoch ms.

    `mapping`: the mapping's uuid, "" for the worker itself. `shard`: shard id, "" where there is none.
    """

    at: Millis
    mapping: str = ""
    shard: str = ""


class MappingStateChanged(Fact, frozen=True, kw_only=True):
    """`state`: Lambda's (`Creating`, `Enabled`, ...). `reason`: StateTransitionReason or what is wrong.

    `function`: the function's name; that and `event_source_arn` are what its metrics are named by.
    """

    state: str
    reason: str = ""
    function: str = ""
    event_source_arn: str = ""


class MappingFailed(Fact, frozen=True, kw_only=True):
    """A fault of esm's own ended what runs a mapping. The other mappings go on; it begins anew at `retry_at`."""

    error: str
    retry_at: Millis


class ObserverDropped(Fact, frozen=True, kw_only=True):
    """An observer raised and is told nothing more; the others are. `error`: its kind, never its text."""

    observer: str
    error: str


class LeaseTaken(Fact, frozen=True, kw_only=True):
    """This worker reads the shard from now on, under `epoch`."""

    epoch: int


class LeaseLost(Fact, frozen=True, kw_only=True):
    """Another owner reads the shard, or its position was moved by hand; this worker dropped it, settling nothing."""


class ShardStarted(Fact, frozen=True, kw_only=True):
    """Reading begins at `position` (`TRIM_HORIZON`, ..., or the sequence number it follows)."""

    position: str


class ShardEnded(Fact, frozen=True, kw_only=True):
    """The shard is closed, all of it settled, its children have leases."""


class ShardHalted(Fact, frozen=True, kw_only=True):
    """The shard is not read any more until somebody acts; its checkpoint stays. `error`: the rule or fault."""

    error: str


class ShardSilent(Fact, frozen=True, kw_only=True):
    """Nothing has come of the shard for `silent_ms`, there is something to do, and nothing known explains it.

    `behind_ms`: how far behind it is, by what it has read and not settled or by what it has not read; `None` if
    unknown. `restarts`: whether the shard is begun anew for it, from its stored position. Told again as long as it
    lasts.
    """

    behind_ms: Millis | None
    silent_ms: Millis
    restarts: bool = False


class PositionTrimmed(Fact, frozen=True, kw_only=True):
    """Records after `after` and before `resumed_at` (`None`: the end) were no longer kept, and may be lost."""

    after: str
    resumed_at: str | None


class Polled(Fact, frozen=True, kw_only=True):
    """One read, or a part of one that brought much: `part` counts them, from 0.

    `filtered`: records of it that no filter let through. `behind_ms`: distance to the tip, of all that was read.

    `held`, `held_bytes`: what is read and not settled now, with these. `passed_over`: records of it that were settled
    before the shard was begun here. So of a shard, since `ShardStarted`: the sum of `records` is that of `filtered`,
    `passed_over`, `InvocationEnded.settled` and `RecordsDiscarded.records`, and what is held.
    """

    records: int
    filtered: int
    behind_ms: Millis
    size_bytes: int
    held: int = 0
    held_bytes: int = 0
    passed_over: int = 0
    part: int = 0


class PollFailed(Fact, frozen=True, kw_only=True):
    """A read failed; the next try is at `retry_at`."""

    code: str
    message: str
    retry_at: Millis


class InvocationStarted(Fact, frozen=True, kw_only=True):
    """The function is called. `first`, `last`: sequence numbers. `age_ms`: of the last record (`IteratorAge`).

    The final call of a tumbling window has no records, "" for both numbers, and no age. `traces`: where the messages
    come from, as `traceparent` texts of W3C's; collected only for who asks for them (`Observer.wants_traces`).
    """

    request_id: str
    lane: int
    records: int
    first: str
    last: str
    invoke_count: int
    age_ms: Millis
    traces: tuple[str, ...] = ()


class InvocationEnded(Fact, frozen=True, kw_only=True):
    """The function answered, raised or timed out. `failed_records`: how many of `records` it failed with or named.

    `settled`: how many of them are done; of a stream's batch, those before the first that failed. `age_ms`: of the last
    record when the call began (`IteratorAge`), 0 where there is none.
    `error_at`: where it raised, as in `app.py:12 in handle`; the file's name alone. `function_error`: `Unhandled` when
    it raised or timed out, `None` when it did not, or only its answer was at fault.
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
    function_error: str | None = None
    settled: int = 0
    age_ms: Millis = 0


class FunctionThrottled(Fact, frozen=True, kw_only=True):
    """A batch waits because the function has no room: its reserved concurrency, or the worker's, is all in use.

    Told once for each batch that waits. It uses up no attempt.
    """

    lane: int
    records: int
    function: str


class HandlerAbandoned(Fact, frozen=True, kw_only=True):
    """A call ran out of time and did not stop when told; `abandoned` of this function's are still out there."""

    request_id: str
    abandoned: int


class RecordsDiscarded(Fact, frozen=True, kw_only=True):
    """A range is given up: `condition` in AWS's words. `delivered`: whether a destination has the failure record."""

    condition: str
    lane: int
    records: int
    first: str
    last: str
    delivered: bool


class DestinationDelivered(Fact, frozen=True, kw_only=True):
    """The on-failure destination took the record of `records` stream records."""

    destination: str
    records: int


class DestinationFailed(Fact, frozen=True, kw_only=True):
    """The on-failure destination refused; `attempt` tries so far."""

    destination: str
    records: int
    attempt: int
    error: str


class CheckpointStored(Fact, frozen=True, kw_only=True):
    """The store has it. `settled`: all at or below it is settled; `None` while nothing is."""

    settled: str | None


class StoreFailed(Fact, frozen=True, kw_only=True):
    """A write of a position failed; it is tried again, and its lanes wait."""

    error: str
    attempt: int


class MessagesDeleted(Fact, frozen=True, kw_only=True):
    """A queue was told that `messages` are done. `failed`: tried again. `stale`: their handles were of no use."""

    messages: int
    failed: int
    stale: int


class MessagesReturned(Fact, frozen=True, kw_only=True):
    """`messages` were given back to a queue, which shows them again; `missed`: not given back."""

    messages: int
    missed: int


class VisibilityExtended(Fact, frozen=True, kw_only=True):
    """A queue hides `messages` for longer, as they are still wanted; `missed`: not those."""

    messages: int
    missed: int


class WorkerStopping(Fact, frozen=True, kw_only=True):
    """No more reads or invocations begin; what is out has `drain_ms` to end."""

    drain_ms: Millis


class WorkerStopped(Fact, frozen=True, kw_only=True):
    """Nothing runs any more. `clean`: everything that was out ended by itself."""

    clean: bool


class CallsThroughSdk(Fact, frozen=True, kw_only=True):
    """Reads, receives and deletes of a service (`"kinesis"`) go through the whole SDK, which costs more.

    `reason`: what is configured that they would pass by otherwise, or `fast=False`.
    """

    service: str
    reason: str


class LoopBlocked(Fact, frozen=True, kw_only=True):
    """The event loop has not turned for `blocked_ms`: what runs in it waits without `await`, or computes.

    `mapping`, `function`, `request_id`: of the call that runs in it, "" when it is none of this worker's. `stack`:
    where it is, the innermost place first, as in `app.py:12 in handle`; files by their names alone.
    """

    function: str
    request_id: str
    blocked_ms: Millis
    stack: tuple[str, ...]


class LoopFreed(Fact, frozen=True, kw_only=True):
    """The event loop turns again, having been blocked for `blocked_ms` by what `LoopBlocked` said."""

    function: str
    request_id: str
    blocked_ms: Millis
