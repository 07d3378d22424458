"""Every row of the budget runs, in a tiny form, and what comes of it is a table, a page and a drawing."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from esm.aws.dynamodb_streams import _GET_RECORDS
from esm.records.dynamodb import DynamoDBEventShape
from tests.bench.budget import idle, stalls
from tests.bench.budget.effort import TINY
from tests.bench.budget.idle import Step
from tests.bench.budget.inside import machine_us
from tests.bench.budget.queues import delay_rows, p99, queue_row
from tests.bench.budget.rows import Bound, Row, budget_table
from tests.bench.budget.run import Budget, write_budget
from tests.bench.budget.scaling import Curve
from tests.bench.comparison import compare
from tests.bench.counter import COUNTER_BYTES, Counter, percentile
from tests.bench.pages import TablePages, due_page, place
from tests.bench.queue_meter import measure_idle_queues
from tests.bench.variants.events import of_sdk_changes
from tests.bench.workloads import Workload

pytestmark = pytest.mark.service


def test_a_bound_says_whether_it_is_met_and_how_near_the_aim_it_came() -> None:
    most, least = Bound("a", 10.0, 12, 20), Bound("b", 10.0, 12, 5, at_least=False, unit=" us")
    assert (most.met, most.of_the_aim, least.met, least.of_the_aim) == (False, 0.5, True, 0.5)
    assert Bound("c", None, 1).met is False
    assert Bound("d", 3.0).met is None
    assert Row("1", "", (most, least)).met is False
    assert Row("1", "", (least, Bound("d", 3.0))).met is True
    text = budget_table([Row("1", "path", (most, least), "so it is")])
    assert "| **not met** |" in text
    assert ">= 12x" in text
    assert "<= 12 us" in text
    assert "- 1: so it is" in text


def test_a_page_of_a_table_becomes_the_same_event_by_both_ways() -> None:
    body, arn = (
        TablePages(3, 20).body(0, 7, 1000, behind_ms=1),
        "arn:aws:dynamodb:eu-west-1:123456789012:table/t/stream/s",
    )
    read = _GET_RECORDS.decode(body)
    assert place(read.next_shard_iterator or "") == (0, 8)
    event = DynamoDBEventShape(event_source_arn=arn, region="eu-west-1").event(read.records)
    numbers = [int(item["dynamodb"]["SequenceNumber"]) for item in event["Records"]]
    assert numbers == sorted(set(numbers))
    parsed = json.loads(body)["Records"]
    for record in parsed:  # what the SDK makes of a time
        change = record["dynamodb"]
        change["ApproximateCreationDateTime"] = datetime.fromtimestamp(change["ApproximateCreationDateTime"], UTC)
    assert of_sdk_changes(parsed, arn) == event


def test_a_record_that_is_due_is_given_once_and_says_when_it_was() -> None:
    first, count = due_page(0, 0, began_ns=0, every_ns=10**18)
    (record,) = json.loads(first)["Records"]
    assert count == 1
    again, none = due_page(0, place(json.loads(first)["NextShardIterator"])[1], began_ns=0, every_ns=10**18)
    assert (json.loads(again)["Records"], none) == ([], 0)
    assert record["SequenceNumber"].startswith("4965")


def test_lateness_is_counted_in_milliseconds(tmp_path: Path) -> None:
    path = tmp_path / "counter"
    path.write_bytes(bytes(COUNTER_BYTES))
    counter = Counter(path)
    assert percentile(counter.late(), 0.5) is None
    for seconds in (-0.2, 0.0051, 0.0052, 99.0):
        counter.add_late(seconds)
    assert [percentile(counter.late(), share) for share in (0.25, 0.5, 0.75, 0.99)] == [0, 5, 5, 4000]
    assert counter.read() == (0, 0)


@pytest.mark.parametrize(
    ("source", "tls", "variants"),
    [
        ("kinesis", True, ("esm", "aiobotocore")),
        ("dynamodb", False, ("esm, frozen", "aiobotocore, frozen")),
        ("kinesis", False, ("esm, ten lanes", "esm, through the SDK")),
    ],
)
def test_streams_are_compared(source: str, tls: bool, variants: tuple[str, ...]) -> None:
    workload = Workload("tiny", 120, 20, esm_shards=2, queue_shards=1, source=source, batch_size=50)
    (row,) = compare((workload,), variants, TINY.streams, list[str]().append, tls=tls)
    assert all(cost > 0 for samples in row.samples.values() for cost in samples)


def test_queues_and_delays_are_measured() -> None:
    told = list[str]()
    assert queue_row(TINY, told.append, node=False).bounds[0].reached
    delays = delay_rows(TINY, told.append)
    assert [row.number for row in delays] == ["11", "put"]
    assert all(bound.reached and bound.reached > 0 for row in delays for bound in row.bounds)
    assert p99([float(value) for value in range(101)]) == 99


def test_a_stall_is_measured_beside_the_sdk_s() -> None:
    row = stalls.stall_row(TINY, list[str]().append, records=500)
    assert all(bound.reached and bound.reached > 0 for bound in row.bounds)


def test_idle_shards_are_held_step_by_step() -> None:
    rows, steps = idle.idle_rows(TINY, list[str]().append)
    assert [row.number for row in rows] == ["8", "9"]
    assert [step.shards for step in steps["http"]] == [2, 6][: len(steps["http"])]
    assert steps["http"][0].cpu_s > 0
    assert rows[0].bounds[1].met is False  # nothing was measured over HTTPS


def test_idle_queues_have_their_price() -> None:
    found = measure_idle_queues("esm", 4, 0.5, waves=5)
    assert found.queues == 4
    assert found.cpu_s >= 0
    assert found.rss_mib > 10
    told: list[str] = []
    row = idle.idle_queues_row(TINY, told.append)
    assert told == ["idle: 2 queues", "idle: 4 queues"]
    assert [bound.what for bound in row.bounds][:2] == ["4: polls of each within 0 s", "4: of a core"]


def test_a_step_that_falls_behind_is_not_held() -> None:
    step = Step(1000, 10.0, 10_000, 1.0, 1, 2, 60.0)
    assert (step.held, step.poll_us, step.shards_a_core) == (True, 100, 10_000)
    assert not replace(step, polls=8000).held


def test_the_machine_alone_settles_every_record() -> None:
    assert 0 < machine_us(pages=1) < 1000


def test_a_budget_becomes_a_page_and_a_drawing(tmp_path: Path) -> None:
    rows = [Row("1", "path", (Bound("a", 1.0, 2, 3),)), Row("TLS", "", (Bound("b", 3.0),))]
    curves = [Curve(name, "us", (1, 10), {"esm": [1.0, 2.0]}) for name in ("shards", "batch", "size")]
    step = Step(1000, 10.0, 10_000, 1.0, 1, 2, 60.0)
    budget = Budget(rows, {"http": [step]}, curves, 60.0, (1.0, 2.0))
    assert budget_table(rows) in write_budget(tmp_path, budget).read_text()
    written = json.loads((tmp_path / "budget.json").read_text())
    assert (written["missed"], written["rows"][0]["met"], written["idle"]["http"][0]["shards"]) == (["1"], False, 1000)
    drawn = (tmp_path / "budget.svg").read_text()
    assert all(f">{curve.what}<" in drawn for curve in curves)
