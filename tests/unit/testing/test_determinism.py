"""One seed, one history: in every process, whatever its hash seed and wherever its objects lie."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[3]

PROGRAM = """
import asyncio, hashlib, random
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

async def main(seed):
    loop, clock, journal, rng = asyncio.get_running_loop(), SimClock(), Journal(), random.Random(seed)
    kinesis = SimulatedKinesis(clock, seed=seed, throttled=True)
    stream = kinesis.create_stream(ARN, 3)
    for n in range(300):
        stream.put(b"x" * n, f"key {n % 17}")
    stream.split(0)
    await racers()
    await cancelled_together()
    for life in range(4):
        process = Process(f"worker {life}", loop)
        gate = Gate(process, Faults.drawn(rng, since=EPOCH, until=EPOCH + 600_000), rng, journal, clock)
        process.start(worker(gate, kinesis))
        with anyio.move_on_after(60):
            await process.wait()
        gate.kill()
    trace.append((journal.digest(), loop.steps, loop.time()))

padding = [object() for _ in range(random.SystemRandom().randrange(100_000))]
for seed in (1, 2, 3):
    trace.clear()
    run(main(seed), seed=seed)
    print(hashlib.sha256(repr(trace).encode()).hexdigest())
"""


def _begin(hash_seed: int) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": str(_ROOT)}
    return subprocess.Popen([sys.executable, "-c", PROGRAM], env=env, stdout=subprocess.PIPE, text=True)


def test_one_seed_gives_one_history_in_four_processes() -> None:
    processes = [_begin(hash_seed) for hash_seed in (0, 1, 2, random.SystemRandom().randrange(2**32))]
    told = [process.communicate(timeout=50)[0] for process in processes]
    assert {process.returncode for process in processes} == {0}
    assert len(set(told)) == 1
    assert len(set(told[0].split())) == 3  # other seeds, other histories
