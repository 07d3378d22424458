"""Processes that take a lease from each other while they write: what was answered is never lost, whoever is stopped."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, Position
from esm.stores.sqlite import SqliteStore

pytestmark = pytest.mark.service

SECONDS = 3.0
LEASE = Lease(LeaseKey("m", "s", "1"), Checkpoint(Position.trim_horizon()))

CONTENDER = """
import asyncio, json, random, sys, time
from msgspec.structs import replace
from esm.errors import LeaseLostError
from esm.records.position import LanePositions
from esm.stores.sqlite import SqliteStore

async def main(path, owner, seconds, patience):
    store = SqliteStore(path)
    await store.open()
    ends, brief = time.monotonic() + seconds, False
    while time.monotonic() < ends:
        (row,) = await store.load("m")
        try:
            lease = await store.take(row, owner)
        except LeaseLostError:
            continue
        number = first = int(lease.checkpoint.settled or 0)
        quick, brief = 0, not brief
        try:
            while time.monotonic() < ends:
                if brief and number > first:  # written once: the next one is another's
                    await asyncio.sleep(0.002)
                    await store.renew(lease)
                    continue
                checkpoint = replace(lease.checkpoint, lanes=(LanePositions((str(number + 1),)),))
                stored = store.checkpoint_at_once(lease, checkpoint)
                quick += stored is not None
                lease = stored or await store.checkpoint(lease, checkpoint)
                number += 1
        except LeaseLostError:
            pass
        print(json.dumps([lease.epoch, first, number, quick]), flush=True)
        await asyncio.sleep(random.uniform(0, patience))
    if owner == "0":
        await store.close()

asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))
"""


def contender(program: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )


async def made(file: Path) -> None:
    store = SqliteStore(file)
    await store.open()
    await store.create([LEASE])
    await store.close()


async def row(file: Path) -> Lease:
    store = SqliteStore(file, access="read")
    await store.open()
    (found,) = await store.load("m")
    await store.close()
    return found


@pytest.mark.parametrize("stopped", [False, True])
def test_the_next_owner_has_all_that_was_answered(tmp_path: Path, stopped: bool) -> None:
    """Each epoch begins where the one before ended, or one further: the last write may have been answered by nobody."""
    file = tmp_path / "esm.db"
    asyncio.run(made(file))
    processes = [contender(CONTENDER, file, number, SECONDS, 0.02) for number in range(3)]
    draw = random.Random(7)
    for _ in range(150 if stopped else 0):  # in the midst of whatever it does
        process = draw.choice(processes)
        process.send_signal(signal.SIGSTOP)
        time.sleep(draw.uniform(0, 0.02))
        process.send_signal(signal.SIGCONT)
    held: list[list[int]] = []
    for process in processes:
        said, error = process.communicate(timeout=60)
        assert (process.returncode, error) == (0, "")
        held += [json.loads(line) for line in said.splitlines()]
    held.sort()
    assert [epoch for epoch, *_ in held] == list(range(1, len(held) + 1))
    assert len(held) > 10
    assert sum(quick for *_, quick in held) > 100
    for (_, _, last, _), (epoch, first, _, _) in pairwise(held):
        assert last <= first <= last + 1, f"epoch {epoch}"
    found = asyncio.run(row(file))
    assert (found.epoch, int(found.checkpoint.settled or 0)) == (held[-1][0], held[-1][2])
