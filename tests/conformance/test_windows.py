"""What Lambda does with a tumbling window, through the whole worker under virtual time.

https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-windows.html
"""

from __future__ import annotations

import asyncio
import json
import re
from base64 import b64decode
from typing import Any

import pytest

from esm.errors import MappingError
from esm.mapping.settings import EventSourceMapping
from esm.testing import DeleteItem, Invocation, Merge, Put, PutItem, Split, Trace, simulate
from esm.testing.events import StreamEvent

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:failed"
REPORT = ["ReportBatchItemFailures"]
LIMIT = 1_048_576


def mapping(function: Any, **settings: Any) -> EventSourceMapping:
    settings.setdefault("starting_position", "TRIM_HORIZON")
    settings.setdefault("tumbling_window_in_seconds", 10)
    settings.setdefault("event_source_arn", ARN)
    settings.setdefault("destination_config", QUEUE)
    return EventSourceMapping(function=function, **settings)


def numbers(event: dict[str, Any]) -> str:
    return "".join(b64decode(record["kinesis"]["data"]).decode() for record in event["Records"])


def gather(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """The state says which records were seen."""
    return {"state": {"seen": event["state"].get("seen", "") + numbers(event)}}


def failing(bad: str) -> Any:
    """As `gather`; raises when the call is one of these: `.` for a final one, else a record."""

    def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
        if bad in (numbers(event) or "."):
            raise ValueError(bad)
        return gather(event, context)

    return handle


def reporting(bad: str) -> Any:
    """As `gather`, up to `bad`, which is reported with what follows it."""

    def handle(event: dict[str, Any], _context: Any) -> dict[str, Any]:
        done, _, _ = numbers(event).partition(bad)
        failed = [{"itemIdentifier": r["kinesis"]["sequenceNumber"]} for r in event["Records"][len(done) :]]
        return {"state": {"seen": event["state"].get("seen", "") + done}, "batchItemFailures": failed}

    return handle


def told(trace: Trace, shard: int | None = None) -> str:
    """Each call as `state[records]`, `state.` for a final one, `state!` for an early one; `|` where a window begins."""
    calls, window = [], None
    for call in trace.invocations:
        event = call.event
        if shard is None or event["shardId"].endswith(str(shard)):
            records = numbers(event)
            mark = "!" if event["isWindowTerminatedEarly"] else "." if event["isFinalInvokeForWindow"] else ""
            new = "|" if window not in (None, event["window"]["start"]) else ""
            window = event["window"]["start"]
            calls.append(new + event["state"].get("seen", "") + (f"[{records}]" if records else "") + mark)
    return " ".join(calls)


def bounds(call: Invocation) -> tuple[str, str]:
    return call.event["window"]["start"][11:], call.event["window"]["end"][11:]


def puts(records: str, *at: float) -> list[Put]:
    return [Put(number, key="a", at=when) for number, when in zip(records, at, strict=True)]


def test_w1_an_event_gains_these_fields_in_this_order() -> None:
    first, final = simulate(mapping(gather), puts("1", 1.0)).invocations
    assert list(first.event) == [
        "Records",
        "window",
        "state",
        "shardId",
        "eventSourceARN",
        "isFinalInvokeForWindow",
        "isWindowTerminatedEarly",
    ]
    (record,) = first.event.pop("Records")
    assert first.event == {
        "window": {"start": "2025-12-01T00:00:00Z", "end": "2025-12-01T00:00:10Z"},
        "state": {},
        "shardId": "shardId-000000000000",
        "eventSourceARN": ARN,
        "isFinalInvokeForWindow": False,
        "isWindowTerminatedEarly": False,
    }
    assert record["eventID"].startswith("shardId-000000000000:")
    assert final.event == first.event | {"Records": [], "state": {"seen": "1"}, "isFinalInvokeForWindow": True}


@pytest.mark.parametrize("value", [None, {}, {"State": {}}, {"state": None}, {"state": 1}, {"batchItemFailures": []}])
@pytest.mark.parametrize("types", [[], REPORT], ids=["plain", "reporting"])
def test_w2_an_answer_without_a_state_is_a_failed_invocation(value: Any, types: list[str]) -> None:
    function = mapping(lambda _event, _context: value, function_response_types=types, maximum_retry_attempts=1)
    trace = simulate(function, puts("1", 1.0))
    assert [call.outcome for call in trace.invocations[:2]] == ["failed", "failed"]
    assert len({call.request_id for call in trace.invocations[:2]}) == 1
    assert trace.failure_documents[0]["responseContext"]["functionError"] is None


def test_w3_windows_are_a_shards_own() -> None:
    events = [Put(str(number), at=1.0 + number, shard=number % 2) for number in range(6)]
    trace = simulate(mapping(gather), events, shards=2)
    assert told(trace, 0) == "[0] 0[2] 02[4] 024."
    assert told(trace, 1) == "[1] 1[3] 13[5] 135."


@pytest.mark.parametrize(
    ("size", "windows"),
    [
        (10, [("00:00:00Z", "00:00:10Z"), ("00:00:10Z", "00:00:20Z"), ("00:00:50Z", "00:01:00Z")]),
        (45, [("00:00:00Z", "00:00:45Z"), ("00:00:45Z", "00:01:30Z")]),
        (900, [("00:00:00Z", "00:15:00Z")]),
    ],
)
def test_w4_windows_are_aligned_to_the_epoch_by_arrival(size: int, windows: list[tuple[str, str]]) -> None:
    """Observed. The records wait in the stream while the mapping is not there yet: delivery does not matter."""
    trace = simulate(mapping(gather, tumbling_window_in_seconds=size), puts("123", -59.0, -40.0, -3.0))
    # The simulation begins with the first record, on the minute.
    assert [bounds(call) for call in trace.invocations if not call.event["Records"]] == windows


def test_w5_a_batch_never_spans_two_windows() -> None:
    events = puts("12345", -12.0, -11.0, -10.5, -1.9, -1.0)
    trace = simulate(mapping(gather, maximum_batching_window_in_seconds=60), events)
    assert told(trace) == "[123] 123. |[45] 45."
    assert trace.invocations[1].started_at < 1.0  # cut short: nothing of the first window can come any more


def test_w6_the_final_call_has_no_records_and_what_it_returns_is_thrown_away() -> None:
    def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
        return gather(event, context) if event["Records"] else {"state": {"seen": "x"}}

    trace = simulate(mapping(handle), puts("123", 1.0, 2.0, 11.0))
    assert told(trace) == "[1] 1[2] 12. |[3] 3."


def test_w7_a_window_closes_when_a_record_of_a_later_one_is_seen() -> None:
    """A quiet shard's window was still open 94 s after its end. (observed)"""
    trace = simulate(mapping(gather), puts("12", 1.0, 104.0))
    assert told(trace) == "[1] 1. |[2] 2."
    assert trace.invocations[1].started_at == pytest.approx(104.5, abs=1.0)


def test_w7_a_window_closes_when_the_shard_ends() -> None:
    trace = simulate(mapping(gather), [*puts("1", 1.0), Split(0, at=4.0)])
    assert told(trace) == "[1] 1."
    assert trace.invocations[1].started_at < 6.0


def test_w7_an_idle_shards_window_closes_two_minutes_after_its_end() -> None:
    """Chosen: Lambda's own idle time is not known."""
    _, final = simulate(mapping(gather), puts("1", 1.0)).invocations
    assert final.started_at == pytest.approx(130.5, abs=1.5)


def test_w7_an_old_window_closes_once_the_shard_is_read_to_its_tip() -> None:
    trace = simulate(mapping(gather), puts("1", -600.0))
    assert told(trace) == "[1] 1."
    assert trace.invocations[1].started_at < 15.0


def test_w8_a_failed_final_call_suspends_the_shard_until_it_succeeds() -> None:
    failures = 3

    def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
        nonlocal failures
        if not event["Records"] and failures:
            failures -= 1
            raise ValueError
        return gather(event, context)

    trace = simulate(mapping(handle), puts("123", 1.0, 11.0, 15.0))
    assert told(trace) == "[1] 1. 1. 1. 1. |[2] 2[3] 23."
    assert [call.outcome for call in trace.invocations[1:5]] == ["failed", "failed", "failed", "succeeded"]
    assert len({call.request_id for call in trace.invocations[1:5]}) == 1
    assert trace.invocations[5].started_at >= trace.invocations[4].ended_at


def test_w8_a_failed_final_call_suspends_the_shard_until_it_is_discarded() -> None:
    settings: dict[str, Any] = {"maximum_retry_attempts": 2, "bisect_batch_on_function_error": True}
    trace = simulate(mapping(failing("."), **settings), puts("12", 1.0, 11.0))
    assert told(trace) == "[1] 1. 1. 1. |[2] 2. 2. 2."
    assert len(trace.failure_documents) == 2


@pytest.mark.parametrize(("size", "early"), [(LIMIT, False), (LIMIT + 1, True)])
def test_w9_a_state_over_one_megabyte_ends_the_window_early(size: int, *, early: bool) -> None:
    """The full state is handed out, and the window goes on without one. (observed)"""

    def handle(event: dict[str, Any], _context: Any) -> dict[str, Any]:
        seen = event["state"].get("seen", "").rstrip("x") + numbers(event)
        return {"state": {"seen": seen.ljust(size - len('{"seen":""}'), "x") if seen == "1" else seen}}

    trace = simulate(mapping(handle), puts("12", 1.0, 3.0))
    assert told(trace).replace("x", "") == ("[1] 1! [2] 2." if early else "[1] 1[2] 12.")
    second = trace.invocations[1].event
    assert (second["Records"] == [], second["isFinalInvokeForWindow"]) == (early, early)
    assert len(json.dumps(second["state"], separators=(",", ":"))) == size
    assert {bounds(call) for call in trace.invocations} == {("00:00:00Z", "00:00:10Z")}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"parallelization_factor": 2}, "ParallelizationFactor"),
        ({"filter_criteria": [{"data": {"a": [1]}}]}, "FilterCriteria"),
    ],
)
def test_w10_neither_parallel_batches_nor_filters(settings: dict[str, Any], words: str) -> None:
    """Observed."""
    with pytest.raises(MappingError, match=words):
        mapping(gather, **settings)


