"""The benchmark measures what it says: every variant handles every record, in order, and the server repeats none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import peers
from tests.bench.client import VARIANTS
from tests.bench.comparison import PAGES, Effort, Row, amiss, check, compare
from tests.bench.filters import CASES, _body, ratios
from tests.bench.pages import Pages, iterator, place
from tests.bench.peers import Peer, absent, present
from tests.bench.processes import COMPILED, ROOT, home
from tests.bench.report import page, tables, write
from tests.bench.workloads import Workload

TINY = Workload("tiny", 5, 200, esm_shards=2, queue_shards=1)


def test_what_is_compiled_is_run_from_a_checkout_of_its_own() -> None:
    assert home("esm, compiled") == (COMPILED, "esm")
    assert home("esm, uvloop") == (ROOT, "esm, uvloop")
    assert COMPILED.parent == ROOT


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


@pytest.mark.parametrize("variant", [each for each in present(VARIANTS) if each != "localstack"])  # seconds to import
def test_every_variant_handles_every_record_in_order(variant: str) -> None:
    check(variant)


def test_what_was_handled_is_amiss_when_a_record_is_missing_doubled_or_out_of_order() -> None:
    whole = [("shard", str(number), number % 2) for number in range(2 * PAGES)]
    assert amiss(whole, 1, 2, numbered=True) == ""
    assert "every record" in amiss(whole[1:], 1, 2, numbered=True)
    assert "every record" in amiss([*whole, whole[-1]], 1, 2, numbered=True)
    assert "every record" in amiss(whole[::-1], 1, 2, numbered=True)
    assert "rise" in amiss([*whole[:2], *whole[:2], *whole[4:]], 1, 2, numbered=True)
    assert "shards" in amiss(whole, 2, 2, numbered=True)
    unnumbered = [("", "", place) for _, _, place in whole]
    assert amiss(unnumbered, 1, 2, numbered=False) == ""


def test_what_is_not_installed_is_left_out_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = Peer(tmp_path / "gone", ("gone@1",))
    monkeypatch.setattr(peers, "PEERS", {"aws-sdk-js": gone, "localstack": replace(gone, python=True)})
    assert present(["esm", "aws-sdk-js", "localstack"]) == ["esm"]
    assert absent(["esm", "aws-sdk-js"]) == "not installed, left out: aws-sdk-js (python -m tests.bench.peers)"
    assert absent(["localstack"]).endswith("(python -m tests.bench.peers --localstack)")
    assert absent(["esm"]) == ""
    assert peers.versions() == {}


def test_a_comparison_becomes_a_page(tmp_path: Path) -> None:
    effort, told = Effort(rounds=2, cpu_s=0.02, wall_s=0.05), list[str]()
    rows = compare((TINY,), ["floor", "esm"], effort, told.append)
    assert [line.rpartition(": ")[2] for line in told] == ["floor", "esm", "esm", "floor"]
    assert len(rows[0].samples["esm"]) == 2
    text = page(rows, ["floor", "esm"], effort.rounds)
    assert tables(rows, ["floor", "esm"]) in text
    assert write(tmp_path, rows, text, effort).read_text() == text
    assert json.loads((tmp_path / "latest.json").read_text())["us"]["tiny"] == rows[0].samples


def test_ratios_are_taken_within_a_round() -> None:
    row = Row(TINY, {"floor": [1.0, 10.0, 2.0], "esm": [2.0, 30.0, 4.0]})
    assert row.cost("floor") == 2.0
    assert row.times("esm", "floor") == 2.0


def test_the_cost_of_filters_is_a_ratio_for_each_case() -> None:
    found = ratios(records=200, rounds=3)
    assert list(found) == list(CASES)
    assert all(len(_body(number)) in range(900, 1200) for number in range(10))
