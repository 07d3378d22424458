"""Lambda's metrics mean what Lambda says.

https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
"""

from __future__ import annotations

import threading
from typing import Any

import pytest

from esm.telemetry import facts
from esm.telemetry.metrics import Metrics
from esm.telemetry.observer import Live, Observers
from esm.telemetry.tally import COUNTERS, Histogram, MappingMetrics
from tests.unit.telemetry.happenings import MAPPING, QUEUE, Standing, batch, changed, polled

NAMED: dict[str, Any] = {"at": 0, "mapping": MAPPING, "shard": "shard-0"}


class Watched:
    """Metrics that were told of a mapping, and more facts."""

    def __init__(self, *told: facts.Fact, arn: str | None = None) -> None:
        self.clock = Standing()
        self.metrics = Metrics(self.clock)
        self.tell(changed() if arn is None else changed(arn=arn), *told)

    def tell(self, *told: facts.Fact) -> None:
        for fact in told:
            self.metrics.notice(fact)

    @property
    def seen(self) -> MappingMetrics:
        return self.metrics.snapshot().mappings[MAPPING]

    def counts(self) -> dict[str, int]:
        """What is not 0."""
        return {name: count for name, count in self.seen.counts.items() if count}

    def lag_ms(self) -> int | None:
        return self.seen.lag_ms

    def states(self) -> dict[str, str]:
        return {name: shard.state for name, shard in self.seen.shards.items()}


def test_a_read() -> None:
    watched = Watched(polled(10, filtered=3, passed_over=2, held=5, held_bytes=500, size_bytes=900))
    assert watched.counts() == {
        "Polls": 1,
        "PolledEventCount": 10,
        "FilteredOutEventCount": 3,
        "PassedOverEventCount": 2,
        "PolledBytes": 900,
    }
    assert (watched.seen.held, watched.seen.held_bytes) == (5, 500)


def test_an_empty_read_is_a_read_of_nothing() -> None:
    assert Watched(polled(0)).counts() == {"Polls": 1}


def test_a_call() -> None:
    watched = Watched(facts.ShardStarted(**NAMED, position="LATEST"), *batch(10))
    assert watched.counts() == {"Invocations": 1, "InvokedEventCount": 10, "SettledEventCount": 10}
    assert watched.seen.iterator_age_ms == 700
    assert (watched.seen.duration_ms.count, watched.seen.duration_ms.total) == (1, 40)
    assert (watched.seen.batch_size.count, watched.seen.batch_size.total) == (1, 10)


def test_a_call_that_fails_counts_its_records_at_every_try() -> None:
    failed = batch(10, outcome="failed", failed_records=10, function_error="Unhandled")
    watched = Watched(*failed, *failed, *batch(10))
    assert watched.counts() == {
        "Invocations": 3,
        "Errors": 2,
        "InvokedEventCount": 30,
        "FailedInvokeEventCount": 20,
        "SettledEventCount": 10,
    }


@pytest.mark.parametrize("outcome", ["failed", "partly failed"])
def test_what_a_function_answers_is_no_function_error(outcome: str) -> None:
    watched = Watched(*batch(10, outcome=outcome, failed_records=4, function_error=None, settled=2))
    assert watched.counts() == {
        "Invocations": 1,
        "InvokedEventCount": 10,
        "FailedInvokeEventCount": 4,
        "SettledEventCount": 2,
    }


def test_a_throttled_try_is_counted_as_invoked_and_failed_but_is_no_invocation() -> None:
    watched = Watched(facts.FunctionThrottled(**NAMED, lane=0, records=1, function="orders"), *batch(1))
    assert watched.counts() == {
        "Throttles": 1,
        "InvokedEventCount": 2,
        "FailedInvokeEventCount": 1,
        "Invocations": 1,
        "SettledEventCount": 1,
    }


def test_what_a_destination_took_is_not_dropped() -> None:
    given_up = facts.RecordsDiscarded(
        **NAMED, condition="RetryAttemptsExhausted", lane=0, records=3, first="1", last="3", delivered=True
    )
    delivered = facts.DestinationDelivered(**NAMED, destination="arn", records=3)
    refused = facts.DestinationFailed(**NAMED, destination="arn", records=3, attempt=1, error="no")
    watched = Watched(refused, delivered, given_up)
    assert watched.counts() == {"OnFailureDestinationDeliveredEventCount": 3, "DestinationDeliveryFailures": 1}


