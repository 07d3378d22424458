"""A worker inside another program, over HTTP: what it leaves behind, what two of them do, what it may have at once."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

import esm
from esm.telemetry import facts
from tests.servers.accounts import Account, account_on, mapping_of
from tests.servers.queues import Queues
from tests.servers.sessions import signed_in
from tests.servers.streams import REGION

pytestmark = [pytest.mark.anyio, pytest.mark.service]

PATIENCE_S = 30.0

FORKS = """
import asyncio, os
import esm

async def main():
    worker = esm.Worker([], store="memory:")
    async with worker:
        child = os.fork()
        if not child:
            try:
                worker.status()
            except esm.EsmError as error:
                os.write(1, f"refused: {error}".encode())
            os._exit(0)
        os.waitpid(child, 0)
        await asyncio.sleep(0)
    assert worker.clean

asyncio.run(main())
"""


@pytest.fixture
async def here(ministack: str, account: str) -> AsyncIterator[Account]:
    async with account_on(ministack, account) as opened:
        yield opened


async def until(holds: Callable[[], bool]) -> None:
    give_up = time.perf_counter() + PATIENCE_S
    while not holds():
        assert time.perf_counter() < give_up, "it does not come to pass"
        await asyncio.sleep(0.02)


class Kept:
    """Keeps what a function is given, in the loop or in a thread, and the facts."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.data: list[str] = []
        self.running = self.most = 0
        self.facts: list[facts.Fact] = []
        self._seconds = seconds

    def in_thread(self, event: dict[str, Any], _context: Any) -> None:
        self.data += [record["kinesis"]["partitionKey"] for record in event["Records"]]

    async def from_queue(self, event: dict[str, Any], _context: Any) -> None:
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(self._seconds)
        self.running -= 1
        self.data += [record["attributes"]["ApproximateReceiveCount"] for record in event["Records"]]

    def notice(self, fact: facts.Fact) -> None:
        self.facts.append(fact)


def left() -> tuple[Any, ...]:
    """Threads, tasks, open descriptors and signal handlers."""
    handlers = tuple(signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD))
    descriptors = Counter(map(_opened, Path("/proc/self/fd").iterdir()))
    return set(threading.enumerate()), asyncio.all_tasks(), descriptors, handlers


def _opened(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink()).partition(":")[0]
    except OSError:
        return ""  # of the listing itself


async def test_a_worker_that_comes_and_goes_leaves_nothing_behind(here: Account, tmp_path: Path) -> None:
    stream, kept = await here.streams.create(shards=2), Kept()
    mapping = mapping_of(stream, kept.in_thread)
    worker = esm.Worker([mapping], store=f"sqlite:///{tmp_path}/esm.db", **here.worker_settings)
    async with worker:
        pass
    before = left()
    for number in range(4):
        async with worker:
            await here.fill(stream, [(f"{number}", b"x")])
            await until(lambda number=number: kept.data[-1:] == [f"{number}"])  # type: ignore[misc]  # a default binds it
        assert worker.clean
        await asyncio.sleep(0.05)  # the sockets' own last turns
        assert left() == before
    assert kept.data == ["0", "1", "2", "3"]


