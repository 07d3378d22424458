"""Failure records of a whole worker, read back from where a local AWS server keeps them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import pytest

import esm
from esm.telemetry import facts
from tests.conformance.stream_vectors import UNHANDLED, Failure, check_document, raising
from tests.servers.accounts import Account, account_on, mapping_of
from tests.servers.streams import REGION

pytestmark = [pytest.mark.anyio, pytest.mark.service]

UUID = "14e0db71-5d35-4eb5-b481-8945cf9d10c2"
FIRST = "shardId-000000000000"


class Witness:
    """Waits for facts."""

    def __init__(self) -> None:
        self.facts: list[facts.Fact] = []
        self._new = asyncio.Event()

    def notice(self, fact: facts.Fact) -> None:
        self.facts.append(fact)
        self._new.set()

    async def until(self, kind: type[facts.Fact], count: int = 1) -> Any:
        """The last of so many."""
        while len(found := self.of(kind)) < count:
            self._new.clear()
            await self._new.wait()
        return found[count - 1]

    async def settled(self, number: str) -> None:
        while not any(int(fact.settled or 0) >= int(number) for fact in self.of(facts.CheckpointStored)):
            self._new.clear()
            await self._new.wait()

    def of(self, kind: type[facts.Fact]) -> list[Any]:
        return [fact for fact in self.facts if isinstance(fact, kind)]


class Failing:
    """A stream of which the second of three records fails, in batches of one."""

    def __init__(self, account: Account, stream: str, put: list[tuple[str, str, str]]) -> None:
        self.account, self.stream = account, stream
        self.numbers = {str(index): number for index, (_, number, _) in enumerate(put, 1)}
        self.witness = Witness()
        self.events: list[dict[str, Any]] = []

    def worker(self, destination: str, **settings: Any) -> esm.Worker:
        def handle(event: dict[str, Any], context: Any) -> None:
            self.events.append(event)
            raising("2" if self.numbers else "x")(event, context)

        settings = {"batch_size": 1, "maximum_retry_attempts": 0, "destination_config": destination} | settings
        mapping = mapping_of(self.stream, handle, uuid=UUID, **settings)
        return esm.Worker([mapping], store="memory:", observers=[self.witness], **self.account.worker_settings)

    async def run(self, destination: str, **settings: Any) -> None:
        """Until all of it is settled."""
        async with self.worker(destination, **settings):
            await self.witness.settled(self.numbers["3"])

    def check(self, document: dict[str, Any]) -> None:
        """It is the record of the second, with AWS's keys in AWS's order."""
        check_document(document, Failure("RetryAttemptsExhausted", (1,), "2", "2", UNHANDLED), self.numbers)
        names = ["requestContext", "responseContext", "version", "timestamp", "KinesisBatchInfo"]
        assert [name for name in document if name != "payload"] == names
        assert document["KinesisBatchInfo"]["streamArn"] == self.stream
        assert document["KinesisBatchInfo"]["shardId"] == FIRST


@asynccontextmanager
async def failing(url: str, number: str) -> AsyncIterator[Failing]:
    async with account_on(url, number) as account:
        stream = await account.streams.create(shards=1)
        put = await account.fill(stream, [("a", b"1"), ("a", b"2"), ("a", b"3")])
        yield Failing(account, stream, put)


async def test_a_queue(ministack: str, account: str) -> None:
    async with failing(ministack, account) as case:
        queue = await case.account.queue("failed")
        await case.run(queue)
        (document,) = await case.account.received(queue)
        case.check(document)
        assert "payload" not in document
        (delivered,) = case.witness.of(facts.DestinationDelivered)
        assert (delivered.destination, delivered.records) == (queue, 1)


async def test_a_topic_by_a_subscription_of_a_queue(ministack: str, account: str) -> None:
    async with failing(ministack, account) as case:
        sns = await case.account.session.client("sns", REGION)
        topic = (await sns.create_topic(Name="failed"))["TopicArn"]
        queue = await case.account.queue("subscriber")
        await sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)
        await case.run(topic)
        (notification,) = await case.account.received(queue, wait_s=5)
        assert (notification["Type"], notification["TopicArn"]) == ("Notification", topic)
        document = json.loads(notification["Message"])
        case.check(document)
        assert "payload" not in document


class Bucket:
    """A new bucket of the account."""

    def __init__(self, account: Account) -> None:
        self.account, self.name = account, f"failed-{account.number}"

    async def __aenter__(self) -> Self:
        self._s3 = await self.account.session.client("s3", REGION)
        await self._s3.create_bucket(Bucket=self.name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return self

    async def __aexit__(self, *_: object) -> None:
        """It stays."""

    async def only_object(self) -> tuple[str, dict[str, Any]]:
        """Key and content."""
        (stored,) = (await self._s3.list_objects_v2(Bucket=self.name))["Contents"]
        answer = await self._s3.get_object(Bucket=self.name, Key=stored["Key"])
        return stored["Key"], json.loads(await answer["Body"].read())


async def test_a_bucket(ministack: str, account: str) -> None:
    """The object's key and its body are as AWS writes them; the body has the whole event."""
    async with failing(ministack, account) as case, Bucket(case.account) as bucket:
        await case.run(f"arn:aws:s3:::{bucket.name}")
        name, document = await bucket.only_object()
        form = rf"aws/lambda/{UUID}/{FIRST}/(\d{{4}})/(\d\d)/(\d\d)/\1-\2-\3T\d\d\.\d\d\.\d\d-[0-9a-f-]{{36}}"
        key = re.fullmatch(form, name)
        assert key is not None
        case.check(document)
        assert list(document).index("payload") == list(document).index("timestamp") - 1
        assert json.loads(document["payload"]) == case.events[1]
        assert document["timestamp"][:10] == "-".join(key.groups())