def test_what_no_destination_took_is_dropped() -> None:
    given_up = facts.RecordsDiscarded(
        **NAMED, condition="RecordAgeExceeded", lane=0, records=3, first="1", last="3", delivered=False
    )
    assert Watched(given_up).counts() == {"DroppedEventCount": 3}


def test_a_queue() -> None:
    deleted = facts.MessagesDeleted(**NAMED, messages=8, failed=1, stale=1)
    returned = facts.MessagesReturned(**NAMED, messages=2, missed=0)
    watched = Watched(polled(10), deleted, returned, arn=QUEUE)
    assert watched.counts() == {
        "Polls": 1,
        "PolledEventCount": 10,
        "PolledBytes": 10,
        "DeletedEventCount": 8,
        "DeleteFailures": 1,
        "ReturnedMessages": 2,
    }
    assert watched.seen.lag_ms is None, "a queue has no tip"


@pytest.mark.parametrize(
    ("fact", "name"),
    [
        (facts.PollFailed(**NAMED, code="c", message="m", retry_at=1), "PollFailures"),
        (facts.StoreFailed(**NAMED, error="e", attempt=1), "StoreFailures"),
        (facts.PositionTrimmed(**NAMED, after="1", resumed_at="5"), "PositionsTrimmed"),
        (facts.HandlerAbandoned(at=0, mapping=MAPPING, request_id="r", abandoned=1), "AbandonedHandlers"),
        (facts.ShardHalted(**NAMED, error="e"), "ShardHalts"),
        (facts.LeaseLost(**NAMED), "LeasesLost"),
        (facts.MappingFailed(at=0, mapping=MAPPING, error="e", retry_at=1), "MappingFailures"),
    ],
)
def test_trouble_has_a_counter_of_its_own(fact: facts.Fact, name: str) -> None:
    assert Watched(fact, fact).counts() == {name: 2}


def test_what_is_of_no_mapping() -> None:
    watched = Watched(
        facts.ObserverDropped(at=0, observer="o", error="e"),
        facts.LoopBlocked(at=0, function="", request_id="", blocked_ms=900, stack=()),
    )
    assert watched.metrics.snapshot().counts == {"ObserversDropped": 1, "LoopBlocks": 1}


def test_the_lag_grows_while_nobody_reads() -> None:
    watched = Watched(facts.ShardStarted(**NAMED, position="LATEST"))
    assert watched.lag_ms() is None
    watched.tell(polled(behind_ms=2_000), polled(behind_ms=500, shard="shard-1"))
    watched.clock.at += 60_000
    assert watched.lag_ms() == 62_000
    assert {name: shard.lag_ms for name, shard in watched.seen.shards.items()} == {
        "shard-0": 62_000,
        "shard-1": 60_500,
    }


def test_a_silent_shard_is_counted_once_and_is_silent_until_something_comes_of_it() -> None:
    silent = facts.ShardSilent(**NAMED, behind_ms=None, silent_ms=60_000)
    watched = Watched(silent, silent, polled(held=5))
    assert watched.counts()["Silences"] == 1
    assert watched.states() == {"shard-0": "silent"}
    watched.tell(*batch())
    assert watched.states() == {"shard-0": "reading"}
    watched.tell(silent, polled(held=0, behind_ms=0))
    assert watched.states() == {"shard-0": "reading"}, "there is nothing left to do"
    assert watched.counts()["Silences"] == 2


def test_a_halted_shard_stays_in_view_and_an_ended_or_lost_one_goes() -> None:
    watched = Watched(*(polled(shard=f"shard-{n}", held=3) for n in range(3)))
    watched.tell(
        facts.ShardHalted(at=0, mapping=MAPPING, shard="shard-0", error="e"),
        facts.ShardEnded(at=0, mapping=MAPPING, shard="shard-1"),
        facts.LeaseLost(at=0, mapping=MAPPING, shard="shard-2"),
    )
    assert watched.states() == {"shard-0": "halted"}
    assert watched.seen.held == 0


def test_what_is_out_is_what_whoever_runs_it_says() -> None:
    watched = Watched()
    live = Observers([watched.metrics]).live(MAPPING, "shard-0")
    live.calls, live.records, live.checkpoints = 2, 150, 7
    assert (watched.seen.concurrent_executions, watched.seen.in_flight) == (2, 150)
    assert watched.counts() == {"Checkpoints": 7}


