"""What functions begin and leave behind: `sys.exit` in a task is a failed call, and no command waits for what hangs."""

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
import time

import esm

kept = []


async def for_ever():
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass


async def task(event, context):
    kept.append(asyncio.create_task(for_ever()))


async def thread(event, context):
    asyncio.get_running_loop().run_in_executor(None, time.sleep, 3600)


async def generate():
    try:
        yield 1
    finally:
        await asyncio.sleep(3600)


async def generator(event, context):
    kept.append(generate())
    await anext(kept[-1])


async def leave():
    sys.exit(3)


async def handle(event, context):
    with open("calls", "a") as calls:
        calls.write(event["Records"][0]["kinesis"]["partitionKey"])
    await asyncio.gather(leave())


recorded = pathlib.Path("orders.jsonl").resolve().as_uri()
leaving = [
    esm.EventSourceMapping(event_source_arn=recorded, function=function) for function in (task, thread, generator)
]
failed = pathlib.Path("failed.jsonl").resolve()
mappings = esm.EventSourceMapping(
    event_source_arn=recorded,
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


def test_a_redrive_goes_on_though_its_function_holds_all_threads_of_the_loop(leaving: Esm) -> None:
    documents = [
        {
            "payload": json.dumps({"Records": [{}]}),
            "KinesisBatchInfo": {
                "shardId": "shardId-000000000000",
                "startSequenceNumber": f"{number}",
                "endSequenceNumber": f"{number}",
                "batchSize": 1,
                "streamArn": ARN,
            },
        }
        for number in range(40)
    ]
    (leaving.folder / "failed.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    done = leaving("redrive", "failed.jsonl", "--function", "app:thread", "--endpoint-url", "http://127.0.0.1:9")
    assert (done.code, "40 redriven" in done.out) == (0, True), done.err


@pytest.mark.parametrize("function", ["task", "thread", "generator"])
@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("run app:leaving --store memory: --only {}", "ended clean"),
        ("replay orders.jsonl --function app:{}", "replayed after"),
        ("what-if orders.jsonl --batch-size 10 --function app:{}", "batch_size"),
    ],
)
def test_what_a_function_left_behind_holds_no_command_up(leaving: Esm, function: str, typed: str, said: str) -> None:
    """They would never end; a stop would take all the time that a drain has."""
    done = leaving(*typed.format(function).split())
    assert (done.code, said in done.out) == (0, True), done.err
    assert "Traceback" not in done.err
    assert "never" not in done.err
