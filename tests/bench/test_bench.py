"""The benchmark measures what it says: every variant handles every record, in order, and the server repeats none."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path

import pytest

from tests.bench.client import VARIANTS
from tests.bench.comparison import Effort, Row, compare
from tests.bench.filters import CASES, _body, ratios
from tests.bench.meter import Plan
from tests.bench.pages import Pages, iterator, place
from tests.bench.processes import measure, serving
from tests.bench.report import tables, write
from tests.bench.workloads import Workload

PAGES = 3
RECORDS = 130  # one full batch and the rest of a page
TINY = Workload("tiny", 5, 200, esm_shards=2, queue_shards=1)


def numbers(body: bytes) -> list[int]:
    return [int(record["SequenceNumber"]) for record in json.loads(body)["Records"]]


def test_pages_are_what_kinesis_answers_and_numbers_rise_from_one_to_the_next() -> None:
    pages = Pages(3, 200)
    first, later, far = (pages.body(0, page, 10, behind_ms=7) for page in (0, 9, 10_000))
    assert (numbers(first) + numbers(later) + numbers(far)) == sorted(numbers(first) + numbers(later) + numbers(far))
    assert len(set(numbers(first) + numbers(later) + numbers(far))) == 9
    parsed = json.loads(far)
    assert parsed["MillisBehindLatest"] == 7
    assert place(parsed["NextShardIterator"]) == (0, 10_001)
    assert len(parsed["NextShardIterator"]) == 224
    assert {len(record["SequenceNumber"]) for record in parsed["Records"]} == {56}


def test_a_page_has_as_many_records_as_were_asked_for() -> None:
    pages = Pages(3, 200)
    assert [len(numbers(pages.body(1, 0, limit, behind_ms=0))) for limit in (1, 2, 3, 4)] == [1, 2, 3, 3]
    assert json.loads(pages.empty(4, 2)) == {
        "MillisBehindLatest": 0,
        "NextShardIterator": iterator(4, 2),
        "Records": [],
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_handles_every_record_in_order(variant: str) -> None:
    shards = 2 if variant.startswith("esm") else 1
    total = shards * PAGES * RECORDS
    with serving(RECORDS, 200, PAGES) as server:
        plan = Plan(server.url, str(server.counter), RECORDS, shards, warm_up=0, cpu_s=0, wall_s=0, total=total)
        handled = sorted(measure(variant, plan)["handled"], key=lambda each: each[0])
    assert len(handled) == total
    for _, group in groupby(handled, key=lambda each: each[0]):
        of_shard = list(group)
        assert [place_in_page for _, _, place_in_page in of_shard] == list(range(RECORDS)) * PAGES
        if variant != "async-kinesis":  # which hands out no sequence numbers
            sequence = [int(number) for _, number, _ in of_shard]
            assert sequence == sorted(set(sequence))


def test_a_comparison_becomes_a_page(tmp_path: Path) -> None:
    effort, told = Effort(rounds=2, cpu_s=0.02, wall_s=0.05), list[str]()
    rows = compare((TINY,), ["floor", "esm"], effort, told.append)
    assert [line.rpartition(": ")[2] for line in told] == ["floor", "esm", "esm", "floor"]
    assert len(rows[0].samples["esm"]) == 2
    text = write(tmp_path, rows, ["floor", "esm"], effort).read_text()
    assert tables(rows, ["floor", "esm"]) in text
    assert json.loads((tmp_path / "latest.json").read_text())["us"]["tiny"] == rows[0].samples


def test_ratios_are_taken_within_a_round() -> None:
    row = Row(TINY, {"floor": [1.0, 10.0, 2.0], "esm": [2.0, 30.0, 4.0]})
    assert row.cost("floor") == 2.0
    assert row.times("esm", "floor") == 2.0


def test_the_cost_of_filters_is_a_ratio_for_each_case() -> None:
    found = ratios(records=200, rounds=3)
    assert list(found) == list(CASES)
    assert all(len(_body(number)) in range(900, 1200) for number in range(10))
