"""What a round plays on: a stream and a queue on a local server, a file of positions, a journal."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from esm.aws.session import AwsSession
from esm.leasing.lease import Lease
from esm.records.position import Checkpoint
from esm.stores.sqlite import SqliteStore
from tests.kill.judge import Put
from tests.kill.plan import POISON, Plan
from tests.servers.sessions import signed_in
from tests.servers.streams import REGION, Streams

__all__ = ["Scene", "scene"]


@dataclass
class Scene:
    """`plan`: what all lives have in common. `puts`: what is on the stream. `documents`: what came to the queue."""

    plan: Plan
    kinesis: Any
    sqs: Any
    queue_url: str
    puts: list[Put] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)

    async def put(self, keys: list[str], poison: int | None = None) -> None:
        """A record for each key; the one at index `poison` is poison."""
        entries = [{"PartitionKey": key, "Data": POISON if i == poison else b"x"} for i, key in enumerate(keys)]
        answer = await self.kinesis.put_records(StreamARN=self.plan.stream, Records=entries)
        for i, (key, result) in enumerate(zip(keys, answer["Records"], strict=True)):
            self.puts.append(Put(result["ShardId"], result["SequenceNumber"], key, poison=i == poison))

    def life(self, number: int, **changes: Any) -> Plan:
        """The plan of a life that ends when all that is on the stream is settled."""
        targets: dict[str, str] = {}
        for put in self.puts:
            targets[put.shard] = max(targets.get(put.shard, put.number), put.number, key=int)
        return replace(self.plan, life=number, targets=targets, **changes)

    async def leases(self) -> list[Lease]:
        """The rows of the file, by shard."""
        store = SqliteStore(self.plan.store)
        await store.open()
        try:
            return sorted(await store.load("killed"), key=lambda lease: lease.key)
        finally:
            await store.close()

    async def checkpoints(self) -> dict[str, Checkpoint]:
        """What the file says is settled."""
        return {lease.key.shard_id: lease.checkpoint for lease in await self.leases()}

    async def read_queue(self) -> None:
        """Moves what is in the queue to `documents`."""
        while messages := (await self.sqs.receive_message(QueueUrl=self.queue_url, MaxNumberOfMessages=10)).get(
            "Messages"
        ):
            for message in messages:
                self.documents.append(json.loads(message["Body"]))
                await self.sqs.delete_message(QueueUrl=self.queue_url, ReceiptHandle=message["ReceiptHandle"])

    def journal(self) -> str:
        """What the function did so far."""
        path = Path(self.plan.journal)
        return path.read_text() if path.exists() else ""


@asynccontextmanager
async def scene(url: str, account: str, folder: Path, *, shards: int) -> AsyncIterator[Scene]:
    """A new stream and queue of an account on the server at `url`; files in `folder`."""
    async with AwsSession(signed_in(account), endpoint_url=url) as session:
        kinesis, sqs = await session.client("kinesis", REGION), await session.client("sqs", REGION)
        stream = await Streams(kinesis, account).create(shards=shards)
        queue = f"failed-{stream.rpartition('-')[2]}"
        queue_url = (await sqs.create_queue(QueueName=queue))["QueueUrl"]
        plan = Plan(
            endpoint=url,
            account=account,
            stream=stream,
            queue=f"arn:aws:sqs:{REGION}:{account}:{queue}",
            store=str(folder / f"{queue}.db"),
            journal=str(folder / f"{queue}.journal"),
            life=0,
        )
        yield Scene(plan, kinesis, sqs, queue_url)
