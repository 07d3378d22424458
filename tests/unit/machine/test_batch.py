"""What is left of a batch: after a failure, and when records of it are too old."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from esm.errors import InvariantError
from esm.machine.batch import Batch, after_failure, expires_at, split_expired
from esm.machine.commands import Condition
from esm.machine.outcome import Failed, PartlyFailed
from esm.machine.rules import StreamRules
from tests.unit.machine.script import Rec, named

RAISED = Failed("Error", "no")


def batch_of(names: str, *, arrived_at: tuple[int, ...] = (), **state: Any) -> Batch:
    times = arrived_at or (0,) * len(names)
    records = [Rec(name, name, at, size) for size, (name, at) in enumerate(zip(names, times, strict=True), 1)]
    return Batch(records, [record.size for record in records], "old", **state)


def rules_of(**rules: Any) -> StreamRules:
    return StreamRules(batch_size=10, payload_bytes_max=100, **rules)


def rest_of(batch: Batch, outcome: Failed | PartlyFailed, *, now: int = 0, **rules: Any) -> list[Batch]:
    ids = count(1)
    return after_failure(batch, outcome, rules_of(**rules), now, jitter=lambda: 0.5, new_id=lambda: f"new-{next(ids)}")


def partly(*names: str) -> PartlyFailed:
    return PartlyFailed(frozenset(str(int(name, 36)) for name in names))


@pytest.mark.parametrize(("names", "halves"), [("12", ["1", "2"]), ("123", ["1", "23"]), ("12345", ["12", "345"])])
def test_bisecting_gives_the_smaller_half_first(names: str, halves: list[str]) -> None:
    """Observed: 3 are split into 1 and 2; 4 into 2 and 2."""
    rest = rest_of(batch_of(names), RAISED, bisect_batch_on_function_error=True, maximum_retry_attempts=0)
    assert [named(part.records) for part in rest] == halves
    assert [part.request_id for part in rest] == ["new-1", "new-2"]
    assert [(part.invokes, part.failures, part.not_before) for part in rest] == [(0, 0, 0)] * 2


def test_a_single_record_is_retried_and_not_bisected() -> None:
    batch = batch_of("1")
    assert rest_of(batch, RAISED, bisect_batch_on_function_error=True) == [batch]
    assert (batch.failures, batch.not_before, batch.request_id) == (1, 200, "old")


@pytest.mark.parametrize("named_failed", [("3",), ("3", "5"), ("5", "4", "3")])
def test_a_partial_failure_leaves_what_begins_at_the_lowest_named(named_failed: tuple[str, ...]) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html"""
    (suffix,) = rest_of(batch_of("12345", invokes=3, failures=2, not_before=9), partly(*named_failed))
    assert (named(suffix.records), suffix.sizes, suffix.request_id) == ("345", [3, 4, 5], "new-1")
    assert (suffix.invokes, suffix.failures, suffix.not_before) == (0, 0, 0)


def test_a_partial_failure_at_the_first_record_is_no_progress() -> None:
    """Observed: it bisects, or uses up a retry, as if the function had raised."""
    batch = batch_of("12")
    assert rest_of(batch, partly("1", "2")) == [batch]
    assert batch.failures == 1
    assert len(rest_of(batch, partly("1"), bisect_batch_on_function_error=True)) == 2


def test_a_partial_failure_that_names_nothing_of_the_batch_is_nobodys_success() -> None:
    with pytest.raises(InvariantError, match="names no record"):
        rest_of(batch_of("12"), partly("3"))


@pytest.mark.parametrize(
    ("retries", "failures", "ends"), [(0, 0, True), (1, 0, False), (1, 1, True), (None, 99, False)]
)
def test_a_batch_is_given_up_when_its_retries_are(retries: int | None, failures: int, ends: bool) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-parameters.html"""
    (batch,) = rest_of(batch_of("12", failures=failures, not_before=7), RAISED, now=50, maximum_retry_attempts=retries)
    assert (batch.condition is Condition.RETRY_ATTEMPTS_EXHAUSTED) == ends
    assert (batch.not_before == 50) == ends


def test_a_record_expires_in_the_millisecond_after_its_age() -> None:
    record = Rec("1", "1", 1000)
    assert expires_at(record, rules_of(maximum_record_age_ms=60_000)) == 61_001
    assert expires_at(record, rules_of()) is None


def split(batch: Batch, now: int) -> list[Batch]:
    return split_expired(batch, 100, now, lambda: "new")


def test_what_is_not_too_old_goes_on_with_the_budget_it_had() -> None:
    batch = batch_of("1234", arrived_at=(0, 5, 6, 9), invokes=3, failures=2, throttles=1, not_before=70, answered=True)
    expired, rest = split(batch, now=106)
    assert (named(expired.records), expired.sizes, expired.request_id) == ("12", [1, 2], "old")
    assert expired.condition is Condition.RECORD_AGE_EXCEEDED
    assert (expired.invokes, expired.answered, expired.not_before) == (3, False, 106)
    assert (named(rest.records), rest.sizes, rest.request_id) == ("34", [3, 4], "new")
    assert (rest.condition, rest.invokes, rest.failures, rest.throttles, rest.not_before) == (None, 3, 2, 1, 70)


def test_all_of_a_batch_may_be_too_old() -> None:
    batch = batch_of("12")
    assert split(batch, now=101) == [batch]
    assert (named(batch.records), batch.condition) == ("12", Condition.RECORD_AGE_EXCEEDED)


def test_only_a_prefix_is_cut_off() -> None:
    """Observed. Arrival times are approximate and may run back: what stands behind a fresh record waits for it."""
    batch = batch_of("12", arrived_at=(50, 0))
    assert split(batch, now=120) == [batch]
    assert batch.condition is None


def test_a_batch_stays_whole() -> None:
    """At the very age, and when it is given up already."""
    batch = batch_of("12")
    assert split(batch, now=100) == [batch]
    assert batch.condition is None
    batch.condition = Condition.RETRY_ATTEMPTS_EXHAUSTED
    assert split(batch, now=1000) == [batch]
    assert batch.condition is Condition.RETRY_ATTEMPTS_EXHAUSTED
