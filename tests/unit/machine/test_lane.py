"""One lane: how records wait, when a batch is cut and how large it is."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from esm.machine.commands import Condition
from esm.machine.lane import Lane
from esm.machine.rules import StreamRules
from esm.machine.snapshots import LaneSnapshot
from tests.unit.machine.script import Rec, named


def rules_of(*, batch_size: int = 3, payload_bytes_max: int = 100, **rules: Any) -> StreamRules:
    return StreamRules(batch_size=batch_size, payload_bytes_max=payload_bytes_max, **rules)


def lane_of_records(names: str, *, size: int = 1, arrived_at: int = 0) -> Lane:
    lane = Lane(0)
    lane.push([Rec(name, name, arrived_at) for name in names], [size] * len(names))
    return lane


def cut(lane: Lane, rules: StreamRules, now: int = 0, *, flush: bool = False) -> str | None:
    """The names of the next batch, which is taken off; `None` when none is due."""
    lane.open_window(now)
    batch = lane.ready(rules, now, lambda: "id", flush=flush)
    if batch is None:
        return None
    lane.batches.pop()
    return named(batch.records)


def test_an_empty_lane_has_nothing_and_waits_for_nothing() -> None:
    lane = Lane(0)
    assert (cut(lane, rules_of()), lane.wake_at(rules_of(), flush=False), lane.is_open) == (None, None, False)


def test_without_a_window_what_is_there_goes_at_once() -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html: as soon as records are available."""
    lane = lane_of_records("12345")
    assert [cut(lane, rules_of()) for _ in range(3)] == ["123", "45", None]
    assert not lane.is_open


def test_the_window_begins_with_the_first_record_that_waits() -> None:
    """Chosen; it fits what was observed."""
    rules, lane = rules_of(batching_window_ms=500), lane_of_records("1")
    assert cut(lane, rules, 100) is None
    lane.push([Rec("2", "2")], [1])
    assert cut(lane, rules, 400) is None
    assert lane.wake_at(rules, flush=False) == 600
    assert cut(lane, rules, 600) == "12"
    lane.push([Rec("3", "3")], [1])
    assert (cut(lane, rules, 700), lane.wake_at(rules, flush=False)) == (None, 1200)


def test_until_it_was_looked_at_a_window_is_not_begun() -> None:
    """While something is out nobody looks, so the window begins when that is over."""
    lane = lane_of_records("1")
    assert lane.wake_at(rules_of(batching_window_ms=500), flush=False) == 0


@pytest.mark.parametrize(("names", "size"), [("123", 1), ("12", 50)])
def test_a_full_batch_does_not_wait_for_its_window(names: str, size: int) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html: whichever comes first."""
    assert cut(lane_of_records(names, size=size), rules_of(batching_window_ms=500)) == names


def test_when_no_more_records_come_no_window_is_waited_for() -> None:
    assert cut(lane_of_records("1"), rules_of(batching_window_ms=500), flush=True) == "1"


def test_a_batch_keeps_within_the_payload() -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 6 MB an invocation."""
    lane = lane_of_records("12345", size=40)
    assert [cut(lane, rules_of()) for _ in range(4)] == ["12", "34", "5", None]


@pytest.mark.parametrize(("size", "oversized"), [(100, False), (101, True)])
def test_a_record_too_large_for_any_event_is_a_batch_of_its_own(size: int, oversized: bool) -> None:
    lane = lane_of_records("12", size=size)
    batch = lane.ready(rules_of(), 0, lambda: "id", flush=False)
    assert batch is not None
    assert (named(batch.records), batch.sizes, batch.oversized) == ("1", [size], oversized)


def test_records_too_old_are_cut_off_alone() -> None:
    """Observed: one old record and five fresh ones."""
    rules, lane = rules_of(maximum_record_age_ms=50), lane_of_records("12")
    lane.push([Rec("3", "3", 40)], [1])
    batch = lane.ready(rules, 51, lambda: "id", flush=False)
    assert batch is not None
    assert (named(batch.records), batch.condition) == ("12", Condition.RECORD_AGE_EXCEEDED)
    lane.batches.pop()
    assert cut(lane, rules, 51) == "3"


def test_at_most_a_batch_of_old_records_is_cut_off_at_once() -> None:
    rules, lane = rules_of(maximum_record_age_ms=50), lane_of_records("12345")
    assert [cut(lane, rules, 51) for _ in range(2)] == ["123", "45"]


def test_a_window_ends_when_its_first_record_expires() -> None:
    """Chosen."""
    rules = rules_of(maximum_record_age_ms=50, batching_window_ms=500)
    lane = lane_of_records("1")
    assert (cut(lane, rules), lane.wake_at(rules, flush=False)) == (None, 51)
    assert cut(lane, rules, 51) == "1"


@pytest.mark.parametrize(("age", "due"), [(None, 900), (2000, 900), (50, 51)])
def test_a_wait_for_a_retry_ends_when_its_first_record_expires(age: int | None, due: int) -> None:
    """Chosen."""
    rules, lane = rules_of(maximum_record_age_ms=age), lane_of_records("1")
    batch = lane.ready(rules, 0, lambda: "id", flush=False)
    assert batch is not None
    batch.not_before = 900
    assert lane.wake_at(rules, flush=False) == due
    assert lane.ready(rules, due - 1, lambda: "id", flush=False) is None
    assert lane.ready(rules, due, lambda: "id", flush=False) is batch


def test_what_was_taken_is_let_go() -> None:
    """A settled record takes no memory, however many wait behind it."""

    class Named(Rec):
        __slots__ = ("__weakref__",)

    lane, first = Lane(0), Named("1", "1")
    gone = weakref.ref(first)
    lane.push([first, *(Rec("2", "2") for _ in range(9))], [1] * 10)
    assert cut(lane, rules_of(batch_size=1)) == "1"
    del first
    gc.collect()
    assert gone() is None


def test_records_keep_their_order_however_they_come_and_go() -> None:
    lane, given, taken = Lane(0), [], []
    for step in range(200):
        page = [Rec(str(i), "") for i in range(step * 7, step * 7 + 7)]
        given += page
        lane.push(page, [1] * 7)
        for _ in range(step % 5):
            batch = lane.ready(rules_of(), 0, lambda: "id", flush=False)
            taken += lane.batches.pop().records if batch else []
    while (batch := lane.ready(rules_of(batch_size=100), 0, lambda: "id", flush=False)) is not None:
        taken += lane.batches.pop().records
    assert taken == given
    assert (lane.waiting, lane._waiting_bytes, lane._records) == (0, 0, [])


def test_a_snapshot_of_a_lane() -> None:
    rules, lane = rules_of(batching_window_ms=500), lane_of_records("12")
    size = lane._waiting_bytes
    assert size
    assert Lane(3).snapshot(stored=0) == LaneSnapshot(3, "idle", 0, 0, None, in_flight=0, size_bytes=0)
    assert lane.snapshot(stored=0) == LaneSnapshot(0, "waiting", 2, 0, None, in_flight=0, size_bytes=size)
    batch = lane.ready(rules, 0, lambda: "id", flush=True)
    assert batch is not None
    batch.invokes, batch.not_before = 2, 700
    assert lane.snapshot(stored=0) == LaneSnapshot(0, "retrying", 2, 2, 700, in_flight=0, size_bytes=size)
    batch.oversized = True
    assert lane.snapshot(stored=0).state == "too large"
    batch.condition = Condition.RECORD_AGE_EXCEEDED
    assert lane.snapshot(stored=0).state == "discarding"
    lane.version = 1
    assert lane.snapshot(stored=0).state == "storing"
