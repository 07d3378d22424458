"""`esm what-if` as it is typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.surface.typed import Esm
from tests.unit.whatif.recordings import STREAM, kinesis, messages

APP = f"""
import esm

async def handle(event, context):
    pass

mappings = esm.EventSourceMapping(
    event_source_arn="{STREAM}", function=handle, starting_position="LATEST", batch_size=10)
"""


@pytest.fixture
def recording(esm_: Esm) -> str:
    return Path(kinesis(esm_.folder / "orders.jsonl", 300)).name


def test_a_table_of_all_combinations(esm_: Esm, recording: str) -> None:
    ended = esm_("what-if", recording, "--batch-size", "10..100", "--parallelization-factor", "1,2", "--call-ms", "5")
    assert ended.code == 0, ended.err
    head, names, *rows = ended.out.splitlines()
    assert head == "300 records of 3.0 s; 5 ms a call, 0 ms a record, 0.00% of calls fail"
    assert names.split()[:2] == ["batch_size", "parallelization_factor"]
    assert [row.split()[:2] for row in rows] == [[b, f] for b in ("10", "20", "50", "100") for f in "12"]
    assert ended.err == "", "no progress where there is no terminal"


def test_a_mapping_and_its_measured_function(esm_: Esm, recording: str) -> None:
    esm_.app(APP)
    ended = esm_(
        "what-if", recording, "--mapping", "app:mappings", "--json", "--batch-size", "10,30", "--plot", "plot.svg"
    )
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    small, large = told["outcomes"]
    assert (told["records"], small["settings"], small["records"]) == (300, {"batch_size": 10}, 300)
    assert small["invocations"] > large["invocations"] >= 10
    assert told["behaviour"]["error_rate"] == 0
    assert (esm_.folder / "plot.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--batch-size", "ten"), 2, "--batch-size='ten': 'ten' is no number"),
        (
            ("--batch-size", "1..10000", "--parallelization-factor", "1..10", "--maximum-retry-attempts", "0..9"),
            2,
            "260",
        ),
        (("--parallelization-factor", "11"), 2, "parallelization_factor=11:"),
        (("--batch-size", "1", "--plot", "plot.gif"), 2, "--plot: plot.gif: a plot is a file .svg or .png"),
        (("--batch-size", "1", "--plot", ""), 2, "--plot: the name is empty"),
        (("--batch-size", "1", "--plot", "nowhere/plot.svg"), 2, "--plot: nowhere/plot.svg: there is no such folder"),
        (("--function", "app:nobody"), 3, "nobody"),
        (("--call-ms", "1", "--plot", "plot.svg"), 2, "name a setting"),
        (("--limit", "0"), 2, "--limit"),
        (("--call-ms", "nan"), 2, "--call-ms=nan: write a number of 0 or more"),
        (("--record-ms", "inf"), 2, "--record-ms=inf"),
        (("--price-requests", "-1"), 2, "--price-requests=-1.0"),
        (("--error-rate", "1"), 2, "esm: every call fails and nothing is ever given up, so there is no end"),
    ],
)
def test_what_cannot_be_tried_says_why_in_a_line(
    esm_: Esm, recording: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    esm_.app(APP)
    ended = esm_("what-if", recording, *arguments)
    assert ended.code == code, ended.err
    assert said in ended.line


@pytest.mark.parametrize("command", ["what-if", "replay"])
def test_a_name_that_is_empty_is_said_to_be(esm_: Esm, command: str) -> None:
    """As an unset variable of a shell is; it would be taken for the folder that one is in."""
    esm_.app(APP)
    ended = esm_(command, "", "--function", "app:handle")
    assert ended.code == 16
    assert ended.line == "esm: '': the name of the file is empty"


def test_a_mapping_as_it_is(esm_: Esm, recording: str) -> None:
    esm_.app(APP)
    ended = esm_("what-if", recording, "--mapping", "app:mappings", "--call-ms", "1")
    assert ended.code == 0, ended.err
    assert len(ended.out.splitlines()) == 3
    assert int(ended.out.splitlines()[2].split()[0]) >= 30, "its own batch size counts"


def test_a_recording_of_another_kind_than_the_mapping(esm_: Esm) -> None:
    esm_.app(APP)
    queue = Path(messages(esm_.folder / "queue.jsonl", 3)).name
    ended = esm_("what-if", queue, "--mapping", "app:mappings")
    assert ended.code == 2
    assert "the recording is of sqs, the mapping reads kinesis" in ended.line


def test_what_a_measured_function_prints_is_not_among_the_numbers(esm_: Esm, recording: str) -> None:
    esm_.app(APP + "\n\ndef loud(event, context):\n    print('loud')\n")
    ended = esm_("what-if", recording, "--function", "app:loud", "--json")
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["records"] == 300
    assert "loud" in ended.err


def test_a_file_that_is_none(esm_: Esm) -> None:
    esm_.app(APP)
    ended = esm_("what-if", "app.py", "--batch-size", "1")
    assert ended.code == 16
    assert "app.py" in ended.line
