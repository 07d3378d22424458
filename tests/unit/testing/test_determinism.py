"""One seed, one history: in every process, whatever its hash seed and wherever its objects lie."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[3]

PROGRAM = '''
import asyncio, random, sys
import anyio
from esm.testing.faults import Faults, Gate
from esm.testing.faulty import FaultyKinesis
from esm.testing.journal import Journal
from esm.testing.kinesis import SimulatedKinesis
from esm.testing.loop import EPOCH, SimClock
from esm.testing.process import Process
from esm.testing.run import run
from esm.errors import SourceError

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/s"
trace = []

async def reader(api, shard, depth):
    try:
        iterator = await api.get_shard_iterator(ARN, shard, "TRIM_HORIZON")
        while iterator:
            with anyio.move_on_after(8.0):
                page, _ = await api.get_records(ARN, iterator, 7)
                trace.append((shard, [r.sequence_number[-9:] for r in page.records]))
                iterator = page.next_shard_iterator
                await anyio.sleep(0.2)
    except SourceError as error:
        trace.append((shard, error.code))
    finally:
        trace.append((asyncio.current_task().get_name(), asyncio.get_running_loop().time()))
    if depth:
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(reader, api, shard, depth - 1)

async def racers():
    pending = {asyncio.create_task(asyncio.sleep(d % 3)) for d in range(1_000)}
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        trace.append([task.get_name() for task in done])

async def sleeper(number):
    with anyio.CancelScope():
        try:
            await anyio.sleep_forever()
        finally:
            trace.append(number)

async def cancelled_together():
    # Enough of them that a set of theirs is larger than a page of the allocator, whose addresses begin alike.
    async with anyio.create_task_group() as group:
        for number in range(1_000):
            group.start_soon(sleeper, number)
        await anyio.sleep(1)
        group.cancel_scope.cancel()

async def worker(gate, kinesis):
    api = FaultyKinesis(kinesis, gate)
    async with anyio.create_task_group() as group:
        for shard in kinesis.stream(ARN).shards:
            group.start_soon(reader, api, shard, 2)
        group.start_soon(racers)
        group.start_soon(cancelled_together)

async def main(seed):
    loop, clock, journal, rng = asyncio.get_running_loop(), SimClock(), Journal(), random.Random(seed)
    kinesis = SimulatedKinesis(clock, seed=seed, throttled=True)
    stream = kinesis.create_stream(ARN, 3)
    for n in range(300):
        stream.put(b"x" * n, f"key {n % 17}")
    stream.split(0)
    for life in range(4):
        process = Process(f"worker {life}", loop)
        gate = Gate(process, Faults.drawn(rng, since=EPOCH, until=EPOCH + 600_000), rng, journal, clock)
        process.start(worker(gate, kinesis))
        with anyio.move_on_after(60):
            await process.wait()
        gate.kill()
    trace.append((journal.digest(), loop.steps, loop.time()))

import gc, hashlib
padding = [object() for _ in range(random.SystemRandom().randrange(100_000))]
run(main(int(sys.argv[1])), seed=int(sys.argv[1]))
print(hashlib.sha256(repr(trace).encode()).hexdigest(), len(trace))
'''


def _history(seed: int, hash_seed: int) -> str:
    env = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(_ROOT)}
    command = [sys.executable, "-c", PROGRAM, str(seed)]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=50).stdout


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_seed_gives_one_history_in_four_processes(seed: int) -> None:
    hash_seeds = [0, 1, 2, random.SystemRandom().randrange(2**32)]
    assert len({_history(seed, hash_seed) for hash_seed in hash_seeds}) == 1


def test_other_seeds_give_other_histories() -> None:
    assert len({_history(seed, 0) for seed in (1, 2, 3, 4)}) == 4
