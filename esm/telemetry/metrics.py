"""Facts as Lambda's metrics, kept as plain numbers until somebody asks for them. Needs no other package.

Labels are names out of the configuration and of shards, never words out of a record.
https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any

from esm.clock import Clock, Millis, SystemClock
from esm.telemetry import facts
from esm.telemetry.observer import Live
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

TOGETHER = 256
"""So many facts are counted in one go: it costs less than half of counting each when it comes (measured)."""


class Metrics:
    """An `Observer` that counts. One may watch several workers. `clock`: for the lag at the time of a snapshot.

    A mapping's counters stay when it is disabled, its shards go; when it is deleted, all of it goes.
    """

    any_thread = True

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = SystemClock() if clock is None else clock
        self._tallies: dict[str, Tally] = {}
        self._worker = dict.fromkeys((each.name for each in WORKER_COUNTERS), 0)
        self._told: deque[facts.Fact] = deque()
        self._counting = Lock()  # whoever scrapes may be another thread
        self._others: dict[type[facts.Fact], Callable[[Any], None]] = {
            facts.LoopBlocked: self._loop_blocked,
            facts.MappingStateChanged: self._state_changed,
            facts.ObserverDropped: self._observer_dropped,
            facts.WorkerStopped: self._worker_stopped,
        }
        self.kinds: frozenset[type[facts.Fact]] = frozenset([*_NOTES, *self._others])

    def notice(self, fact: facts.Fact) -> None:
        """Keeps it, to be counted with others; a kind that it does not know is none of its business."""
        self._told.append(fact)
        if len(self._told) >= TOGETHER:
            self._count()

    def follow(self, mapping: str, shard: str, live: Live) -> None:
        """Keeps in view what is out of a shard."""
        self._count()
        with self._counting:
            tally = self._tallies.setdefault(mapping, Tally(mapping))
            tally.forget(shard)
            tally.shard(shard).live = live

    def snapshot(self) -> Snapshot:
        """All numbers as they stand now."""
        self._count()
        now = self._clock.now()
        with self._counting:
            for tally in list(self._tallies.values()):
                if tally.state == "Deleting" and not any(shard.live.calls for shard in tally.shards.values()):
                    del self._tallies[tally.mapping]
            mappings = {each.mapping: _mapping(each, now) for each in self._tallies.values()}
            return Snapshot(at=now, mappings=mappings, counts=dict(self._worker))

    def _count(self) -> None:
        with self._counting:
            while self._told:
                fact = self._told.popleft()
                note = _NOTES.get(type(fact))
                tally = self._tallies.get(fact.mapping)
                if note is not None and tally is not None:
                    note(tally, fact)
                elif type(fact) in self._others:
                    self._others[type(fact)](fact)

    def _state_changed(self, fact: facts.MappingStateChanged) -> None:
        tally = self._tallies.get(fact.mapping)
        if tally is None or tally.state == "Deleting":
            tally = self._tallies[fact.mapping] = Tally(fact.mapping)
        tally.state, tally.function, tally.event_source_arn = fact.state, fact.function, fact.event_source_arn
        if fact.state == "Disabled":
            tally.forget(*tally.shards)

    def _worker_stopped(self, _fact: facts.WorkerStopped) -> None:
        """What was cut off never said that it ended. Mappings of other workers are not on their way."""
        for tally in self._tallies.values():
            if tally.state == "Disabling":
                tally.forget(*tally.shards)

    def _loop_blocked(self, _fact: facts.LoopBlocked) -> None:
        self._worker["LoopBlocks"] += 1

    def _observer_dropped(self, _fact: facts.ObserverDropped) -> None:
        self._worker["ObserversDropped"] += 1


# -- what each fact counts as ------------------------------------------------------------------------------------------


def _polled(tally: Tally, fact: facts.Polled) -> None:
    tally.polls += fact.part == 0
    tally.polled_events += fact.records
    tally.filtered_out_events += fact.filtered
    tally.passed_over_events += fact.passed_over
    tally.polled_bytes += fact.size_bytes
    shard = tally.shard(fact.shard)
    shard.behind_ms, shard.read_at = fact.behind_ms, fact.at
    shard.held, shard.held_bytes = fact.held, fact.held_bytes
    if not (fact.held or fact.behind_ms):
        shard.stir()  # there is nothing to do


def _invocation_ended(tally: Tally, fact: facts.InvocationEnded) -> None:
    records = fact.records
    tally.invocations += 1
    tally.invoked_events += records
    tally.settled_events += fact.settled
    tally.duration_ms.add(fact.duration_ms)
    tally.batch_size.add(records)
    if fact.outcome != "succeeded":
        tally.failed_invoke_events += fact.failed_records
        tally.errors += fact.function_error is not None
    shard = tally.shards.get(fact.shard)
    if shard is not None:
        shard.stir()
        if records:
            shard.age_ms = fact.age_ms


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
    tally.shards[fact.shard] = ShardTally(live=tally.shard(fact.shard).live)


def _shard_ended(tally: Tally, fact: facts.ShardEnded) -> None:
    tally.forget(fact.shard)


def _lease_lost(tally: Tally, fact: facts.LeaseLost) -> None:
    tally.leases_lost += 1
    tally.forget(fact.shard)


def _shard_silent(tally: Tally, fact: facts.ShardSilent) -> None:
    """Told again as long as it lasts, counted once."""
    shard = tally.shard(fact.shard)
    tally.silences += shard.state == "reading"
    shard.state = "silent"


def _mapping_failed(tally: Tally, _fact: facts.MappingFailed) -> None:
    tally.mapping_failures += 1
    tally.forget(*tally.shards)


def _shard_halted(tally: Tally, fact: facts.ShardHalted) -> None:
    tally.shard_halts += 1
    tally.shard(fact.shard).halt()


_NOTES: dict[type[facts.Fact], Callable[[Tally, Any], None]] = {
    facts.DestinationDelivered: _destination_delivered,
    facts.DestinationFailed: _destination_failed,
    facts.FunctionThrottled: _function_throttled,
    facts.HandlerAbandoned: _handler_abandoned,
    facts.InvocationEnded: _invocation_ended,
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
    shards = tally.shards
    counts = {each.name: getattr(tally, each.attribute) for each in COUNTERS}
    counts["Checkpoints"] += sum(shard.live.checkpoints for shard in shards.values())
    return MappingMetrics(
        mapping=tally.mapping,
        function=tally.function,
        event_source_arn=tally.event_source_arn,
        state=tally.state,
        counts=counts,
        duration_ms=tally.duration_ms.seen(),
        batch_size=tally.batch_size.seen(),
        concurrent_executions=sum(shard.live.calls for shard in shards.values()),
        in_flight=sum(shard.live.records for shard in shards.values()),
        held=sum(shard.held for shard in shards.values()),
        held_bytes=sum(shard.held_bytes for shard in shards.values()),
        shards={name: _shard(shard, now, is_queue=tally.is_queue) for name, shard in shards.items()},
    )


def _shard(shard: ShardTally, now: Millis, *, is_queue: bool) -> ShardMetrics:
    read_at = shard.read_at
    lag = None if is_queue or read_at is None else shard.behind_ms + max(0, now - read_at)
    return ShardMetrics(state=shard.state, lag_ms=lag, iterator_age_ms=shard.age_ms)
