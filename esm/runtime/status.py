"""What a worker looks like at one moment, as frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from esm.clock import Millis

__all__ = ["LaneStatus", "MappingStatus", "QueueStatus", "ShardStatus", "WorkerStatus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneStatus:
    """One of a shard's lanes, or a slot of a queue's that is in use.

    `state`: `idle`, `waiting` (for a full batch or the window), `invoking`, `throttled` (the function has no room),
    `retrying` (in backoff), `too large` (the event of its next record is over 6 MB), `discarding` (its failure record
    is being sent), `storing` (its last settlement is not stored yet). `records`, `bytes_held`: read and not settled.
    `in_flight`: records of it that the function, or the destination, has now.
    `invoke_count`: invokes of the batch at its front so far. `retry_at`: epoch ms, `None` when nothing waits for a
    time. `position`: all of the lane at or below it is settled; `None` while nothing is, and for a queue.
    `last_error`: of its last call, `None` when that went well.
    """

    lane: int
    state: str
    records: int
    invoke_count: int
    retry_at: Millis | None
    in_flight: int = 0
    bytes_held: int = 0
    position: str | None = None
    last_error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """What only a queue has.

    `receives`: long polls out. `concurrency`: batches that may be handled at once, as it has grown or been limited.
    `deletes_waiting`: messages that are done and not deleted yet. `extended`: how often a message's visibility was
    extended since the start.
    """

    receives: int
    concurrency: int
    deletes_waiting: int
    extended: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStatus:
    """One shard that this mapping knows, or its queue.

    `state`: `waiting` (for its parents, to be taken, or for its queue to answer), `reading`, `draining`, `ended`,
    `halted`, `lost`, `stopped`.
    `position`: all at or below it is settled, `None` while nothing is. `behind_ms`: distance of the last read from the
    tip, `None` before it.
    `window_ends_at`: end of the open tumbling window, epoch ms, `None` when none is open. `parents`: of a shard that
    waits, those that must have ended first. `oldest_age_ms`: age of the oldest record that is read and not settled,
    `None` when there is none. `waits_for`: what it waits for, when that is not the next record: `function`,
    `concurrency`, `backoff`, `batching window`, `destination`, `store`, `source` (reads fail), `memory` (the worker
    holds all it may). `silent_ms`: for how long something is overdue that none of these explains, `None` when nothing
    is. `queue`: `None` for a stream's shard.
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
    waits_for: str | None = None
    silent_ms: Millis | None = None
    queue: QueueStatus | None = None

    @property
    def in_flight(self) -> int:
        """Records that the function, or the destination, has now."""
        return sum(lane.in_flight for lane in self.lanes)

    @property
    def lag_ms(self) -> Millis | None:
        """How far it is behind, in records' age: by what it has not read, or has read and not settled.

        `None` before the first read.
        """
        return max((ms for ms in (self.behind_ms, self.oldest_age_ms) if ms is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingStatus:
    """One mapping. `state`, `state_transition_reason`, `last_processing_result`: Lambda's.

    `last_modified`: epoch ms, when it came to be, in this worker, or was changed. `shards`: of one that is disabled, as
    they were left; empty if it never ran. `reserved_concurrency`: of its function, `None` for no limit.
    """

    uuid: str
    event_source_arn: str
    function_name: str
    state: str
    state_transition_reason: str
    last_processing_result: str
    shards: tuple[ShardStatus, ...] = ()
    last_error: str | None = None
    last_modified: Millis = 0
    reserved_concurrency: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerStatus:
    """A worker. `id`: what it signs its leases with, "" before its start.

    `bytes_in_flight`: what all records take that are asked for or held; `bytes_in_flight_max`: what they may.
    """

    id: str
    stopping: bool
    mappings: tuple[MappingStatus, ...] = ()
    bytes_in_flight: int = 0
    bytes_in_flight_max: int = 0
