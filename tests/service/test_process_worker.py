"""A whole worker whose function runs in processes: it crashes, hangs and fills its memory, and nothing is lost."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import esm
from esm.telemetry import facts
from tests.service.process_stand import is_gone

RECORDS = 300
KEYS = 6
SHARD = "shardId-000000000000"


def keep(event: dict[str, Any], _context: Any) -> None:
    """Writes down what it got; the first time that it sees some of them, it comes to grief over them instead."""
    folder = Path(os.environ["FOLDER"])
    (folder / f"process-{os.getpid()}").touch()
    numbers = [int(base64.b64decode(record["kinesis"]["data"])) for record in event["Records"]]
    for number, grief in ((40, os.abort), (90, threading.Event().wait), (150, _grow), (210, _leave)):
        if number in numbers and not (folder / f"grief-{number}").exists():
            (folder / f"grief-{number}").touch()
            grief()
    for record, number in zip(event["Records"], numbers, strict=True):
        with (folder / f"key-{record['kinesis']['partitionKey']}").open("a") as kept:
            kept.write(f"{number}\n")


def meet(event: dict[str, Any], _context: Any) -> None:
    """Waits until as many calls run at once as there are lanes."""
    folder, members = Path(os.environ["FOLDER"]), int(os.environ["MEMBERS"])
    (folder / f"here-{os.getpid()}").touch()
    while len(list(folder.glob("here-*"))) < members:
        time.sleep(0.02)


def _grow() -> None:
    held = []
    while True:
        held.append(b"x" * (1 << 20))


def _leave() -> None:
    os._exit(0)


def recording() -> str:
    head = {"esm_recording": 1, "kind": "kinesis", "id": "1"}
    lines: list[dict[str, Any]] = [head | {"source": "arn:aws:kinesis:eu-west-1:000000000000:stream/orders"}]
    for number in range(RECORDS):
        data = base64.b64encode(str(number).encode()).decode()
        line = {"sequence_number": f"{number + 1:056}", "partition_key": str(number % KEYS), "data": data}
        lines.append({"shard_id": SHARD, "approximate_arrival_timestamp": 1_700_000_000.5, **line})
    return "".join(json.dumps(line) + "\n" for line in lines)


class Errors:
    """What the function failed with."""

    def __init__(self) -> None:
        self.types: list[str] = []

    def notice(self, fact: facts.Fact) -> None:
        if isinstance(fact, facts.InvocationEnded) and fact.error_type is not None:
            self.types.append(fact.error_type)


def test_a_function_that_comes_to_grief_in_every_way_costs_a_try_each_and_nothing_is_lost(tmp_path: Path) -> None:
    (tmp_path / "orders.jsonl").write_text(recording())
    function = esm.Function(
        keep, isolation="process", timeout=2.0, memory_size=256, environment={"FOLDER": str(tmp_path)}
    )
    mapping = esm.EventSourceMapping(
        event_source_arn=f"file://{tmp_path}/orders.jsonl", function=function, batch_size=10, parallelization_factor=3
    )
    errors = Errors()

    async def main() -> None:
        async with asyncio.timeout(50), esm.Worker([mapping], store="memory:", observers=[errors]) as worker:
            await worker.join()

    asyncio.run(main())
    for key in range(KEYS):
        kept = [int(line) for line in (tmp_path / f"key-{key}").read_text().splitlines()]
        assert kept == list(range(key, RECORDS, KEYS))
    griefs = ["Runtime.ExitError", "Runtime.ExitError", "Runtime.OutOfMemory", "Sandbox.Timedout"]
    assert sorted(errors.types) == griefs
    pids = [int(path.name.partition("-")[2]) for path in tmp_path.glob("process-*")]
    assert len(pids) >= 4
    assert os.getpid() not in pids
    assert all(is_gone(pid) for pid in pids)


def test_as_many_processes_work_at_once_as_the_worker_may_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also more than there are cores: what waits for others needs none."""
    monkeypatch.setattr("esm.handlers.processes.cores", lambda: 2)
    members = 3
    (tmp_path / "orders.jsonl").write_text(recording())
    environment = {"FOLDER": str(tmp_path), "MEMBERS": str(members)}
    function = esm.Function(meet, isolation="process", timeout=20.0, memory_size=256, environment=environment)
    mapping = esm.EventSourceMapping(
        event_source_arn=f"file://{tmp_path}/orders.jsonl",
        function=function,
        batch_size=1000,
        parallelization_factor=KEYS,
        maximum_retry_attempts=0,
    )
    errors, resources = Errors(), esm.Resources(processes=members)

    async def main() -> None:
        async with esm.Worker([mapping], store="memory:", observers=[errors], resources=resources) as worker:
            await worker.join()

    asyncio.run(main())
    assert errors.types == []
    assert len(list(tmp_path.glob("here-*"))) == members