async def test_a_bucket_takes_an_event_of_megabytes(ministack: str, account: str) -> None:
    async with account_on(ministack, account) as mine, Bucket(mine) as bucket:
        stream = await mine.streams.create(shards=1)
        for _ in range(6):
            await mine.fill(stream, [("a", b"x" * 500_000)])
        case = Failing(mine, stream, [])
        async with case.worker(f"arn:aws:s3:::{bucket.name}", batch_size=6):
            await case.witness.until(facts.RecordsDiscarded)
        assert case.witness.of(facts.DestinationFailed) == []
        _, document = await bucket.only_object()
        assert json.loads(document["payload"]) == case.events[0]
        assert len(document["payload"]) > 4_000_000


async def test_a_file(ministack: str, account: str, tmp_path: Path) -> None:
    async with failing(ministack, account) as case:
        await case.run(f"file://{tmp_path}/failed.jsonl")
        (line,) = (tmp_path / "failed.jsonl").read_text().splitlines()
        document = json.loads(line)
        case.check(document)
        assert json.loads(document["payload"]) == case.events[1]


async def test_a_missing_queue_keeps_the_range_open_until_there_is_one(ministack: str, account: str) -> None:
    """The lane of the range waits, visibly; nothing behind it is delivered, and nothing is lost."""
    async with failing(ministack, account) as case:
        queue = f"arn:aws:sqs:{REGION}:{account}:missing"
        async with case.worker(queue) as worker:
            refused = await case.witness.until(facts.DestinationFailed, 2)
            assert (refused.destination, refused.records, refused.attempt) == (queue, 1, 2)
            assert "Queue" in refused.error
            (shard,) = worker.status().mappings[0].shards
            assert [lane.state for lane in shard.lanes] == ["discarding"]
            assert shard.position == case.numbers["1"]
            assert "Queue" in str(shard.last_error)
            assert len(case.events) == 2
            await case.account.queue("missing")
            await case.witness.settled(case.numbers["3"])
        (document,) = await case.account.received(queue)
        case.check(document)
        assert [fact.delivered for fact in case.witness.of(facts.RecordsDiscarded)] == [True]
        assert len(case.events) == 3


async def test_a_missing_queue_does_not_hold_up_other_lanes(ministack: str, account: str) -> None:
    async with failing(ministack, account) as case:
        others = await case.account.fill(case.stream, [(f"key-{i}", b"x") for i in range(20)])
        queue = f"arn:aws:sqs:{REGION}:{account}:missing"
        async with case.worker(queue, parallelization_factor=10) as worker:
            await case.witness.until(facts.DestinationFailed)
            delivered: set[str] = set()
            while len(delivered) < 15:  # those of the lanes that the failing one is none of
                await asyncio.sleep(0.02)
                delivered = {e["Records"][0]["kinesis"]["sequenceNumber"] for e in case.events} & {o[1] for o in others}
            (shard,) = worker.status().mappings[0].shards
            assert [lane.state for lane in shard.lanes].count("discarding") == 1


async def test_dropping_as_aws_does_when_the_queue_is_missing(ministack: str, account: str) -> None:
    async with failing(ministack, account) as case:
        await case.run(f"arn:aws:sqs:{REGION}:{account}:missing", on_destination_failure="drop")
        assert [fact.delivered for fact in case.witness.of(facts.RecordsDiscarded)] == [False]
        assert len(case.witness.of(facts.DestinationFailed)) == 1
        assert len(case.events) == 3
