"""Log lines: an event for each fact, at a level of its own, and nothing made that is not written."""

from __future__ import annotations

import io
import json
import logging

import pytest

from esm.telemetry import facts
from esm.telemetry.logs import LogObserver, event_name
from esm.telemetry.observer import Observers
from tests.faults.world import lines_to
from tests.unit.telemetry.happenings import MAPPING, batch, changed, polled

FAILED = batch(2, outcome="failed", failed_records=2, error_type="ValueError", error_message="no", error_trace="trace")


def written(level: int, *told: facts.Fact) -> list[dict[str, object]]:
    stream = io.StringIO()
    observer = LogObserver(lines_to(stream, level))
    for fact in told:
        observer.notice(fact)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_the_facts_own_words_and_only_those_that_say_something() -> None:
    (line,) = written(logging.DEBUG, batch()[0])
    assert line == {
        "event": "invocation_started",
        "level": "debug",
        "mapping": MAPPING,
        "shard": "shard-0",
        "request_id": "r",
        "lane": 0,
        "records": 10,
        "first": "1",
        "last": "2",
        "invoke_count": 1,
        "age_ms": 700,
    }


def test_a_traceback_is_a_line_of_its_own_and_only_at_debug() -> None:
    assert [line["event"] for line in written(logging.INFO, FAILED[1])] == ["invocation_ended"]
    ended, trace = written(logging.DEBUG, FAILED[1])
    assert "error_trace" not in ended
    assert (trace["event"], trace["trace"], trace["request_id"]) == ("handler_trace", "trace", "r")


@pytest.mark.parametrize(
    ("fact", "level"),
    [
        (polled(), "debug"),
        (batch()[1], "debug"),
        (FAILED[1], "warning"),
        (changed(), "info"),
        (facts.ShardSilent(at=0, mapping=MAPPING, shard="s", behind_ms=None, silent_ms=1), "error"),
        (facts.ShardHalted(at=0, mapping=MAPPING, shard="s", error="e"), "error"),
    ],
)
def test_levels(fact: facts.Fact, level: str) -> None:
    line = written(logging.DEBUG, fact)[0]
    assert line["level"] == level


def test_at_info_it_does_not_ask_for_what_it_would_not_write() -> None:
    info = Observers([LogObserver(lines_to(io.StringIO(), logging.INFO))])
    assert not any(info.wants(kind) for kind in (facts.InvocationStarted, facts.CheckpointStored, facts.Polled))
    assert info.wants(facts.InvocationEnded), "it may have failed"
    assert info.wants(facts.MappingStateChanged)
    debug = Observers([LogObserver(lines_to(io.StringIO(), logging.DEBUG))])
    assert all(debug.wants(kind) for kind in facts.Fact.__subclasses__())


def test_each_kind_of_fact_has_an_event_of_its_own() -> None:
    names = [event_name(kind) for kind in facts.Fact.__subclasses__()]
    assert len(set(names)) == len(names)
    assert event_name(facts.MappingStateChanged) == "mapping_state_changed"
