"""What Lambda was seen to do with a stream, as a table that every suite plays in its own way.

Each bracket of the notation is one invocation, in order: `1234 12 1` is a batch of four, then its first half, then one.
Sources: recordings of real event source mappings ("observed"), and
https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

__all__ = [
    "VECTORS",
    "Call",
    "Failure",
    "Handler",
    "Vector",
    "batch_info",
    "check",
    "check_document",
    "number_of",
    "numbers",
    "raising",
]

Handler = Callable[[dict[str, Any], Any], Any]

REPORT = ["ReportBatchItemFailures"]
UNHANDLED = {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
ANSWERED = {"statusCode": 200, "executedVersion": "$LATEST", "functionError": None}


@dataclass(frozen=True)
class Failure:
    """The only failure record. `first`, `last`: of its records. `response`: `None` when there is no such key."""

    condition: str
    counts: tuple[int, ...]
    first: str
    last: str
    response: dict[str, Any] | None


@dataclass(frozen=True)
class Vector:
    """`records`: one character each, a key and a shard for all. `age`: seconds of the first when the mapping starts.

    `invoked`: what may be seen. `waits`: seconds from an invocation to the next, by its index.
    """

    name: str
    function: Handler
    invoked: tuple[str, ...]
    failure: Failure | None
    settings: dict[str, Any] = field(default_factory=dict)
    records: str = "1234"
    age: float = 1.0
    waits: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One invocation. `at`: seconds."""

    event: dict[str, Any]
    request_id: str
    at: float


def numbers(event: dict[str, Any]) -> str:
    """The records of an event."""
    return "".join(_data(record) for record in event["Records"])


def raising(bad: str) -> Handler:
    """Raises when `bad` is there."""

    def handle(event: dict[str, Any], _context: Any) -> None:
        if bad in numbers(event):
            raise ValueError(bad)

    return handle


def reporting(bad: str) -> Handler:
    """Reports `bad`, when it is there."""

    def handle(event: dict[str, Any], _context: Any) -> dict[str, Any]:
        failed = [record for record in event["Records"] if _data(record) == bad]
        return {"batchItemFailures": [{"itemIdentifier": number_of(record)} for record in failed]}

    return handle


