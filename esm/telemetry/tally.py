"""What is counted of each mapping: the numbers, their names, and how they look when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from esm.clock import Millis
from esm.mapping.limits import FUNCTION_TIMEOUT_SECONDS, Limits
from esm.telemetry.observer import Live

__all__ = [
    "BATCHES",
    "COUNTERS",
    "DURATIONS_MS",
    "GAUGES",
    "SHARD_GAUGES",
    "WORKER_COUNTERS",
    "Counter",
    "Distribution",
    "Gauge",
    "Histogram",
    "MappingMetrics",
    "ShardMetrics",
    "ShardTally",
    "Snapshot",
    "Tally",
]

LONGEST_MS = FUNCTION_TIMEOUT_SECONDS * 1000
DURATIONS_MS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 15_000, 30_000, 60_000, 120_000, 300_000, LONGEST_MS)
"""Bounds for an invocation's duration, up to the longest that Lambda allows (chosen)."""

BATCHES = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, Limits().batch_size)
"""Bounds for the records of a batch, up to the largest that Lambda allows (chosen)."""


class Counter(NamedTuple):
    """A number that only grows. `attribute`: what exporters call it; `name`: Lambda's name, or one in its manner."""

    attribute: str
    name: str
    help: str


class Gauge(NamedTuple):
    """A number that comes and goes. `attribute`: of `MappingMetrics` or `ShardMetrics`; `name`: what exporters call it.

    What is in milliseconds here is in seconds there.
    """

    attribute: str
    name: str
    help: str


@dataclass(frozen=True, slots=True)
class Distribution:
    """How often a value was at most each of `bounds`, and above the last; not cumulated. `total`: of all values."""

    bounds: tuple[int, ...]
    counts: tuple[int, ...]
    total: int

    @property
    def count(self) -> int:
        """How many values."""
        return sum(self.counts)

    def cumulated(self) -> list[int]:
        """For each bound, how many values were at most that; then how many there are."""
        so_far, cumulated = 0, []
        for count in self.counts:
            so_far += count
            cumulated.append(so_far)
        return cumulated


class Histogram:
    """Takes values into a `Distribution`."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: tuple[int, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0

    def add(self, value: int) -> None:
        """One value."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    def seen(self) -> Distribution:
        """All values so far."""
        return Distribution(self._bounds, tuple(self._counts), self._total)


@dataclass(slots=True)
class ShardTally:
    """One shard, or a queue, as this process reads it."""

    state: str = "reading"
    behind_ms: Millis = 0
    read_at: Millis | None = None
    age_ms: Millis | None = None
    live: Live = field(default_factory=Live)
    held: int = 0
    held_bytes: int = 0

    def stir(self) -> None:
        """Something came of it: it is not silent any more."""
        if self.state == "silent":
            self.state = "reading"

    def halt(self) -> None:
        """Nothing of it is out or held any more."""
        self.state = "halted"
        self.held = self.held_bytes = 0


def _count(name: str, text: str) -> Any:
    return field(default=0, metadata={"name": name, "help": text})