def test_w11_a_closing_shard_gets_its_final_call_and_its_children_start_empty() -> None:
    events: list[StreamEvent] = [
        Put("1", at=1.0, shard=0),
        Split(0, at=2.0),
        Put("2", at=3.0, shard=1),
        Put("3", at=4.0, shard=2),
        Merge(1, 2, at=5.0),
        Put("4", at=6.0, shard=3),
    ]
    trace = simulate(mapping(gather, tumbling_window_in_seconds=60), events)
    assert [told(trace, shard) for shard in range(4)] == ["[1] 1.", "[2] 2.", "[3] 3.", "[4] 4."]
    final_of_parent = next(call for call in trace.invocations if told(Trace([call])) == "1.")
    assert all(call.started_at >= final_of_parent.ended_at for call in trace.invocations[2:])


def test_w12_the_state_of_a_partial_failure_goes_with_the_suffix() -> None:
    settings: dict[str, Any] = {"function_response_types": REPORT, "maximum_retry_attempts": 1}
    trace = simulate(mapping(reporting("3"), **settings), puts("12345", -1.0, -0.9, -0.8, -0.7, -0.6))
    assert told(trace) == "[12345] 12[345] 12[345] 12."
    assert [call.outcome for call in trace.invocations] == ["partly failed"] * 3 + ["succeeded"]


