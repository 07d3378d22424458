"""A worker on a queue is killed again and again: nothing is lost, order stays, and little is done twice."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random

import pytest

from esm.aws.session import AwsSession
from tests.servers.queues import Queues
from tests.servers.sessions import signed_in
from tests.servers.streams import REGION

pytestmark = [pytest.mark.anyio, pytest.mark.service]

KILLS = int(os.environ.get("ESM_QUEUE_KILLS", "3"))
"""How many kills are played; more on demand."""

MESSAGES = 90
PATIENCE_S = 45.0
BATCH, SLOTS = 3, 4

PROGRAM = """
import asyncio, os, sys
import esm

arn, url, path, region, slots, batch = sys.argv[1:]
log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

async def handle(event, context):
    for record in event["Records"]:
        group = record["attributes"].get("MessageGroupId", "-")
        os.write(log, f"begin {group} {record['body']}\\n".encode())
        await asyncio.sleep(0.03)
        os.write(log, f"end {group} {record['body']}\\n".encode())

function = esm.Function(handle, timeout=1.0)
scaling = {"MaximumConcurrency": int(slots)}
mapping = esm.EventSourceMapping(event_source_arn=arn, function=function, batch_size=int(batch), scaling_config=scaling)
asyncio.run(esm.run([mapping], store="memory:", endpoint_url=url, region_name=region))
"""


@pytest.fixture
async def queues(ministack: str, account: str) -> AsyncIterator[Queues]:
    async with AwsSession(signed_in(account), endpoint_url=ministack) as session:
        yield Queues(await session.client("sqs", REGION), account)


class Life:
    """A worker's process."""

    def __init__(self, arn: str, url: str, account: str, log: Path) -> None:
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": account, "AWS_SECRET_ACCESS_KEY": "secret"}
        command = [sys.executable, "-c", PROGRAM, arn, url, str(log), REGION, str(SLOTS), str(BATCH)]
        self.log = log
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    async def until(self, lines: int) -> None:
        give_up = time.perf_counter() + PATIENCE_S
        while len(read(self.log)) < lines:
            assert self.process.poll() is None
            assert time.perf_counter() < give_up, "the worker does not get so far"
            await asyncio.sleep(0.01)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def read(log: Path) -> list[tuple[str, str, str]]:
    lines = log.read_text().splitlines() if log.exists() else []
    return [(what, group, body) for what, group, body in (line.split() for line in lines)]


async def drained(queues: Queues, arn: str) -> None:
    give_up = time.perf_counter() + PATIENCE_S
    while await queues.counts(arn) != (0, 0):
        assert time.perf_counter() < give_up, "the queue does not become empty"
        await asyncio.sleep(0.1)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("fifo", [False, True], ids=["standard", "fifo"])
async def test_kills(fifo: bool, ministack: str, account: str, queues: Queues, tmp_path: Path) -> None:
    rng, log = Random(7), tmp_path / "log"
    arn = await queues.create(visibility=2, fifo=fifo)
    groups = [f"g{i % 5}" for i in range(MESSAGES)] if fifo else []
    await queues.send_many(arn, [f"{i:03}" for i in range(MESSAGES)], groups)
    for _ in range(KILLS):
        life = Life(arn, ministack, account, log)
        try:
            await life.until(len(read(log)) + rng.randint(3, 25))
        finally:
            life.kill()
    life = Life(arn, ministack, account, log)
    try:
        await drained(queues, arn)
    finally:
        life.kill()
    judge(read(log), fifo=fifo)


def judge(lines: list[tuple[str, str, str]], *, fifo: bool) -> None:
    """Every message was done; what was done twice is what was out, or not deleted yet, when a process was killed."""
    ended = Counter(body for what, _, body in lines if what == "end")
    assert set(ended) == {f"{i:03}" for i in range(MESSAGES)}
    assert sum(ended.values()) - MESSAGES <= KILLS * SLOTS * BATCH * 2
    done: defaultdict[str, set[str]] = defaultdict(set)
    for what, group, body in lines if fifo else ():
        if what == "end":
            done[group].add(body)
        else:
            earlier = {f"{i:03}" for i in range(int(body)) if f"g{i % 5}" == group}
            assert earlier <= done[group], f"{body} overtook an earlier message of its group"
