"""What functions do to their events, and how quickly one bad record is found among many."""

from __future__ import annotations

import json
from base64 import b64decode
from math import ceil, log2
from typing import Any

import pytest

from esm.mapping.settings import EventSourceMapping
from esm.testing import Put, simulate
from tests.faults.world import ARN


def test_a_function_that_spoils_its_event_gets_it_whole_at_the_next_try() -> None:
    seen: list[str] = []

    def spoil(event: dict[str, Any], _context: Any) -> None:
        seen.append(json.dumps(event))
        record = event["Records"].pop()
        record["kinesis"].clear()
        record["eventID"] = None
        event.clear()
        if len(seen) < 3:
            raise ValueError

    trace = simulate(mapping(spoil), [Put(b"1", key="a", at=-1.0), Put(b"2", key="a", at=-1.0)])
    assert len(seen) == 3
    assert len(set(seen)) == 1
    assert len(json.loads(seen[0])["Records"]) == 2
    assert all(trace.positions.values())


@pytest.mark.parametrize("bad", [0, 511, 617, 999])
def test_one_bad_record_in_a_thousand_stands_alone_after_as_many_failures_as_it_has_halvings(bad: int) -> None:
    failures: list[int] = []

    def handle(event: dict[str, Any], _context: Any) -> None:
        values = [int(b64decode(record["kinesis"]["data"])) for record in event["Records"]]
        if bad in values:
            failures.append(len(values))
            raise ValueError

    settings = {"batch_size": 1000, "maximum_retry_attempts": 0, "bisect_batch_on_function_error": True}
    trace = simulate(
        mapping(handle, destination_config="arn:aws:sqs:eu-west-1:123456789012:failed", **settings),
        [Put(str(number), key="a", at=-1.0) for number in range(1000)],
    )
    assert failures[0] == 1000
    assert failures[-1] == 1
    assert len(failures) <= ceil(log2(1000)) + 1
    (document,) = trace.failure_documents
    assert document["KinesisBatchInfo"]["batchSize"] == 1


def mapping(function: Any, **settings: Any) -> EventSourceMapping:
    return EventSourceMapping(event_source_arn=ARN, function=function, starting_position="TRIM_HORIZON", **settings)