def test_w13_a_retry_has_the_state_of_the_first_try() -> None:
    trace = simulate(mapping(failing("2"), maximum_retry_attempts=2, batch_size=1), puts("123", 1.0, 2.0, 3.0))
    assert told(trace) == "[1] 1[2] 1[2] 1[2] 1[3] 13."


def test_w13_the_second_half_has_the_state_that_the_first_returned() -> None:
    settings: dict[str, Any] = {"maximum_retry_attempts": 0, "bisect_batch_on_function_error": True}
    trace = simulate(mapping(failing("3"), **settings), puts("1234", -1.0, -0.9, -0.8, -0.7))
    assert told(trace) == "[1234] [12] 12[34] 12[3] 12[4] 124."


def test_w13_a_handler_that_changes_the_state_it_was_given_changes_no_retry() -> None:
    def handle(event: dict[str, Any], _context: Any) -> dict[str, Any]:
        event["state"]["seen"] = event["state"].get("seen", "") + (numbers(event) or ".")
        if event["state"]["seen"] == "12":
            raise ValueError
        return {"state": event["state"]}

    trace = simulate(mapping(handle, maximum_retry_attempts=1), puts("12", 1.0, 2.0))
    assert told(trace) == "[1] 1[2] 1[2] 1."


WINDOW = {"start": "2025-12-01T00:00:00Z", "end": "2025-12-01T00:00:10Z"}


def test_w14_the_failure_record_of_a_batch_names_its_window() -> None:
    trace = simulate(mapping(failing("2"), maximum_retry_attempts=0), puts("12", 1.0, 2.0))
    (document,) = trace.failure_documents
    assert list(document) == [
        "requestContext",
        "responseContext",
        "version",
        "timestamp",
        "KinesisBatchInfo",
        "timeWindowInfo",
    ]
    assert document["KinesisBatchInfo"]["batchSize"] == 1
    assert document["timeWindowInfo"] == {
        "window": WINDOW,
        "isFinalInvokeForWindow": False,
        "isWindowTerminatedEarly": False,
    }


