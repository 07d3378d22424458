"""What was recorded from a server is replayed as it was handed out: the very same events, in the same order."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import esm
from esm.replaying.record import Recorded, record
from esm.replaying.replay import replay
from esm.sources.files.recordings import RecordingFile
from tests.servers.accounts import Account, account_on, mapping_of
from tests.servers.queues import Queues
from tests.servers.streams import REGION
from tests.servers.tables import Tables
from tests.service.drain_life import HIDDEN_S, STEPS

pytestmark = [pytest.mark.anyio, pytest.mark.service, pytest.mark.timeout(600)]

RECORDS = int(os.environ.get("ESM_RECORDED", "5000"))
"""How many records go through; more on demand."""

SHARDS = 4
ROOT = Path(__file__).parents[2]


@pytest.fixture
async def here(ministack: str, account: str) -> AsyncIterator[Account]:
    async with account_on(ministack, account) as made:
        yield made


class Seen:
    """A function that keeps every record of its events, as the JSON text it came in."""

    def __init__(self, enough: int) -> None:
        self.by_shard_and_key: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        self.events: list[str] = []
        self.left = enough
        self.all = asyncio.Event()

    async def handle(self, event: dict[str, Any], _context: Any) -> None:
        for item in event["Records"]:
            text = json.dumps(item)
            self.events.append(text)
            if "kinesis" in item:
                shard = item["eventID"].partition(":")[0]
                self.by_shard_and_key[shard, item["kinesis"]["partitionKey"]].append(text)
        self.left -= len(event["Records"])
        if self.left <= 0:
            self.all.set()


async def live(here: Account, source: str, count: int, **settings: Any) -> Seen:
    """What a worker hands out of the source now."""
    seen = Seen(count)
    mapping = mapping_of(source, seen.handle, **settings)
    async with esm.Worker([mapping], store="memory:", **here.worker_settings):
        await asyncio.wait_for(seen.all.wait(), 500)
    return seen


async def taken_down(here: Account, source: str, path: Path, **options: Any) -> Recorded:
    return await record(source, path, **here.worker_settings, **options)


@pytest.mark.parametrize("name", ["orders.jsonl", "orders.jsonl.zst"])
async def test_a_stream(here: Account, tmp_path: Path, name: str) -> None:
    stream = await here.streams.create(shards=SHARDS)
    for begin in range(0, RECORDS, 500):
        await here.fill(stream, [(f"key {n % 97}", f"record {n}".encode()) for n in range(begin, begin + 500)])
    recorded = await taken_down(here, stream, tmp_path / name, position="TRIM_HORIZON", records=RECORDS)
    assert (recorded.records, recorded.halted, recorded.gaps) == (RECORDS, (), 0)
    assert recorded.files == (tmp_path / name,)

    was = await live(here, stream, RECORDS, batch_size=1000)
    again = Seen(RECORDS)
    summary = await replay(tmp_path / name, function=again.handle, batch_size=500)
    assert (summary.records, summary.failed, summary.halted) == (RECORDS, 0, ())
    assert again.by_shard_and_key == was.by_shard_and_key
    assert len(was.by_shard_and_key) == 97
    assert {shard for shard, _ in was.by_shard_and_key} == {f"shardId-{n:012}" for n in range(SHARDS)}


async def test_a_stream_between_two_times_and_its_recording_are_the_same(here: Account, tmp_path: Path) -> None:
    stream = await here.streams.create(shards=2)
    await here.fill(stream, [(f"key {n % 5}", b"before") for n in range(20)])
    await asyncio.sleep(1.1)
    await here.fill(stream, [(f"key {n % 5}", b"within") for n in range(20)])
    await asyncio.sleep(1.1)
    await here.fill(stream, [(f"key {n % 5}", b"after") for n in range(20)])
    path = tmp_path / "all.jsonl"
    await taken_down(here, stream, path, position="TRIM_HORIZON", records=60)
    arrived = sorted(item.arrived_at for item in RecordingFile(path).items() if hasattr(item, "arrived_at"))
    between: dict[str, Any] = {"start": (arrived[20] - 500) / 1000, "end": (arrived[40] - 500) / 1000}

    of_stream, of_file = Seen(20), Seen(20)
    summary = await replay(stream, function=of_stream.handle, **between, **here.worker_settings)
    assert summary.records == 20
    await replay(path, function=of_file.handle, **between)
    assert of_stream.by_shard_and_key == of_file.by_shard_and_key
    assert len(of_file.events) == 20

    part = tmp_path / "part.jsonl"
    recorded = await taken_down(here, stream, part, position=between["start"], until=between["end"])
    assert recorded.records == 20


async def test_a_stream_that_was_resharded(kinesis_local: str, account: str, tmp_path: Path) -> None:
    async with account_on(kinesis_local, account) as here:
        stream = await here.streams.create(shards=2)
        await here.fill(stream, [(f"key {n % 20}", f"{n}".encode()) for n in range(200)])
        await here.streams.split(stream, "shardId-000000000000")
        await here.fill(stream, [(f"key {n % 20}", f"{n}".encode()) for n in range(200, 400)])
        path = tmp_path / "resharded.jsonl"
        await taken_down(here, stream, path, position="TRIM_HORIZON", records=400)
    seen = Seen(400)
    summary = await replay(path, function=seen.handle)
    assert (summary.records, summary.halted) == (400, ())
    by_key: defaultdict[str, list[int]] = defaultdict(list)
    for text in seen.events:
        item = json.loads(text)["kinesis"]
        by_key[item["partitionKey"]].append(int(esm_data(item["data"])))
    assert all(numbers == sorted(numbers) for numbers in by_key.values())
    assert sum(map(len, by_key.values())) == 400


def esm_data(text: str) -> bytes:
    from base64 import b64decode  # noqa: PLC0415  # of this one test

    return b64decode(text)


async def test_a_table(here: Account, tmp_path: Path) -> None:
    tables = Tables(await here.session.client("dynamodb", REGION))
    stream = await tables.create()
    for number in range(30):
        await tables.put(stream, {"id": {"S": f"{number % 7}"}, "count": {"N": f"{number}.50"}})
    path = tmp_path / "changes.jsonl.zst"
    await taken_down(here, stream, path, position="TRIM_HORIZON", records=30)
    was, again = await live(here, stream, 30, uuid="table"), Seen(30)
    await replay(path, function=again.handle)
    assert again.events == was.events


async def test_a_queue_is_copied_and_stays_as_it_was(here: Account, tmp_path: Path) -> None:
    queues = Queues(await here.session.client("sqs", REGION), here.number)
    queue = await queues.create()
    await queues.send_many(queue, [f"body {n}" for n in range(25)])
    path = tmp_path / "copied.jsonl"
    copied = await taken_down(here, queue, path, records=25, messages="copy", duration=30)
    assert (copied.records, copied.undeleted) == (25, 0)
    drained = await taken_down(here, queue, tmp_path / "drained.jsonl", records=25, messages="drain", duration=30)
    assert (drained.records, drained.undeleted) == (25, 0)
    nothing = await taken_down(here, queue, tmp_path / "nothing.jsonl", messages="drain", duration=0.5)
    assert nothing.records == 0

    seen = Seen(25)
    summary = await replay(path, function=seen.handle)
    assert (summary.records, summary.given_up) == (25, 0)
    assert {json.loads(text)["body"] for text in seen.events} == {f"body {n}" for n in range(25)}
    assert {json.loads(text)["eventSourceARN"] for text in seen.events} == {queue}


def drained(plan: dict[str, Any]) -> int:
    """The exit code of a drain in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.service.drain_life", json.dumps(plan)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        timeout=60,
        check=False,
        capture_output=True,
    )
    return done.returncode


