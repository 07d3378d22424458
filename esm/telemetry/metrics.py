"""Facts as Lambda's metrics, kept as plain numbers until somebody asks for them. Needs no other package.

Labels are names out of the configuration and of shards, never words out of a record.
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from esm.clock import Clock, Millis, SystemClock
from esm.telemetry import facts
from esm.telemetry.tally import (
    COUNTERS,
    WORKER_COUNTERS,
    MappingMetrics,
    ShardMetrics,
    ShardTally,
    Snapshot,
    Tally,
)

__all__ = ["Metrics"]


class Metrics:
    """An `Observer` that counts. One may watch several workers. `clock`: for the lag at the time of a snapshot.

    A mapping's counters stay when it is disabled, its shards go; when it is deleted, all of it goes.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = SystemClock() if clock is None else clock
        self._tallies: dict[str, Tally] = {}
        self._worker = dict.fromkeys((each.name for each in WORKER_COUNTERS), 0)
        self._others: dict[type[facts.Fact], Callable[[Any], None]] = {
            facts.MappingStateChanged: self._state_changed,
            facts.ObserverDropped: self._observer_dropped,
            facts.WorkerStopped: self._worker_stopped,
        }

    def notice(self, fact: facts.Fact) -> None:
        """Counts it; a kind that it does not know is none of its business."""
        note = _NOTES.get(type(fact))
        if note is not None:
            note(self._tallies.get(fact.mapping) or self._begin(fact.mapping), fact)
            return
        tell = self._others.get(type(fact))
        if tell is not None:
            tell(fact)

    def snapshot(self) -> Snapshot:
        """All numbers as they stand now."""
        now = self._clock.now()
        tallies = list(self._tallies.values())  # at once: whoever asks may be another thread
        return Snapshot(
            at=now, mappings={each.mapping: _mapping(each, now) for each in tallies}, counts=dict(self._worker)
        )

    def _begin(self, mapping: str) -> Tally:
        return self._tallies.setdefault(mapping, Tally(mapping))

    def _state_changed(self, fact: facts.MappingStateChanged) -> None:
        tally = self._tallies.get(fact.mapping) or self._begin(fact.mapping)
        was, tally.state = tally.state, fact.state
        tally.function, tally.event_source_arn = fact.function, fact.event_source_arn
        if fact.state == "Disabled":
            tally.shards = {}
            if was == "Deleting":
                del self._tallies[fact.mapping]

    def _worker_stopped(self, _fact: facts.WorkerStopped) -> None:
        """What was cut off never said that it ended. Mappings of other workers are not being disabled."""
        for tally in self._tallies.values():
            if tally.state == "Disabling":
                tally.shards = {}

    def _observer_dropped(self, _fact: facts.ObserverDropped) -> None:
        self._worker["ObserversDropped"] += 1


# -- what each fact counts as ------------------------------------------------------------------------------------------


def _polled(tally: Tally, fact: facts.Polled) -> None:
    tally.polls += 1
    tally.polled_events += fact.records
    tally.filtered_out_events += fact.filtered
    tally.passed_over_events += fact.passed_over
    tally.polled_bytes += fact.size_bytes
    shard = tally.shard(fact.shard)
    shard.behind_ms, shard.read_at = fact.behind_ms, fact.at
    shard.held, shard.held_bytes = fact.held, fact.held_bytes
    if not (fact.held or fact.behind_ms):
        shard.stir()  # there is nothing to do


def _invocation_started(tally: Tally, fact: facts.InvocationStarted) -> None:
    records = fact.records
    tally.invocations += 1
    tally.invoked_events += records
    tally.batch_size.add(records)
    shard = tally.shards.get(fact.shard) or tally.shard(fact.shard)
    shard.in_flight += 1
    shard.records_in_flight += records
    if records:
        shard.age_ms = fact.age_ms


def _invocation_ended(tally: Tally, fact: facts.InvocationEnded) -> None:
    tally.duration_ms.add(fact.duration_ms)
    tally.settled_events += fact.settled
    if fact.outcome != "succeeded":
        tally.failed_invoke_events += fact.failed_records
        tally.errors += fact.function_error is not None
    shard = tally.shards.get(fact.shard)
    if shard is not None and shard.in_flight:
        shard.in_flight -= 1
        shard.records_in_flight -= fact.records
        shard.stir()


def _checkpoint_stored(tally: Tally, fact: facts.CheckpointStored) -> None:
    tally.checkpoints += 1
    shard = tally.shards.get(fact.shard)
    if shard is not None:
        shard.stir()


def _function_throttled(tally: Tally, fact: facts.FunctionThrottled) -> None:
    """Lambda counts the records of a throttled try as invoked and as failed (observed)."""
    tally.throttles += 1
    tally.invoked_events += fact.records
    tally.failed_invoke_events += fact.records