async def test_no_more_threads_and_connections_than_it_may_have(here: Account) -> None:
    stream, running, most = await here.streams.create(shards=3), 0, 0
    done: list[str] = []

    def handle(event: dict[str, Any], _context: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        time.sleep(0.02)
        running -= 1
        done.extend(record["kinesis"]["partitionKey"] for record in event["Records"])

    mapping = mapping_of(stream, handle, parallelization_factor=10, batch_size=1)
    limits = esm.Resources(threads=2, connections=1)
    async with esm.Worker([mapping], store="memory:", resources=limits, **here.worker_settings):
        await here.fill(stream, [(f"{n}", b"x") for n in range(60)])
        await until(lambda: len(done) == 60)
        names = [thread.name for thread in threading.enumerate() if thread.name.startswith("esm-handle")]
    assert most == len(names) == 2


async def test_two_workers_side_by_side(here: Account) -> None:
    stream, one, two = await here.streams.create(shards=1), Kept(), Kept()
    async with (
        esm.Worker([mapping_of(stream, one.in_thread)], store="memory:", **here.worker_settings),
        esm.Worker([mapping_of(stream, two.in_thread)], store="memory:", **here.worker_settings),
    ):
        await here.fill(stream, [("a", b"x")])
        await until(lambda: one.data == two.data == ["a"])


async def test_two_workers_with_one_mapping_in_one_file_are_fenced(here: Account, tmp_path: Path) -> None:
    """The newer one reads; the older one is told, and settles nothing any more."""
    stream, one, two = await here.streams.create(shards=1), Kept(), Kept()
    options: dict[str, Any] = {"store": f"sqlite:///{tmp_path}/esm.db", **here.worker_settings}
    async with esm.Worker([mapping_of(stream, one.in_thread)], observers=[one], **options) as older:
        await here.fill(stream, [("a", b"x")])
        await until(lambda: one.data == ["a"])
        second = mapping_of(stream, two.in_thread, uuid=older.mappings[0].uuid)
        async with esm.Worker([second], **options) as newer:
            await here.fill(stream, [("b", b"x")])
            await until(lambda: two.data == ["b"])
            await until(lambda: older.status().mappings[0].shards[0].state == "lost")
            assert newer.status().mappings[0].shards[0].state == "reading"
    assert [type(fact) for fact in one.facts if isinstance(fact, facts.LeaseLost)] == [facts.LeaseLost]


async def test_mappings_come_and_go(here: Account, tmp_path: Path) -> None:
    stream, kept = await here.streams.create(shards=1), Kept()
    async with esm.Worker(store=f"sqlite:///{tmp_path}/esm.db", **here.worker_settings) as worker:
        with pytest.raises(esm.SourceError):
            await worker.create(mapping_of(f"{stream}-not-there", kept.in_thread))
        mapping = mapping_of(stream, kept.in_thread)
        await worker.create(mapping)
        await here.fill(stream, [("a", b"x")])
        await until(lambda: kept.data == ["a"])
        await worker.update(mapping.uuid, batch_size=7, parallelization_factor=3)
        await here.fill(stream, [("b", b"x")])
        await until(lambda: kept.data == ["a", "b"])
        await worker.delete(mapping.uuid)
        await worker.create(mapping)  # from its start
        await until(lambda: kept.data == ["a", "b", "a", "b"])


async def test_u5_a_function_without_room_burns_no_receive(ministack: str, here: Account, account: str) -> None:
    """https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html"""
    queues, kept = Queues(await here.session.client("sqs", REGION), account), Kept(0.05)
    arn = await queues.create(visibility=3)
    function = esm.Function(kept.from_queue, name="taker", reserved_concurrency=1)
    mapping = esm.EventSourceMapping(event_source_arn=arn, function=function, batch_size=1)
    options: dict[str, Any] = {"endpoint_url": ministack, "region_name": REGION, "session": signed_in(account)}
    async with esm.Worker([mapping], store="memory:", drain_timeout=1.0, **options) as worker:
        worker.put_function_concurrency("taker", 0)
        await queues.send_many(arn, [str(n) for n in range(8)])
        await asyncio.sleep(4.0)  # longer than a message is hidden
        assert kept.data == []
        worker.put_function_concurrency("taker", None)
        await until(lambda: len(kept.data) == 8)
        worker.stop(now=True)
    assert (kept.data, kept.most) == (["1"] * 8, 1)


def test_in_a_program_of_anyios(ministack: str, account: str) -> None:
    async def main() -> list[str]:
        kept = Kept()
        async with account_on(ministack, account) as here, anyio.create_task_group() as tasks:
            stream = await here.streams.create(shards=1)
            worker = esm.Worker([mapping_of(stream, kept.in_thread)], store="memory:", **here.worker_settings)

            async def serve() -> None:
                async with worker:
                    await worker.join()

            tasks.start_soon(serve)
            await here.fill(stream, [("a", b"x")])
            await until(lambda: bool(kept.data))
            tasks.cancel_scope.cancel()
        return kept.data

    assert anyio.run(main, backend="asyncio") == ["a"]


def test_a_fork_of_a_running_worker_is_refused(tmp_path: Path) -> None:
    """K10."""
    command = [sys.executable, "-W", "ignore", "-c", FORKS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("refused: this worker was started in process ")