@pytest.mark.parametrize("step", STEPS)
async def test_kill_9_while_a_queue_is_drained_loses_no_message(
    queues: Queues, ministack: str, account: str, tmp_path: Path, step: str
) -> None:
    queue = await queues.create()
    sent = {f"body {n}" for n in range(25)}
    await queues.send_many(queue, sorted(sent))
    plan = {"queue": queue, "url": ministack, "account": account, "seconds": 3}
    broken_off, rest = tmp_path / "broken.jsonl", tmp_path / "rest.jsonl"
    assert drained({**plan, "at": step, "path": str(broken_off)}) == -signal.SIGKILL
    await asyncio.sleep(HIDDEN_S + 0.5)  # what it had received is shown again
    assert drained({**plan, "at": "never", "path": str(rest)}) == 0

    taken = [set(bodies(path)) for path in (broken_off.with_name("broken.jsonl.part"), rest)]
    assert taken[0] | taken[1] == sent
    assert taken[0]
    assert await queues.counts(queue) == (0, 0)


def bodies(path: Path) -> list[str]:
    return [item.body for item in RecordingFile(path, skip_invalid=True).items()]  # type: ignore[union-attr]  # messages


async def test_failure_records_in_a_bucket_with_their_events(here: Account) -> None:
    stream = await here.streams.create(shards=2)
    await here.fill(stream, [(f"key {n % 7}", f"{n}".encode()) for n in range(40)])
    s3 = await here.session.client("s3", REGION)
    await s3.create_bucket(Bucket=f"failed-{here.number}", CreateBucketConfiguration={"LocationConstraint": REGION})

    async def fails(event: dict[str, Any], _context: Any) -> None:
        raise ValueError(len(event["Records"]))

    class Counted:
        def __init__(self) -> None:
            self.given_up = 0
            self.all = asyncio.Event()

        def notice(self, fact: esm.Fact) -> None:
            self.given_up += getattr(fact, "records", 0) if type(fact).__name__ == "RecordsDiscarded" else 0
            if self.given_up == 40:
                self.all.set()

    counted = Counted()
    bucket = f"arn:aws:s3:::failed-{here.number}"
    settings: dict[str, Any] = {
        "maximum_retry_attempts": 0,
        "destination_config": bucket,
        "batch_size": 3,
        "parallelization_factor": 3,
    }
    mapping = mapping_of(stream, fails, **settings)
    async with esm.Worker([mapping], store="memory:", observers=[counted], **here.worker_settings):
        await asyncio.wait_for(counted.all.wait(), 60)
    was, again = await live(here, stream, 40, uuid="again"), Seen(40)
    summary = await replay(f"s3://failed-{here.number}/aws/lambda/", function=again.handle, **here.worker_settings)
    assert summary.records == 40
    assert again.by_shard_and_key == was.by_shard_and_key