def test_what_a_shard_stored_stays_counted_when_it_is_gone_or_begun_again() -> None:
    watched = Watched()
    watched.metrics.follow(MAPPING, "shard-0", Live(checkpoints=7))
    watched.tell(facts.ShardStarted(**NAMED, position="1"))
    assert watched.counts() == {"Checkpoints": 7}
    watched.metrics.follow(MAPPING, "shard-0", Live(checkpoints=2))
    watched.tell(facts.ShardStarted(**NAMED, position="1"))
    assert watched.counts() == {"Checkpoints": 9}
    watched.tell(facts.ShardEnded(**NAMED))
    assert watched.counts() == {"Checkpoints": 9}
    assert watched.seen.shards == {}


def test_a_disabled_mapping_keeps_its_counts_and_a_deleted_one_goes_when_nothing_of_it_is_out() -> None:
    watched = Watched(polled(), changed("Disabling"), changed("Disabled"))
    assert watched.counts()["PolledEventCount"] == 10
    assert watched.seen.shards == {}
    watched.tell(changed("Enabled"))
    live = Live(calls=1)
    watched.metrics.follow(MAPPING, "shard-0", live)
    watched.tell(changed("Deleting"), *batch())
    assert watched.counts()["Invocations"] == 1
    live.calls = 0
    assert watched.metrics.snapshot().mappings == {}
    watched.tell(polled())
    assert watched.metrics.snapshot().mappings == {}, "what comes late does not bring it back"
    watched.tell(changed("Creating"))
    assert watched.counts() == {}


def test_a_mapping_made_again_before_anybody_looked_begins_from_nothing() -> None:
    watched = Watched(polled(), changed("Deleting"), changed("Creating"))
    assert watched.counts() == {}


def test_a_forced_stop_leaves_nothing_in_view_and_does_not_touch_another_worker() -> None:
    watched = Watched(changed("Enabled", mapping="other"), changed("Disabling"))
    for mapping in (MAPPING, "other"):
        watched.metrics.follow(mapping, "shard-0", Live(calls=1, checkpoints=3))
    watched.tell(facts.WorkerStopped(at=0, clean=False))
    seen = watched.metrics.snapshot().mappings
    assert {name: each.concurrent_executions for name, each in seen.items()} == {MAPPING: 0, "other": 1}
    assert {name: each.counts["Checkpoints"] for name, each in seen.items()} == {MAPPING: 3, "other": 3}


def test_an_unknown_kind_of_fact_is_none_of_its_business() -> None:
    class Unheard(facts.Fact, frozen=True, kw_only=True):
        word: str

    watched = Watched(Unheard(at=0, mapping=MAPPING, word="x"), Unheard(at=0, mapping="new", word="x"))
    assert watched.counts() == {}
    assert list(watched.metrics.snapshot().mappings) == [MAPPING]


def test_it_wants_no_fact_that_it_does_not_count() -> None:
    watching = Observers([Metrics()])
    assert watching.wants(facts.InvocationEnded)
    assert not watching.wants(facts.InvocationStarted)
    assert not watching.wants(facts.CheckpointStored)


def test_numbers_add_up_while_another_thread_looks() -> None:
    watched, stop = Watched(), threading.Event()

    def look() -> None:
        while not stop.is_set():
            watched.metrics.snapshot()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(5_000):
            watched.tell(*batch(1))
    finally:
        stop.set()
        thread.join()
    assert watched.seen.counts["Invocations"] == watched.seen.duration_ms.count == 5_000


def test_no_fact_is_kept_for_long_when_nobody_looks() -> None:
    watched = Watched()
    for _ in range(10_000):
        watched.tell(polled(1))
    assert len(watched.metrics._told) < 300


def test_lambdas_names_are_lambdas() -> None:
    """Of event source mappings and functions, those that a mapping of a stream or a queue can have."""
    names = {counter.name for counter in COUNTERS}
    event_counts = ("Polled", "FilteredOut", "Invoked", "FailedInvoke", "Deleted", "Dropped")
    assert names >= {f"{name}EventCount" for name in (*event_counts, "OnFailureDestinationDelivered")}
    assert names >= {"Invocations", "Errors", "Throttles", "DestinationDeliveryFailures"}
    assert len(names) == len({counter.attribute for counter in COUNTERS}) == len(COUNTERS)


def test_a_histogram() -> None:
    histogram = Histogram((10, 100))
    for value in (0, 10, 11, 100, 101, 9_999):
        histogram.add(value)
    seen = histogram.seen()
    assert (seen.counts, seen.total, seen.count) == ((2, 2, 2), 10_221, 6)
    assert seen.cumulated() == [2, 4, 6]
