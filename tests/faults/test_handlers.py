"""What functions do to their events, and how quickly one bad record is found among many."""

from __future__ import annotations

import asyncio
import io
import json
from base64 import b64decode
from math import ceil, log2
from typing import Any

import pytest

from esm.mapping.settings import EventSourceMapping
from esm.telemetry import facts
from esm.telemetry.logs import LogObserver
from esm.testing import Put, simulate
from esm.testing.run import run
from tests.faults.world import ARN, HOUR, World, lines_to


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


@pytest.mark.parametrize(("factor", "lanes"), [(1, 1), (4, 4)])
def test_a_record_that_always_fails_gets_older_in_the_status(factor: int, lanes: int) -> None:
    async def main() -> None:
        world = World()

        async def fail(_event: Any, _context: Any) -> None:
            raise ValueError

        world.put("1", "2")
        async with world.worker(function=fail, parallelization_factor=factor) as worker:
            await asyncio.sleep(3600)
            (shard,) = worker.status().mappings[0].shards
        assert len(shard.lanes) == lanes
        assert shard.behind_ms == 0
        assert shard.oldest_age_ms == pytest.approx(HOUR, abs=1_000)

    run(main())


def test_what_is_settled_has_no_age() -> None:
    async def main() -> None:
        world = World()
        world.put("1", "2")
        async with world.worker() as worker:
            await world.until(lambda: len(world.delivered) == 2)
            await asyncio.sleep(1)
            (shard,) = worker.status().mappings[0].shards
        assert shard.oldest_age_ms is None

    run(main())


def test_the_log_says_where_a_function_raised() -> None:
    def deeper() -> None:
        raise ValueError("secret of the record")

    def handle(_event: Any, _context: Any) -> None:
        deeper()

    async def ahandle(_event: Any, _context: Any) -> None:
        deeper()

    async def main(function: Any) -> list[dict[str, Any]]:
        world = World()
        world.put("1")
        async with world.worker(function=function):
            await world.until(lambda: bool(world.of(facts.InvocationEnded)))
        return [json.loads(line) for line in world.log.getvalue().splitlines()]

    line = deeper.__code__.co_firstlineno + 1
    for function in (handle, ahandle):
        ended = next(each for each in run(main(function)) if each["event"] == "invocation_ended")
        assert (ended["level"], ended["error_at"]) == ("warning", f"test_handlers.py:{line} in deeper")
        assert "error_trace" not in ended


def test_the_trace_says_of_which_mapping_and_shard_it_is() -> None:
    log = io.StringIO()
    failed = facts.InvocationEnded(
        at=1,
        mapping="m",
        shard="s",
        request_id="r",
        lane=0,
        records=1,
        outcome="failed",
        failed_records=1,
        duration_ms=1,
        error_trace="Traceback",
    )
    LogObserver(lines_to(log, 10)).notice(failed)
    trace = json.loads(log.getvalue().splitlines()[1])
    named = {"mapping": "m", "shard": "s", "request_id": "r", "trace": "Traceback"}
    assert trace == {"event": "handler_trace", "level": "debug", **named}


def mapping(function: Any, **settings: Any) -> EventSourceMapping:
    return EventSourceMapping(event_source_arn=ARN, function=function, starting_position="TRIM_HORIZON", **settings)
