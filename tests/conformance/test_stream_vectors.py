"""What Lambda was seen to do with a Kinesis stream, played through the whole worker under virtual time.

Each bracket of the notation is one invocation, in order: `1234 12 1` is a batch of four, then its first half, then one.
Sources: recordings of real event source mappings ("observed"), and
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest

from esm.mapping.settings import EventSourceMapping
from esm.telemetry.facts import RecordsDiscarded
from esm.testing import Invocation, Merge, Put, Split, Trace, simulate

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:failed"
REPORT = ["ReportBatchItemFailures"]

Handler = Callable[[dict[str, Any], Any], Any]


def mapping(function: Any, **settings: Any) -> EventSourceMapping:
    settings.setdefault("starting_position", "TRIM_HORIZON")
    settings.setdefault("destination_config", QUEUE)
    return EventSourceMapping(event_source_arn=ARN, function=function, **settings)


def numbers(event: dict[str, Any]) -> str:
    return "".join(b64decode(record["kinesis"]["data"]).decode() for record in event["Records"])


def play(function: Any, records: str = "1234", **settings: Any) -> Trace:
    """All records are there before the mapping starts, so that one read brings them all."""
    puts = [Put(number, key="a", at=-1.0) for number in records]
    return simulate(mapping(function, **settings), puts)


def invoked(trace: Trace) -> str:
    return " ".join(numbers(invocation.event) for invocation in trace.invocations)


def raising(bad: str) -> Handler:
    def handle(event: dict[str, Any], _context: Any) -> None:
        if bad in numbers(event):
            raise ValueError(bad)

    return handle


def reporting(bad: str) -> Handler:
    def handle(event: dict[str, Any], _context: Any) -> dict[str, Any]:
        failed = [r for r in event["Records"] if b64decode(r["kinesis"]["data"]).decode() == bad]
        return {"batchItemFailures": [{"itemIdentifier": r["kinesis"]["sequenceNumber"]} for r in failed]}

    return handle


def only_document(trace: Trace) -> dict[str, Any]:
    (document,) = trace.failure_documents
    return document


def discarded(trace: Trace) -> tuple[str, int, int]:
    """Condition, invoke count and size of the only failure record."""
    document = only_document(trace)
    request = document["requestContext"]
    return request["condition"], request["approximateInvokeCount"], document["KinesisBatchInfo"]["batchSize"]


def test_t1_a_failing_batch_is_tried_again_whole_until_its_attempts_are_used_up() -> None:
    trace = play(raising("2"), maximum_retry_attempts=2)
    assert invoked(trace) == "1234 1234 1234"
    assert discarded(trace) == ("RetryAttemptsExhausted", 3, 4)
    assert only_document(trace)["responseContext"]["functionError"] == "Unhandled"


def test_t1_retries_of_an_unchanged_batch_keep_the_request_id() -> None:
    trace = play(raising("2"), maximum_retry_attempts=2)
    assert len({invocation.request_id for invocation in trace.invocations}) == 1
    assert [invocation.attempt for invocation in trace.invocations] == [1, 2, 3]


def test_t2_bisecting_isolates_the_poison_record_and_each_half_has_a_fresh_budget() -> None:
    trace = play(raising("2"), bisect_batch_on_function_error=True, maximum_retry_attempts=1)
    assert invoked(trace) == "1234 12 1 2 2 34"
    assert discarded(trace) == ("RetryAttemptsExhausted", 2, 1)


def test_t3_a_partial_failure_goes_on_from_the_lowest_failed_record() -> None:
    trace = play(reporting("2"), function_response_types=REPORT, maximum_retry_attempts=1)
    assert invoked(trace) == "1234 234 234"
    assert discarded(trace) == ("RetryAttemptsExhausted", 2, 3)
    assert only_document(trace)["responseContext"] == {
        "statusCode": 200,
        "executedVersion": "$LATEST",
        "functionError": None,
    }


def test_t4_with_both_switches_the_midpoint_is_used_only_without_progress() -> None:
    trace = play(
        reporting("2"), function_response_types=REPORT, bisect_batch_on_function_error=True, maximum_retry_attempts=1
    )
    assert invoked(trace) == "1234 234 2 2 34"
    assert discarded(trace) == ("RetryAttemptsExhausted", 2, 1)


def test_t5_without_the_switch_returned_failures_mean_success() -> None:
    trace = play(reporting("2"), maximum_retry_attempts=1)
    assert invoked(trace) == "1234"
    assert trace.failure_documents == []


def test_t6_an_empty_identifier_fails_the_whole_batch() -> None:
    def handle(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
        return {"batchItemFailures": [{"itemIdentifier": ""}]}

    trace = play(handle, function_response_types=REPORT, maximum_retry_attempts=0)
    assert invoked(trace) == "1234"
    assert discarded(trace) == ("RetryAttemptsExhausted", 1, 4)
    assert only_document(trace)["responseContext"]["functionError"] is None


def test_t7_the_suffix_after_progress_has_a_fresh_budget() -> None:
    trace = play(reporting("6"), "123456", function_response_types=REPORT, batch_size=3, maximum_retry_attempts=3)
    assert invoked(trace) == "123 456 6 6 6 6"
    assert discarded(trace) == ("RetryAttemptsExhausted", 4, 1)
    assert only_document(trace)["responseContext"]["functionError"] is None


def test_t8_a_record_that_grows_too_old_while_it_is_tried_is_given_up() -> None:
    trace = simulate(mapping(raising("1"), maximum_record_age_in_seconds=60), [Put("1", at=0.0)])
    condition, count, size = discarded(trace)
    assert (condition, size) == ("RecordAgeExceeded", 1)
    # 0.2 s doubling reaches the minute after eight or nine tries; eight were observed, after a slower start.
    assert count == len(trace.invocations) in (8, 9)
    assert "responseContext" not in only_document(trace)


def test_t9_a_record_too_old_at_the_start_is_never_delivered() -> None:
    trace = simulate(mapping(raising("1"), maximum_record_age_in_seconds=60), [Put("1", at=-61.0)])
    assert trace.invocations == []
    assert discarded(trace) == ("RecordAgeExceeded", 1, 1)
    assert "responseContext" not in only_document(trace)


def test_t10_only_the_expired_prefix_is_cut_off() -> None:
    puts = [Put("1", at=-61.0), *(Put(n, at=-1.0) for n in "23456")]
    trace = simulate(mapping(raising("x"), maximum_record_age_in_seconds=60), puts)
    assert invoked(trace) == "23456"
    assert discarded(trace) == ("RecordAgeExceeded", 1, 1)


@pytest.mark.parametrize(("retries", "count"), [(0, 1), (2, 3)])
def test_t11_an_event_over_six_megabytes_uses_up_its_attempts_without_an_invocation(retries: int, count: int) -> None:
    puts = [Put(b"x" * 5_000_000, at=-1.0), Put("2", at=-1.0)]
    trace = simulate(mapping(raising("x"), maximum_retry_attempts=retries), puts)
    assert invoked(trace) == "2"
    assert discarded(trace) == ("RetryAttemptsExhausted", count, 1)
    assert "responseContext" not in only_document(trace)


def test_t12_a_batch_waits_for_its_size_or_its_window() -> None:
    trace = play(raising("x"), "12345", batch_size=2, maximum_batching_window_in_seconds=5)
    assert invoked(trace) == "12 34 5"
    first, second, third = (invocation.started_at for invocation in trace.invocations)
    assert second - first < 0.5
    assert third - first == pytest.approx(5.0, abs=0.2)


def test_t13_children_wait_for_their_parents_and_siblings_overlap() -> None:
    async def handle(_event: dict[str, Any], _context: Any) -> None:
        await asyncio.sleep(2)

    events = [
        Put("p", at=-5.0, shard=0),
        Split(0, at=-4.0),
        Put("l", at=-3.0, shard=1),
        Put("r", at=-3.0, shard=2),
        Merge(1, 2, at=-2.0),
        Put("m", at=-1.0, shard=3),
    ]
    trace = simulate(mapping(handle), events)
    by_data = {numbers(invocation.event): invocation for invocation in trace.invocations}
    assert sorted(by_data) == ["l", "m", "p", "r"]
    parent, left, right, merged = (by_data[data] for data in "plrm")
    assert min(left.started_at, right.started_at) >= parent.ended_at
    assert _overlap(left, right)
    assert merged.started_at >= max(left.ended_at, right.ended_at)


def _overlap(one: Invocation, other: Invocation) -> bool:
    return one.started_at < other.ended_at and other.started_at < one.ended_at


def test_after_a_discard_the_lane_goes_on_at_once() -> None:
    trace = play(raising("1"), "12", batch_size=1, maximum_retry_attempts=0)
    assert invoked(trace) == "1 2"
    assert trace.invocations[1].started_at - trace.invocations[0].ended_at < 0.2
    assert [fact.delivered for fact in trace.facts if isinstance(fact, RecordsDiscarded)] == [True]
