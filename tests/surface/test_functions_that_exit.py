"""`sys.exit` in a task that a function began: a failure of that call, and no end of the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.surface.typed import Esm

ARN = "arn:aws:kinesis:eu-west-1:000000000000:stream/orders"
APP = """\
import asyncio
import pathlib
import sys

import esm


async def leave():
    sys.exit(3)


async def handle(event, context):
    with open("calls", "a") as calls:
        calls.write(event["Records"][0]["kinesis"]["partitionKey"])
    await asyncio.gather(leave())


failed = pathlib.Path("failed.jsonl").resolve()
mappings = esm.EventSourceMapping(
    event_source_arn=pathlib.Path("orders.jsonl").resolve().as_uri(),
    function=handle,
    batch_size=1,
    maximum_retry_attempts=0,
    destination_config=failed.as_uri(),
)
"""


@pytest.fixture
def leaving(esm_: Esm) -> Esm:
    """A recording of two records, and a function whose task wants to end the process."""
    esm_.app(APP)
    lines: list[dict[str, object]] = [{"esm_recording": 1, "kind": "kinesis", "source": ARN, "id": "r"}]
    for number, key in enumerate("ab", 1):
        place = {"shard_id": "shardId-000000000000", "sequence_number": f"{number}", "partition_key": key}
        lines.append({**place, "approximate_arrival_timestamp": 1e9, "data": "aGk="})
    (esm_.folder / "orders.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return esm_


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_a_worker_goes_on(leaving: Esm) -> None:
    done = leaving("run", "app:mappings", "--store", "memory:")
    assert (done.code, read(leaving.folder / "calls")) == (0, "ab")
    assert done.err.count("error_type=SystemExit") == 2
    assert read(leaving.folder / "failed.jsonl").count("\n") == 2


def test_a_replay_and_a_redrive_say_that_it_failed(leaving: Esm) -> None:
    assert leaving("replay", "orders.jsonl", "--mapping", "app:mappings").code == 18
    assert leaving("run", "app:mappings", "--store", "memory:").code == 0
    done = leaving("redrive", "failed.jsonl", "--function", "app:handle", "--endpoint-url", "http://127.0.0.1:9")
    assert done.code == 14
    assert read(leaving.folder / "calls") == "ab" * 3