FINAL_FAILURE = """{"requestContext":{"requestId":"ID",
"functionArn":"arn:aws:lambda:eu-west-1:123456789012:function:handle",
"condition":"RetryAttemptsExhausted","approximateInvokeCount":3},
"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},
"version":"1.0","timestamp":"AT",
"KinesisBatchInfo":{"shardId":"shardId-000000000000",
"streamArn":"arn:aws:kinesis:eu-west-1:123456789012:stream/orders"},
"timeWindowInfo":{"window":{"start":"2025-12-01T00:00:00Z","end":"2025-12-01T00:00:10Z"},
"isFinalInvokeForWindow":true,"isWindowTerminatedEarly":false}}""".replace("\n", "")


def test_w14_the_failure_record_of_a_final_call_letter_by_letter() -> None:
    """Observed: its range has no records."""
    trace = simulate(mapping(failing("."), maximum_retry_attempts=2), puts("1", 1.0))
    (document,) = trace.failure_documents
    assert document["requestContext"].pop("requestId") == trace.invocations[-1].request_id
    document["requestContext"] = {"requestId": "ID", **document["requestContext"]}
    text = json.dumps(document, separators=(",", ":"))
    assert re.sub(r'(?<="timestamp":")2025-12-01T00:02:1\d\.\d{3}Z', "AT", text) == FINAL_FAILURE


def test_w14_the_failure_record_of_an_early_final_call() -> None:
    def handle(event: dict[str, Any], _context: Any) -> dict[str, Any]:
        if event["isWindowTerminatedEarly"]:
            raise ValueError
        return {"state": {"seen": "x" * LIMIT if event["Records"] else ""}}

    settings: dict[str, Any] = {"maximum_retry_attempts": 0, "destination_config": "arn:aws:s3:::failed"}
    (document,) = simulate(mapping(handle, **settings), puts("1", 1.0)).failure_documents
    assert document["timeWindowInfo"]["isFinalInvokeForWindow"]
    assert document["timeWindowInfo"]["isWindowTerminatedEarly"]
    payload = json.loads(document["payload"])
    assert (payload["Records"], payload["window"], payload["state"]) == ([], WINDOW, {"seen": "x" * LIMIT})


def test_w14_the_failure_record_of_a_table() -> None:
    def handle(event: dict[str, Any], _context: Any) -> dict[str, Any]:
        if not event["Records"]:
            raise ValueError
        return {"state": {"changes": event["state"].get("changes", 0) + len(event["Records"])}}

    events: list[StreamEvent] = [PutItem({"id": {"S": "1"}}, at=1.0), DeleteItem({"id": {"S": "1"}}, at=3.0)]
    trace = simulate(mapping(handle, event_source_arn=TABLE, maximum_retry_attempts=0), events)
    assert [call.event["state"] for call in trace.invocations] == [{}, {"changes": 1}, {"changes": 2}]
    (document,) = trace.failure_documents
    assert sorted(document["DDBStreamBatchInfo"]) == ["shardId", "streamArn"]
    assert document["timeWindowInfo"]["window"] == WINDOW


@pytest.mark.parametrize("size", [-1, 901, 1.5])
def test_w15_sizes_are_0_to_900_seconds(size: Any) -> None:
    with pytest.raises(MappingError):
        mapping(gather, tumbling_window_in_seconds=size)


def test_w15_0_is_off() -> None:
    trace = simulate(mapping(lambda _event, _context: None, tumbling_window_in_seconds=0), puts("12", -1.0, -0.9))
    assert [list(call.event) for call in trace.invocations] == [["Records"]]


def test_w15_one_window_of_a_shard_is_in_progress_at_a_time() -> None:
    async def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
        await asyncio.sleep(2.5)
        return gather(event, context)

    events = [Put(str(number), at=float(number)) for number in range(9)]
    trace = simulate(mapping(handle, tumbling_window_in_seconds=2), events)
    windows: list[list[str]] = []
    for call, event in ((call, call.event) for call in trace.invocations):
        if not windows or windows[-1][0] != event["window"]["start"]:
            assert not windows or windows[-1][-1] == "final"
            windows.append([event["window"]["start"]])
        windows[-1].append("final" if event["isFinalInvokeForWindow"] else "batch")
        assert call.outcome == "succeeded"
    starts = [window[0] for window in windows]
    assert starts == sorted(set(starts))
    finals = [call.event["state"]["seen"] for call in trace.invocations if call.event["isFinalInvokeForWindow"]]
    assert "".join(finals) == "012345678"
