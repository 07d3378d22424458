"""Redrives of what a real worker gave up, from where a local AWS keeps it, and of processes that are killed at it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import esm
from esm.redriving.bucket_box import BucketBox
from esm.redriving.redrive import redrive
from esm.redriving.redriver import Outcome, RedriveSummary
from tests.servers.accounts import Account, account_on, mapping_of
from tests.servers.queues import Queues
from tests.servers.streams import REGION
from tests.servers.tables import Tables
from tests.service.redrive_life import HIDDEN_S, STEPS
from tests.unit.redriving.world import text

pytestmark = [pytest.mark.anyio, pytest.mark.service]

ROOT = Path(__file__).parents[2]


class Case:
    """A stream of four records, of which the second and the third were given up to a destination."""

    def __init__(self, account: Account, stream: str, numbers: list[str]) -> None:
        self.account, self.stream, self.numbers = account, stream, numbers
        self.seen: list[list[str]] = []
        self.events: list[dict[str, Any]] = []

    async def give_up(self, destination: str) -> None:
        """Runs a worker that fails for two of the records."""
        failed = asyncio.Event()
        told = 0

        def handle(event: dict[str, Any], context: object) -> None:
            if event["Records"][0]["kinesis"]["sequenceNumber"] in self.numbers[1:3]:
                raise ValueError("not yet")

        class Delivered:
            def notice(self, fact: esm.Fact) -> None:
                nonlocal told
                told += type(fact).__name__ == "DestinationDelivered"
                if told == 2:  # as many as fail
                    failed.set()

        settings = {"batch_size": 1, "maximum_retry_attempts": 0, "destination_config": destination}
        mapping = mapping_of(self.stream, handle, uuid="14e0db71-5d35-4eb5-b481-8945cf9d10c2", **settings)
        worker = esm.Worker([mapping], store="memory:", observers=[Delivered()], **self.account.worker_settings)
        async with worker:
            await failed.wait()

    def handle(self, event: dict[str, Any], context: object) -> None:
        self.events.append(event)
        self.seen.append([item["kinesis"]["sequenceNumber"] for item in event["Records"]])

    async def redrive(self, source: str, **options: Any) -> RedriveSummary:
        options.setdefault("function", self.handle)
        settings = self.account.worker_settings
        return await redrive(source, **options, **settings)


@asynccontextmanager
async def case_on(url: str, number: str) -> AsyncIterator[Case]:
    async with account_on(url, number) as account:
        stream = await account.streams.create(shards=1)
        put = await account.fill(stream, [("a", b"1"), ("a", b"2"), ("a", b"3"), ("a", b"4")])
        yield Case(account, stream, [sequence_number for _, sequence_number, _ in put])


async def test_from_a_queue(ministack: str, account: str) -> None:
    async with case_on(ministack, account) as case:
        queue = await case.account.queue("failed")
        await case.give_up(queue)
        dry = await case.redrive(queue, dry_run=True)
        assert [story.outcome for story in dry.documents] == [Outcome.WOULD_BE] * 2
        assert case.seen == []
        summary = await case.redrive(queue)
        assert case.seen == [[number] for number in case.numbers[1:3]]
        assert summary.left == 0
        assert await case.account.received(queue) == []
        assert summary.documents[0].later == tuple(case.numbers[2:])


async def test_from_a_fifo_queue(ministack: str, account: str, queues: Queues) -> None:
    """What stands behind the first ten of a message group is shown when those are gone."""
    async with case_on(ministack, account) as case:
        put = await case.account.fill(case.stream, [(f"k{n}", b"{}") for n in range(35)])
        numbers = [number for _, number, _ in put]
        queue = await queues.create(fifo=True)
        bodies = ["no document", *(text(number, number, 1, case.stream) for number in numbers)]
        await queues.send_many(queue, bodies, ["other", *(["shard"] * 25), *(["another"] * 10)])
        dry = await case.redrive(queue, dry_run=True)
        assert 0 < dry.count(Outcome.WOULD_BE) < len(numbers), "a look takes nothing away, so it sees no further"
        limited = await case.redrive(queue, limit=3)
        assert len(limited.documents) == 3
        summary = await case.redrive(queue)
        assert sorted(case.seen) == sorted([number] for number in numbers)
        assert [number for (number,) in case.seen if number in numbers[:25]] == numbers[:25], "in their order"
        assert (summary.left, summary.count(Outcome.UNREADABLE)) == (1, 1)
        assert await queues.bodies(queue) == ["no document"]


async def test_from_a_topic_by_a_queue(ministack: str, account: str) -> None:
    async with case_on(ministack, account) as case:
        sns = await case.account.session.client("sns", REGION)
        topic = (await sns.create_topic(Name="failed"))["TopicArn"]
        queue = await case.account.queue("subscriber")
        await sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
        await case.give_up(topic)
        done = 0
        while done < 2:  # a topic takes its time; asking a queue does, too
            done += (await case.redrive(queue)).count(Outcome.REDRIVEN)
        assert case.seen == [[number] for number in case.numbers[1:3]]


async def test_from_a_bucket(ministack: str, account: str) -> None:
    async with case_on(ministack, account) as case:
        s3 = await case.account.session.client("s3", REGION)
        bucket = f"failed-{account}"
        await s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        await case.give_up(f"arn:aws:s3:::{bucket}")
        assert (await case.redrive(f"s3://{bucket}/other/")).documents == []
        summary = await case.redrive(f"s3://{bucket}/aws/lambda/")
        assert summary.count(Outcome.REDRIVEN) == 2
        assert sorted(case.seen) == sorted([number] for number in case.numbers[1:3])
        assert "Contents" not in await s3.list_objects_v2(Bucket=bucket)


async def test_other_objects_of_a_bucket_keep_none_from_being_redriven(ministack: str, account: str) -> None:
    async with case_on(ministack, account) as case:
        s3 = await case.account.session.client("s3", REGION)
        bucket = f"others-{account}"
        await s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        await case.give_up(f"arn:aws:s3:::{bucket}")
        await s3.put_object(Bucket=bucket, Key="aaa/large", Body=b"x" * 50_000)
        box = BucketBox(case.account.session, bucket, "", limit=40_000)
        names = [(document.name, document.fault[:14]) async for document in box.documents()]
        assert names[0] == (f"s3://{bucket}/aaa/large", "EntityTooLarge")
        assert [fault for _, fault in names[1:]] == ["", ""]


async def test_an_object_that_is_gone_meanwhile_was_somebody_elses(ministack: str, account: str) -> None:
    async with case_on(ministack, account) as case:
        s3 = await case.account.session.client("s3", REGION)
        bucket = f"gone-{account}"
        await s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        for key in "ab":
            await s3.put_object(Bucket=bucket, Key=key, Body=b"{}")
        box = BucketBox(case.account.session, bucket, "")
        given = []
        async for document in box.documents():
            given.append(document.handle)
            await s3.delete_object(Bucket=bucket, Key="b")
        assert given == ["a"]


async def test_from_a_file(ministack: str, account: str, tmp_path: Path) -> None:
    async with case_on(ministack, account) as case:
        path = tmp_path / "failed.jsonl"
        await case.give_up(f"file://{path}")
        before = path.read_bytes()
        with path.open("ab") as file:
            file.write(b'{"KinesisBatchInfo": ')  # a worker is in the middle of a line
        assert (await case.redrive(str(path))).count(Outcome.REDRIVEN) == 2
        assert case.seen == [[number] for number in case.numbers[1:3]]
        assert path.read_bytes().startswith(before), "nothing is taken out of a file that workers write to"
        assert (await case.redrive(f"file://{path}")).documents == []


async def test_the_event_is_the_one_that_failed(ministack: str, account: str) -> None:
    async with case_on(ministack, account) as case:
        queue = await case.account.queue("failed")
        await case.give_up(queue)
        await case.redrive(queue)
        (item,) = case.events[0]["Records"]
        assert item["eventID"] == f"shardId-000000000000:{case.numbers[1]}"
        assert item["eventSourceARN"] == case.stream
        assert item["kinesis"]["data"] == "Mg=="


async def test_a_table(ministack: str, account: str) -> None:
    async with account_on(ministack, account) as there:
        tables = Tables(await there.session.client("dynamodb", REGION))
        arn = await tables.create()
        queue = await there.queue("failed")
        for name in "abc":
            await tables.put(arn, {"id": {"S": name}})
        delivered = asyncio.Event()

        def fails(event: dict[str, Any], context: object) -> None:
            if event["Records"][0]["dynamodb"]["Keys"]["id"]["S"] == "b":
                raise ValueError("not yet")

        class Witness:
            def notice(self, fact: esm.Fact) -> None:
                if type(fact).__name__ == "DestinationDelivered":
                    delivered.set()

        settings = {"batch_size": 1, "maximum_retry_attempts": 0, "destination_config": queue}
        mapping = mapping_of(arn, fails, uuid="14e0db71-5d35-4eb5-b481-8945cf9d10c2", **settings)
        async with esm.Worker([mapping], store="memory:", observers=[Witness()], **there.worker_settings):
            await delivered.wait()
        seen: list[Any] = []

        def handle(event: dict[str, Any], context: object) -> None:
            seen.extend(item["dynamodb"]["Keys"]["id"]["S"] for item in event["Records"])

        summary = await redrive(queue, function=handle, **there.worker_settings)
        assert (seen, summary.left) == (["b"], 0)


async def test_what_is_no_failure_record_stays_in_its_queue(ministack: str, account: str) -> None:
    async with case_on(ministack, account) as case:
        queue = await case.account.queue("failed")
        await case.give_up(queue)
        sqs = await case.account.session.client("sqs", REGION)
        url = (await sqs.get_queue_url(QueueName="failed"))["QueueUrl"]
        await sqs.send_message(QueueUrl=url, MessageBody='{"hello": "world"}')
        summary = await case.redrive(queue)
        assert (summary.count(Outcome.REDRIVEN), summary.count(Outcome.UNREADABLE)) == (2, 1)
        assert await case.account.received(queue) == [{"hello": "world"}]


def end_killed(plan: dict[str, Any]) -> int:
    """The exit code of a redrive in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.service.redrive_life", json.dumps(plan)],
        env=environment,
        cwd=ROOT,
        timeout=60,
        check=False,
        capture_output=True,
    )
    return done.returncode


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("kind", ["queue", "bucket", "file"])
async def test_kill_9_between_any_two_steps_loses_no_document(
    kind: str, step: str, ministack: str, account: str, tmp_path: Path
) -> None:
    async with case_on(ministack, account) as case:
        source, destination = await place(kind, case, tmp_path)
        await case.give_up(destination)
        journal = tmp_path / "journal"
        plan = {
            "journal": str(journal),
            "url": ministack,
            "account": account,
            "source": source,
            "stream": case.stream,
            "at": step,
        }
        assert end_killed(plan) == -signal.SIGKILL
        await asyncio.sleep(HIDDEN_S + 0.5 if kind == "queue" else 0)  # what it had received is shown again
        assert end_killed(plan | {"at": "never"}) == 0
        handled = [number for line in journal.read_text().splitlines() for number in json.loads(line)]
        assert set(handled) == set(case.numbers[1:3]), "a document was lost, or another range touched"
        assert len(handled) <= 3, "more than the one that was under way came twice"
        left = await case.redrive(source, dry_run=True)
        assert left.documents == []


async def place(kind: str, case: Case, folder: Path) -> tuple[str, str]:
    """What to redrive from, and where the worker sends to."""
    if kind == "file":
        return str(folder / "failed.jsonl"), f"file://{folder / 'failed.jsonl'}"
    if kind == "queue":
        queue = await case.account.queue("failed")
        return queue, queue
    s3 = await case.account.session.client("s3", REGION)
    bucket = f"kills-{case.account.number}"
    await s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    return f"s3://{bucket}", f"arn:aws:s3:::{bucket}"