def _records_discarded(tally: Tally, fact: facts.RecordsDiscarded) -> None:
    if not fact.delivered:
        tally.dropped_events += fact.records


def _destination_delivered(tally: Tally, fact: facts.DestinationDelivered) -> None:
    tally.on_failure_destination_delivered_events += fact.records


def _destination_failed(tally: Tally, _fact: facts.DestinationFailed) -> None:
    tally.destination_delivery_failures += 1


def _messages_deleted(tally: Tally, fact: facts.MessagesDeleted) -> None:
    tally.deleted_events += fact.messages
    tally.delete_failures += fact.failed


def _messages_returned(tally: Tally, fact: facts.MessagesReturned) -> None:
    tally.returned_messages += fact.messages


def _poll_failed(tally: Tally, _fact: facts.PollFailed) -> None:
    tally.poll_failures += 1


def _store_failed(tally: Tally, _fact: facts.StoreFailed) -> None:
    tally.store_failures += 1


def _position_trimmed(tally: Tally, _fact: facts.PositionTrimmed) -> None:
    tally.positions_trimmed += 1


def _handler_abandoned(tally: Tally, _fact: facts.HandlerAbandoned) -> None:
    tally.abandoned_handlers += 1


def _shard_started(tally: Tally, fact: facts.ShardStarted) -> None:
    tally.shards[fact.shard] = ShardTally()


def _shard_ended(tally: Tally, fact: facts.ShardEnded) -> None:
    tally.shards.pop(fact.shard, None)


def _lease_lost(tally: Tally, fact: facts.LeaseLost) -> None:
    tally.leases_lost += 1
    tally.shards.pop(fact.shard, None)


def _shard_silent(tally: Tally, fact: facts.ShardSilent) -> None:
    """Told again as long as it lasts, counted once."""
    shard = tally.shard(fact.shard)
    tally.silences += shard.state == "reading"
    shard.state = "silent"


def _mapping_failed(tally: Tally, _fact: facts.MappingFailed) -> None:
    tally.mapping_failures += 1
    tally.shards = {}


def _shard_halted(tally: Tally, fact: facts.ShardHalted) -> None:
    tally.shard_halts += 1
    tally.shard(fact.shard).rest("halted")


_NOTES: dict[type[facts.Fact], Callable[[Tally, Any], None]] = {
    facts.CheckpointStored: _checkpoint_stored,
    facts.DestinationDelivered: _destination_delivered,
    facts.DestinationFailed: _destination_failed,
    facts.FunctionThrottled: _function_throttled,
    facts.HandlerAbandoned: _handler_abandoned,
    facts.InvocationEnded: _invocation_ended,
    facts.InvocationStarted: _invocation_started,
    facts.LeaseLost: _lease_lost,
    facts.MappingFailed: _mapping_failed,
    facts.MessagesDeleted: _messages_deleted,
    facts.MessagesReturned: _messages_returned,
    facts.PollFailed: _poll_failed,
    facts.Polled: _polled,
    facts.PositionTrimmed: _position_trimmed,
    facts.RecordsDiscarded: _records_discarded,
    facts.ShardEnded: _shard_ended,
    facts.ShardHalted: _shard_halted,
    facts.ShardSilent: _shard_silent,
    facts.ShardStarted: _shard_started,
    facts.StoreFailed: _store_failed,
}


# -- snapshots ---------------------------------------------------------------------------------------------------------


def _mapping(tally: Tally, now: Millis) -> MappingMetrics:
    shards = list(tally.shards.items())
    return MappingMetrics(
        mapping=tally.mapping,
        function=tally.function,
        event_source_arn=tally.event_source_arn,
        state=tally.state,
        counts={each.name: getattr(tally, each.attribute) for each in COUNTERS},
        duration_ms=tally.duration_ms.seen(),
        batch_size=tally.batch_size.seen(),
        concurrent_executions=sum(shard.in_flight for _, shard in shards),
        in_flight=sum(shard.records_in_flight for _, shard in shards),
        held=sum(shard.held for _, shard in shards),
        held_bytes=sum(shard.held_bytes for _, shard in shards),
        shards={name: _shard(shard, now, is_queue=tally.is_queue) for name, shard in shards},
    )


def _shard(shard: ShardTally, now: Millis, *, is_queue: bool) -> ShardMetrics:
    read_at = shard.read_at
    lag = None if is_queue or read_at is None else shard.behind_ms + max(0, now - read_at)
    return ShardMetrics(state=shard.state, lag_ms=lag, iterator_age_ms=shard.age_ms)