def nameless(_event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Reports an empty identifier."""
    return {"batchItemFailures": [{"itemIdentifier": ""}]}


VECTORS = (
    Vector(
        "T1 a failing batch is tried again whole until its attempts are used up",
        raising("2"),
        ("1234 1234 1234",),
        Failure("RetryAttemptsExhausted", (3,), "1", "4", UNHANDLED),
        {"maximum_retry_attempts": 2},
    ),
    Vector(
        "T2 bisecting isolates the poison record, and each half has a fresh budget",
        raising("2"),
        ("1234 12 1 2 2 34",),
        Failure("RetryAttemptsExhausted", (2,), "2", "2", UNHANDLED),
        {"bisect_batch_on_function_error": True, "maximum_retry_attempts": 1},
    ),
    Vector(
        "T3 a partial failure goes on from the lowest failed record",
        reporting("2"),
        ("1234 234 234",),
        Failure("RetryAttemptsExhausted", (2,), "2", "4", ANSWERED),
        {"function_response_types": REPORT, "maximum_retry_attempts": 1},
    ),
    Vector(
        "T4 with both switches the midpoint is used only without progress",
        reporting("2"),
        ("1234 234 2 2 34",),
        Failure("RetryAttemptsExhausted", (2,), "2", "2", ANSWERED),
        {"function_response_types": REPORT, "bisect_batch_on_function_error": True, "maximum_retry_attempts": 1},
    ),
    Vector(
        "T5 without the switch returned failures mean success",
        reporting("2"),
        ("1234",),
        None,
        {"maximum_retry_attempts": 1},
    ),
    Vector(
        "T6 an empty identifier fails the whole batch",
        nameless,
        ("1234",),
        Failure("RetryAttemptsExhausted", (1,), "1", "4", ANSWERED),
        {"function_response_types": REPORT, "maximum_retry_attempts": 0},
    ),
    Vector(
        "T7 the suffix after progress has a fresh budget",
        reporting("6"),
        ("123 456 6 6 6 6",),
        Failure("RetryAttemptsExhausted", (4,), "6", "6", ANSWERED),
        {"function_response_types": REPORT, "batch_size": 3, "maximum_retry_attempts": 3},
        records="123456",
    ),
    Vector(
        "T8 a record that grows too old while it is tried is given up",
        raising("1"),
        # 0.2 s doubling reaches the minute after eight or nine tries; eight were observed, after a slower start.
        ("1 1 1 1 1 1 1 1", "1 1 1 1 1 1 1 1 1"),
        Failure("RecordAgeExceeded", (8, 9), "1", "1", None),
        {"maximum_record_age_in_seconds": 60},
        records="1",
        age=0.0,
    ),
    Vector(
        "T9 a record too old at the start is never delivered",
        raising("1"),
        ("",),
        Failure("RecordAgeExceeded", (1,), "1", "1", None),
        {"maximum_record_age_in_seconds": 60},
        records="1",
        age=61.0,
    ),
    Vector(
        "T10 only the expired prefix is cut off",
        raising("x"),
        ("23456",),
        Failure("RecordAgeExceeded", (1,), "1", "1", None),
        {"maximum_record_age_in_seconds": 60},
        records="123456",
        age=61.0,
    ),
    Vector(
        "T12 a batch waits for its size or its window",
        raising("x"),
        ("12 34 5",),
        None,
        {"batch_size": 2, "maximum_batching_window_in_seconds": 5},
        records="12345",
        waits={0: 0.0, 1: 5.0},
    ),
)
"""T11 needs a record that no local server takes, and T13 a stream that splits: each suite that can has them itself."""


def check(
    vector: Vector,
    calls: Sequence[Call],
    documents: Sequence[dict[str, Any]],
    sequence_numbers: Mapping[str, str] | None = None,
    *,
    late: float = 0.2,
) -> None:
    """Asserts that this is what was seen. `sequence_numbers`: of each record; `late`: how far a wait may be off."""
    texts = [numbers(call.event) for call in calls]
    assert " ".join(texts) in vector.invoked
    for before, after in pairwise(calls):
        # A batch that is tried again unchanged keeps its request id, and nothing else does. (observed)
        assert (before.request_id == after.request_id) == (numbers(before.event) == numbers(after.event))
    for index, seconds in vector.waits.items():
        assert calls[index + 1].at - calls[index].at == pytest.approx(seconds, abs=late)
    if vector.failure is None:
        assert documents == []
        return
    (document,) = documents
    numbered = dict(sequence_numbers or {})
    for call in calls:
        numbered |= {_data(record): number_of(record) for record in call.event["Records"]}
    check_document(document, vector.failure, numbered)
    _check_request(document, vector.failure, calls)


def check_document(document: dict[str, Any], failure: Failure, numbered: Mapping[str, str]) -> None:
    """Asserts that the failure record says this. Sequence numbers that nobody knows are not looked at."""
    request, info = document["requestContext"], batch_info(document)
    assert request["condition"] == failure.condition
    assert request["approximateInvokeCount"] in failure.counts
    assert info["batchSize"] == int(failure.last) - int(failure.first) + 1
    for name, data in (("startSequenceNumber", failure.first), ("endSequenceNumber", failure.last)):
        assert info[name] == numbered.get(data, info[name])
    assert ("responseContext" in document) == (failure.response is not None)
    assert document.get("responseContext") == failure.response


def _check_request(document: dict[str, Any], failure: Failure, calls: Sequence[Call]) -> None:
    """The request is the one that failed last, and it was made as often as the record says."""
    of_range = [call for call in calls if numbers(call.event)[:1] == failure.first]
    if of_range:
        last = of_range[-1].request_id
        assert document["requestContext"]["requestId"] == last
        tries = sum(call.request_id == last for call in of_range)
        assert document["requestContext"]["approximateInvokeCount"] == tries


def number_of(record: dict[str, Any]) -> str:
    """The sequence number of an event's record."""
    number: str = record["dynamodb"]["SequenceNumber"] if "dynamodb" in record else record["kinesis"]["sequenceNumber"]
    return number


def batch_info(document: dict[str, Any]) -> dict[str, Any]:
    """What a failure record says of its range, under the name that the source has for it."""
    (name,) = document.keys() & {"DDBStreamBatchInfo", "KinesisBatchInfo"}
    info: dict[str, Any] = document[name]
    assert (name == "DDBStreamBatchInfo") == (":dynamodb:" in info["streamArn"])
    return info


def _data(record: dict[str, Any]) -> str:
    """What was put; of a table, the item's key."""
    if "dynamodb" in record:
        return str(record["dynamodb"]["Keys"]["id"]["S"])
    return b64decode(record["kinesis"]["data"]).decode()
