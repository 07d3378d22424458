"""What a recording would have come to: settings, functions, latencies, prices."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import esm
from esm.errors import EsmError, MappingError, RecordingError
from esm.runtime.shapes import shape_of
from esm.testing import Put, simulate
from esm.whatif.function import Behaviour, arrived_ms, measured
from esm.whatif.plot import check_plot, plot
from esm.whatif.sweep import combinations, values_of
from esm.whatif.traffic import Traffic, read_traffic
from esm.whatif.trial import Outcome, Prices, try_settings
from tests.unit.whatif.recordings import STREAM, changes, kinesis, messages

NOTHING = Behaviour()


async def handle(event: dict[str, Any], context: object) -> None:
    pass


def mapping(arn: str = STREAM, **settings: Any) -> esm.EventSourceMapping:
    if ":sqs:" not in arn:
        settings.setdefault("starting_position", "TRIM_HORIZON")
    return esm.EventSourceMapping(event_source_arn=arn, function=handle, **settings)


def tried(traffic: Traffic, behaviour: Behaviour = NOTHING, /, **settings: int) -> Outcome:
    return try_settings(traffic, mapping(traffic.source_arn), behaviour, settings, Prices())


# -- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("7", [7]),
        ("1..10", [1, 2, 5, 10]),
        ("10..500", [10, 20, 50, 100, 200, 500]),
        ("3..40", [3, 5, 10, 20, 40]),
        ("0..5", [0, 1, 2, 5]),
        ("5..5", [5]),
        ("1, 8,2..5", [1, 8, 2, 5]),
    ],
)
def test_values(text: str, values: list[int]) -> None:
    assert values_of(text) == values


@pytest.mark.parametrize("text", ["", "a", "1..", "..5", "10..1", "1.5", "-1", "1,,2", "²"])
def test_what_names_no_value(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no number|goes backwards"):
        values_of(text)


def test_combinations() -> None:
    assert combinations({"a": [1, 2], "b": [3, 4]}) == [
        {"a": 1, "b": 3},
        {"a": 1, "b": 4},
        {"a": 2, "b": 3},
        {"a": 2, "b": 4},
    ]
    assert combinations({}) == [{}]
    with pytest.raises(ValueError, match="201 combinations are more than 200"):
        combinations({"a": list(range(201))})


# -- traffic -------------------------------------------------------------------------------------------------------


def test_a_stream_keeps_its_pace_shards_and_order(tmp_path: Path) -> None:
    traffic = read_traffic(kinesis(tmp_path / "r.jsonl", 10, a_second=2.0))
    assert (traffic.kind, traffic.source_arn, traffic.shards, traffic.seconds) == ("kinesis", STREAM, 2, 4.5)
    assert traffic.events[3] == Put(b'{"number":3}', "key-3", 1.5, 1)


def test_a_limit_is_of_records(tmp_path: Path) -> None:
    path = kinesis(tmp_path / "r.jsonl", 10)
    assert len(read_traffic(path, limit=4).events) == 4
    assert len(read_traffic(path, limit=10).events) == 10


def test_an_empty_recording_is_none(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="no record"):
        read_traffic(kinesis(tmp_path / "r.jsonl", 0))


# -- outcomes ------------------------------------------------------------------------------------------------------


def test_every_record_is_handled_whatever_the_settings(tmp_path: Path) -> None:
    traffic = read_traffic(kinesis(tmp_path / "r.jsonl", 500))
    for name, value in (("batch_size", 1), ("batch_size", 500), ("parallelization_factor", 10)):
        outcome = tried(traffic, Behaviour(call_ms=5), **{name: value})
        assert (outcome.records, outcome.failed, outcome.given_up) == (500, 0, 0)


def test_a_batch_of_one_is_a_call_for_each(tmp_path: Path) -> None:
    traffic = read_traffic(kinesis(tmp_path / "r.jsonl", 60, a_second=10.0))
    outcome = tried(traffic, Behaviour(call_ms=100, record_ms=50), batch_size=1)
    assert outcome.invocations == 60
    assert outcome.busy_s == pytest.approx(60 * 0.15)
    # 60 calls of 150 ms with 128 MB: https://aws.amazon.com/lambda/pricing/
    assert outcome.dollars == pytest.approx(60 * 0.20 / 1e6 + 60 * 0.150 * 0.125 * 0.0000166667)
    assert outcome.dollars_a_month == pytest.approx(outcome.dollars * 30 * 24 * 3600 / traffic.seconds)


def test_it_is_what_the_simulation_says(tmp_path: Path) -> None:
    traffic = read_traffic(kinesis(tmp_path / "r.jsonl", 300))
    expected = simulate(mapping(batch_size=20), traffic.events, shards=2)
    assert tried(traffic, batch_size=20).invocations == len(expected.invocations)


def test_a_slow_function_falls_behind_and_lanes_catch_up(tmp_path: Path) -> None:
    traffic = read_traffic(kinesis(tmp_path / "r.jsonl", 1000))
    slow = Behaviour(record_ms=40)
    alone, ten = tried(traffic, slow, parallelization_factor=1), tried(traffic, slow, parallelization_factor=10)
    assert alone.behind_s > 5 > ten.behind_s
    assert alone.latency_ms[99] > ten.latency_ms[99]
    assert list(alone.latency_ms.values()) == sorted(alone.latency_ms.values())


def test_failures_are_retried_and_block_their_lane(tmp_path: Path) -> None:
    traffic = read_traffic(kinesis(tmp_path / "r.jsonl", 500))
    outcome = tried(traffic, Behaviour(call_ms=1, error_rate=0.3), batch_size=10)
    assert outcome.records == 500
    assert outcome.failed > 0
    assert outcome.blocked_s > 0
    gives_up = tried(traffic, Behaviour(call_ms=1, error_rate=0.9), batch_size=10, maximum_retry_attempts=0)
    assert gives_up.given_up > 0
    assert gives_up.given_up + gives_up.records == 500


def test_a_table_and_queues(tmp_path: Path) -> None:
    table = tried(read_traffic(changes(tmp_path / "t.jsonl", 7)), batch_size=1)
    assert (table.invocations, table.records) == (7, 7)
    standard = tried(read_traffic(messages(tmp_path / "q.jsonl", 40)), maximum_concurrency=2, batch_size=10)
    assert standard.records == 40
    fifo = tried(read_traffic(messages(tmp_path / "f.jsonl", 20, fifo=True)), batch_size=10)
    assert fifo.records == 20


def test_what_is_never_given_up_has_no_end_and_is_not_begun(tmp_path: Path) -> None:
    stream, queue = read_traffic(kinesis(tmp_path / "r.jsonl", 3)), read_traffic(messages(tmp_path / "q.jsonl", 3))
    for traffic in (stream, queue):
        with pytest.raises(MappingError, match="there is no end"):
            tried(traffic, Behaviour(error_rate=1))
    with pytest.raises(MappingError, match="Lambda ends it after 900 s"):
        tried(stream, Behaviour(call_ms=901_000))
    assert tried(stream, Behaviour(error_rate=1), maximum_retry_attempts=1).given_up == 3


def test_what_is_left_when_it_is_broken_off_is_counted(tmp_path: Path) -> None:
    batches_never_end = Behaviour(record_ms=1000)  # 1,000 records take longer than Lambda allows
    traffic = read_traffic(kinesis(tmp_path / "r.jsonl", 1000, a_second=100_000.0, shards=1))
    outcome = tried(traffic, batches_never_end, batch_size=1000)
    assert (outcome.records, outcome.given_up, outcome.undone) == (0, 0, 1000)
    assert tried(traffic, batches_never_end, batch_size=100).undone == 0


def test_windows_get_their_state_back(tmp_path: Path) -> None:
    traffic = read_traffic(kinesis(tmp_path / "r.jsonl", 200, a_second=20.0))
    windowed = mapping(tumbling_window_in_seconds=5)
    outcome = try_settings(traffic, windowed, Behaviour(call_ms=1), {}, Prices())
    assert (outcome.failed, outcome.records, outcome.undone) == (0, 200, 0)


def test_what_a_filter_drops_is_neither_done_nor_undone(tmp_path: Path) -> None:
    traffic = read_traffic(kinesis(tmp_path / "r.jsonl", 100))
    filtered = mapping(filter_criteria=[{"partitionKey": ["key-1"]}])
    outcome = try_settings(traffic, filtered, NOTHING, {}, Prices())
    assert (outcome.records, outcome.undone) == (5, 0)


def test_settings_that_aws_would_refuse_are(tmp_path: Path) -> None:
    traffic = read_traffic(kinesis(tmp_path / "r.jsonl", 3))
    with pytest.raises(MappingError, match="arallelization"):
        tried(traffic, parallelization_factor=11)


# -- functions -----------------------------------------------------------------------------------------------------


def test_a_function_is_measured_by_calling_it(tmp_path: Path) -> None:
    traffic = read_traffic(kinesis(tmp_path / "r.jsonl", 200))
    sizes: list[int] = []

    async def slow(event: dict[str, Any], context: object) -> None:
        sizes.append(len(event["Records"]))
        await asyncio.sleep(0.001 + 0.0001 * len(event["Records"]))
        if len(sizes) % 2:
            raise ValueError("every other time")

    behaviour = asyncio.run(
        measured(replace(mapping(), function=esm.Function(slow)), shape_of(mapping()), traffic.samples)
    )
    assert set(sizes) == {1, 10, 100}
    assert behaviour.error_rate == pytest.approx(0.5, abs=0.03)
    assert behaviour.record_ms > 0
    assert "ms a call" in str(behaviour)


def test_a_function_is_measured_with_what_its_filter_lets_through(tmp_path: Path) -> None:
    traffic = read_traffic(kinesis(tmp_path / "r.jsonl", 200))
    keys: set[str] = set()

    async def takes(event: dict[str, Any], context: object) -> None:
        keys.update(item["kinesis"]["partitionKey"] for item in event["Records"])

    for wanted, seen in (("key-1", {"key-1"}), ("nobody's", set[str]())):
        keys.clear()
        filtered = replace(mapping(filter_criteria=[{"partitionKey": [wanted]}]), function=esm.Function(takes))
        asyncio.run(measured(filtered, shape_of(filtered), traffic.samples))
        assert keys == seen


def test_a_call_that_reports_items_is_one_that_fails(tmp_path: Path) -> None:
    traffic = read_traffic(kinesis(tmp_path / "r.jsonl", 5))

    async def reports(event: dict[str, Any], context: object) -> dict[str, Any]:
        return {"batchItemFailures": [{"itemIdentifier": event["Records"][0]["kinesis"]["sequenceNumber"]}]}

    for types, rate in ((["ReportBatchItemFailures"], 1), ([], 0)):
        reporting = replace(mapping(function_response_types=types), function=esm.Function(reports))
        behaviour = asyncio.run(measured(reporting, shape_of(reporting), traffic.samples))
        assert behaviour.error_rate == rate


def test_when_a_record_arrived() -> None:
    assert arrived_ms({"kinesis": {"approximateArrivalTimestamp": 1.25}}) == 1250
    assert arrived_ms({"dynamodb": {"ApproximateCreationDateTime": 2}}) == 2000
    assert arrived_ms({"attributes": {"SentTimestamp": "3000"}}) == 3000


# -- pictures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plot.svg", "plot.png"])
def test_a_picture(name: str, tmp_path: Path) -> None:
    traffic = read_traffic(kinesis(tmp_path / "r.jsonl", 50))
    settings = combinations({"batch_size": [1, 10], "parallelization_factor": [1, 2]})
    outcomes = [try_settings(traffic, mapping(), NOTHING, each, Prices()) for each in settings]
    plot(outcomes, tmp_path / name, title="orders")
    written = (tmp_path / name).read_bytes()
    assert written.startswith(b"<?xml" if name.endswith("svg") else b"\x89PNG")
    with pytest.raises(EsmError, match="cannot be written"):
        plot(outcomes, tmp_path / "no" / name, title="orders")


def test_a_picture_of_another_kind_is_refused_before_anything_is_tried() -> None:
    with pytest.raises(EsmError, match=r"plot\.gif: a plot is a file \.svg or \.png"):
        check_plot(Path("plot.gif"))
