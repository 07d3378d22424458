"""What a worker looks like at one moment, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from esm.clock import Millis

__all__ = ["LaneStatus", "MappingStatus", "ShardStatus", "WorkerStatus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneStatus:
    """One of a shard's lanes.

    `state`: `idle`, `waiting` (for a full batch or the window), `invoking`, `retrying` (in backoff), `too large` (the
    event of its next record is over 6 MB), `discarding` (its failure record is being sent), `storing` (its last
    settlement is not stored yet). `records`: read and not settled.
    `invoke_count`: invokes of the batch at its front so far. `retry_at`: epoch ms, `None` when nothing waits for a
    time.
    """

    lane: int
    state: str
    records: int
    invoke_count: int
    retry_at: Millis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStatus:
    """One shard that this mapping knows.

    `state`: `waiting` (for its parents), `reading`, `draining`, `ended`, `halted`, `lost`, `stopped`. `position`: all
    at or
    below it is settled, `None` while nothing is. `behind_ms`: distance of the last read from the tip, `None` before it.
    `window_ends_at`: end of the open tumbling window, epoch ms, `None` when none is open. `parents`: of a shard that
    waits, those that must have ended first. `oldest_age_ms`: age of the oldest record that is read and not settled,
    `None` when there is none.
    """

    shard_id: str
    state: str
    position: str | None = None
    behind_ms: Millis | None = None
    records_held: int = 0
    bytes_held: int = 0
    window_ends_at: Millis | None = None
    lanes: tuple[LaneStatus, ...] = ()
    last_error: str | None = None
    parents: tuple[str, ...] = ()
    oldest_age_ms: Millis | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingStatus:
    """One mapping. `state`, `state_transition_reason`, `last_processing_result`: Lambda's."""

    uuid: str
    event_source_arn: str
    function_name: str
    state: str
    state_transition_reason: str
    last_processing_result: str
    shards: tuple[ShardStatus, ...] = ()
    last_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A worker. `id`: what it signs its leases with."""

    id: str
    stopping: bool
    mappings: tuple[MappingStatus, ...] = ()
