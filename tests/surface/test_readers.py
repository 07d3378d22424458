"""Whoever reads what a command says may go at any time: the work is done all the same, and its end is the work's."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position
from esm.stores.portable import lines_of
from tests.surface.streams import Stream
from tests.surface.typed import PATIENCE, Esm

ARN = "arn:aws:kinesis:eu-west-1:000000000000:stream/orders"
RECORDS = 300
APP = f"""\
import pathlib
import sys

import esm

print("imported", flush=True)


def handle(event, context):
    print("x" * 100_000, flush=True)
    with open("seen", "a") as seen:
        seen.write("." * len(event["Records"]))


def fails(event, context):
    raise ValueError


def replaces(event, context):
    handle(event, context)
    sys.stdout = sys.stderr = None


def closes(event, context):
    sys.stdout.close()
    sys.stderr.close()
    handle(event, context)


mappings = esm.EventSourceMapping(event_source_arn="{ARN}", function=handle, starting_position="LATEST")
recorded = pathlib.Path("orders.jsonl").resolve().as_uri()
replacing = esm.EventSourceMapping(event_source_arn=recorded, function=replaces)
here = esm.EventSourceMapping(event_source_arn=recorded, function=handle, maximum_retry_attempts=0)
closing = esm.EventSourceMapping(event_source_arn=recorded, function=closes, maximum_retry_attempts=0)
apart = esm.EventSourceMapping(
    event_source_arn=recorded,
    function=esm.Function("app:handle", isolation="process"),
    maximum_retry_attempts=0,
)
"""


@pytest.fixture
def loud(esm_: Esm) -> Esm:
    """The command beside functions that print much, and a recording."""
    esm_.app(APP)
    lines: list[dict[str, object]] = [{"esm_recording": 1, "kind": "kinesis", "source": ARN, "id": "r"}]
    for number in range(RECORDS):
        place = {"shard_id": "shardId-000000000000", "sequence_number": f"{number + 1}", "partition_key": "k"}
        lines.append({**place, "approximate_arrival_timestamp": 1e9 + number, "data": "aGk="})
    (esm_.folder / "orders.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return esm_


@contextmanager
def nobody() -> Iterator[int]:
    """A pipe that nobody reads any more."""
    read, write = os.pipe()
    os.close(read)
    try:
        yield write
    finally:
        os.close(write)


def ended(esm_: Esm, typed: str, said: int | None = None) -> int:
    """The exit code of what was typed at a shell."""
    done = subprocess.run(
        ["/bin/sh", "-c", f"exec {shlex.quote(sys.executable)} -m esm {typed}"],
        cwd=esm_.folder,
        env=esm_.environment(),
        stdout=said,
        stderr=said,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode


def seen(folder: Path) -> int:
    """How many records the function was done with."""
    return len((folder / "seen").read_text())


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("plan app:mappings", 0),
        ("plan app:nothing", 3),
        ("filter lint app:mappings", 0),
        ("schema", 0),
        ("doctor app:mappings --endpoint-url http://127.0.0.1:9", 11),
        ("replay orders.jsonl --function app:fails --batch-size 10", 18),
        ("what-if orders.jsonl --function app:handle --batch-size 10", 0),
    ],
)
def test_what_nobody_reads_changes_no_end(loud: Esm, typed: str, code: int) -> None:
    with nobody() as pipe:
        assert ended(loud, typed, pipe) == code


@pytest.mark.parametrize("which", ["--function app:handle", "--function app:handle --json", "--mapping app:apart"])
def test_a_function_that_prints_for_nobody_has_not_failed(loud: Esm, which: str) -> None:
    """Or its records would be given up."""
    with nobody() as pipe:
        assert ended(loud, f"replay orders.jsonl {which} --batch-size 10", pipe) == 0
    assert seen(loud.folder) == RECORDS


@pytest.mark.parametrize("mapping", ["here", "closing", "apart"])
def test_a_function_that_prints_onto_a_full_disk_has_not_failed(loud: Esm, mapping: str) -> None:
    """Nor does it end the worker's log, or its summary."""
    with Path("/dev/full").open("wb") as full:
        assert ended(loud, f"run app:{mapping} --store memory: --log-level debug", full.fileno()) == 0
    assert seen(loud.folder) == RECORDS


def test_a_function_that_closes_what_it_prints_to_closes_it_for_nobody(loud: Esm) -> None:
    done = loud("run", "app:closing", "--store", "memory:")
    assert (done.code, seen(loud.folder)) == (0, RECORDS)
    assert done.out.endswith(" s\n")
    assert "worker_stopped" in done.err


def test_what_is_said_in_the_end_does_not_go_where_a_function_sent_its_own_prints(loud: Esm) -> None:
    run = loud("run", "app:replacing", "--store", "memory:", "--json")
    assert (run.code, json.loads(run.out.splitlines()[-1])["exit_code"]) == (0, 0)
    replay = loud("replay", "orders.jsonl", "--mapping", "app:replacing", "--json")
    assert (replay.code, json.loads(replay.out)["records"]) == (0, RECORDS)


def test_what_a_command_is_for_has_failed_where_it_is_not_kept(loud: Esm) -> None:
    with Path("/dev/full").open("wb") as full:
        assert ended(loud, "schema", full.fileno()) != 0


@pytest.mark.service
def test_a_worker_goes_on_when_nobody_reads_its_log(esm_: Esm, stream: Stream) -> None:
    """As `esm run ... 2>&1 | head` leaves it."""
    esm_.app(APP.replace(ARN, stream.arn).replace("LATEST", "TRIM_HORIZON"))
    stream.put("1", "2")
    typed = ("run", "app:mappings", "--endpoint-url", stream.url, "--log-level", "debug")
    with nobody() as pipe:
        process = subprocess.Popen(
            [sys.executable, "-m", "esm", *typed],
            cwd=esm_.folder,
            env=esm_.environment(),
            stdout=pipe,
            stderr=pipe,
        )
    try:
        until(lambda: (esm_.folder / "seen").exists() and seen(esm_.folder) == 2, process)
        process.terminate()
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def until(holds: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    over = time.perf_counter() + PATIENCE
    while not holds():
        assert time.perf_counter() < over
        with pytest.raises(subprocess.TimeoutExpired):  # it goes on
            process.wait(0.05)


def test_positions_are_moved_whoever_reads_of_it(loud: Esm) -> None:
    checkpoint = Checkpoint(Position.trim_horizon(), (LanePositions(("5",)),))
    lines = lines_of([Lease(LeaseKey("orders", "1.0", "shardId-0"), checkpoint)])
    (loud.folder / "positions.jsonl").write_text("".join(f"{line}\n" for line in lines))
    with nobody() as pipe:
        for typed in ("import positions.jsonl", "show", "export", "set 7 --all", "log"):
            assert ended(loud, f"positions {typed}", pipe) == 0
    (row,) = json.loads(loud("positions", "show", "--json").out)
    assert row["position"] == "7"


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("plan app:mappings", 0),
        ("replay orders.jsonl --mapping app:apart", 0),
        ("replay orders.jsonl --function app:handle --json", 0),
        ("filter explain app:mappings --record -", 2),
    ],
)
@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_stream_that_was_closed_from_the_beginning_leads_nowhere(
    loud: Esm, typed: str, code: int, closed: str
) -> None:
    assert ended(loud, f"{typed} {closed}") == code