@dataclass(slots=True)
class Tally:
    """One mapping. The first seven are Lambda's event source mapping metrics, and mean what Lambda says.

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html#event-source-mapping-metrics
    """

    mapping: str
    function: str = ""
    event_source_arn: str = ""
    state: str = ""
    shards: dict[str, ShardTally] = field(default_factory=dict)
    duration_ms: Histogram = field(default_factory=lambda: Histogram(DURATIONS_MS))
    batch_size: Histogram = field(default_factory=lambda: Histogram(BATCHES))

    polled_events: int = _count("PolledEventCount", "Records that were read from the source.")
    filtered_out_events: int = _count("FilteredOutEventCount", "Records that no filter let through.")
    invoked_events: int = _count(
        "InvokedEventCount", "Records for which the function was called, once for each try, also a throttled one."
    )
    failed_invoke_events: int = _count(
        "FailedInvokeEventCount",
        "Records of calls that failed or were throttled, and those that the function reported as failed.",
    )
    deleted_events: int = _count("DeletedEventCount", "Messages that were deleted from the queue.")
    dropped_events: int = _count("DroppedEventCount", "Records that were given up and that no destination took.")
    on_failure_destination_delivered_events: int = _count(
        "OnFailureDestinationDeliveredEventCount", "Records whose failure record a destination took."
    )
    invocations: int = _count("Invocations", "Calls of the function.")
    errors: int = _count("Errors", "Calls that raised, timed out, or crashed.")
    throttles: int = _count("Throttles", "Batches that waited for room in the function's concurrency.")
    destination_delivery_failures: int = _count(
        "DestinationDeliveryFailures", "Failure records that a destination did not take; they are sent again."
    )

    polls: int = _count("Polls", "Reads of the source that were answered.")
    poll_failures: int = _count("PollFailures", "Reads of the source that failed; they are tried again.")
    polled_bytes: int = _count("PolledBytes", "Bytes of the records that were read.")
    passed_over_events: int = _count("PassedOverEventCount", "Records read again after a restart, and settled before.")
    settled_events: int = _count("SettledEventCount", "Records that the function is done with.")
    checkpoints: int = _count("Checkpoints", "Positions that were stored.")
    store_failures: int = _count("StoreFailures", "Positions that could not be stored; they are tried again.")
    positions_trimmed: int = _count("PositionsTrimmed", "Gaps: records that the source no longer kept when asked.")
    abandoned_handlers: int = _count("AbandonedHandlers", "Calls that went on after they were told to end.")
    silences: int = _count("Silences", "Times that a shard with records to read made no progress.")
    mapping_failures: int = _count("MappingFailures", "Times that a fault of esm ended a mapping; it is begun anew.")
    shard_halts: int = _count("ShardHalts", "Shards that were halted: nobody reads them until somebody acts.")
    leases_lost: int = _count("LeasesLost", "Shards that another worker took.")
    delete_failures: int = _count("DeleteFailures", "Messages that could not be deleted; that is tried again.")
    returned_messages: int = _count("ReturnedMessages", "Messages that were given back to the queue unhandled.")

    @property
    def is_queue(self) -> bool:
        """Whether it is of SQS: a queue has no tip, and no lag behind it."""
        return self.event_source_arn.split(":", 3)[2:3] == ["sqs"]

    def shard(self, shard: str) -> ShardTally:
        """The shard of that name, begun if need be."""
        found = self.shards.get(shard)
        if found is None:
            found = self.shards[shard] = ShardTally()
        return found

    def forget(self, *shards: str) -> None:
        """They are read here no longer. What was counted of them stays."""
        for shard in shards:
            found = self.shards.pop(shard, None)
            self.checkpoints += found.live.checkpoints if found is not None else 0


COUNTERS = tuple(
    Counter(each.name, each.metadata["name"], each.metadata["help"]) for each in fields(Tally) if each.metadata
)
"""All counters of a mapping."""

WORKER_COUNTERS = (
    Counter("observers_dropped", "ObserversDropped", "Observers that raised, and are told nothing more."),
    Counter("loop_blocks", "LoopBlocks", "Times that something held up the event loop."),
)
"""What is counted of no mapping."""

GAUGES = (
    Gauge("concurrent_executions", "concurrent_executions", "ConcurrentExecutions: calls that have not ended."),
    Gauge("in_flight", "in_flight_records", "Records that the function has now."),
    Gauge("held", "held_records", "Records that are read and not settled, as of the last read."),
    Gauge("held_bytes", "held_bytes", "Bytes that are read and not settled, as of the last read."),
)
"""What every mapping has."""

SHARD_GAUGES = (
    Gauge(
        "lag_ms", "shard_lag", "How far reading may be behind the tip: as the last read said, and the time since then."
    ),
    Gauge(
        "iterator_age_ms",
        "iterator_age",
        "IteratorAge: how old the last record of the newest batch was when the function got it.",
    ),
)
"""What a shard has, or has not yet. A queue has no lag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardMetrics:
    """One shard that this process reads, or did until it was halted. `state`: `reading`, `silent`, `halted`.

    `lag_ms`: how far it may be behind the tip: as the last read said, and the time since; `None` before the first.
    `iterator_age_ms`: Lambda's `IteratorAge`, the age of the last record of the newest batch when it was handed over;
    of a queue, of the last message since it was sent. `None` before the first.
    """

    state: str
    lag_ms: Millis | None
    iterator_age_ms: Millis | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingMetrics:
    """One mapping. `counts`: by name, Lambda's names first. `duration_ms`, `concurrent_executions`: Lambda's too.

    `batch_size`: records of each call. `in_flight`: records that the function has now. `held`, `held_bytes`: read and
    not settled, as of the last read. `shards`: none when the mapping is disabled.
    """

    mapping: str
    function: str
    event_source_arn: str
    state: str
    counts: Mapping[str, int]
    duration_ms: Distribution
    batch_size: Distribution
    concurrent_executions: int
    in_flight: int
    held: int
    held_bytes: int
    shards: Mapping[str, ShardMetrics]

    @property
    def iterator_age_ms(self) -> Millis | None:
        """The largest of its shards'; `None` when none has one."""
        return max((age for each in self.shards.values() if (age := each.iterator_age_ms) is not None), default=None)

    @property
    def lag_ms(self) -> Millis | None:
        """The largest of its shards'; `None` when none has one."""
        return max((lag for each in self.shards.values() if (lag := each.lag_ms) is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything that was counted up to `at`, epoch ms. `mappings`: by uuid. `counts`: what is of no mapping."""

    at: Millis
    mappings: Mapping[str, MappingMetrics]
    counts: Mapping[str, int]
