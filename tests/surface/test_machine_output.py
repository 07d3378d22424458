"""What a command says as JSON is all that is on stdout, whatever the user's own code prints."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.surface.typed import Esm

ARN = "arn:aws:kinesis:eu-west-1:000000000000:stream/orders"
APP = f"""\
import esm

print("imported")


def handle(event, context):
    print("called")


mappings = [esm.EventSourceMapping(event_source_arn="{ARN}", function=handle, starting_position="LATEST")]
"""
RECORDING = [
    {"esm_recording": 1, "kind": "kinesis", "source": ARN, "id": "r"},
    {
        "shard_id": "shardId-000000000000",
        "sequence_number": "1",
        "partition_key": "a",
        "approximate_arrival_timestamp": 1767607200.0,
        "data": "YQ==",
    },
]


@pytest.fixture
def loud(esm_: Esm) -> Esm:
    """The command beside an application that prints, and a recording."""
    esm_.app(APP)
    (esm_.folder / "orders.jsonl").write_text("".join(json.dumps(line) + "\n" for line in RECORDING))
    return esm_


@pytest.mark.parametrize(
    "typed",
    [
        "plan app:mappings --json",
        "filter lint app:mappings --json",
        "what-if orders.jsonl --function app:handle --batch-size 10 --json",
        "what-if orders.jsonl --mapping app:mappings --call-ms 1 --batch-size 10 --json",
        "replay orders.jsonl --function app:handle --json",
        "doctor app:mappings --endpoint-url http://127.0.0.1:9 --json",
    ],
)
def test_what_code_prints_is_on_stderr(loud: Esm, typed: str) -> None:
    ended = loud(*typed.split())
    assert json.loads(ended.out) is not None
    assert "imported" in ended.err


@pytest.mark.parametrize("command", ["show --json", "set LATEST --all --dry-run --json", "export"])
def test_whose_positions_they_are_is_asked_of_an_application_that_prints(loud: Esm, command: str) -> None:
    header = json.dumps({"format": "esm-positions", "version": 1})
    loud("positions", "import", "-", typed=f"{header}\n")
    ended = loud("positions", *command.split(), "--app", "app:mappings")
    assert (ended.code, json.loads(ended.out) is not None) == (0, True)
    assert "imported" in ended.err


def test_a_plan_imports_the_modules_that_functions_are_named_by(loud: Esm) -> None:
    (loud.folder / "work.py").write_text(APP.replace("imported", "called by its name"))
    loud.app(APP.replace("function=handle", "function='work:handle'"))
    ended = loud("plan", "app:mappings", "--json")
    assert json.loads(ended.out)[0]["Handler"] == "work:handle (in a thread)"
    assert "called by its name" in ended.err


def test_a_replay_for_people_leaves_what_is_printed_where_it_was(loud: Esm) -> None:
    assert "called" in loud("replay", "orders.jsonl", "--function", "app:handle").out


def test_what_becomes_of_a_templates_functions_is_no_part_of_a_diagnosis(esm_: Esm) -> None:
    shutil.copytree(Path(__file__).parents[2] / "examples" / "sam_app", esm_.folder / "cafe")
    typed = ("cafe/template.yaml", "--endpoint-url", "http://127.0.0.1:9", "--account", "123456789012", "--json")
    assert json.loads(esm_("doctor", *typed).out)["Findings"]
