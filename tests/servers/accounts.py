"""An account of its own on a local server: its streams, its queues, and mappings of the one to the other."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from esm.aws.session import AwsSession
from esm.mapping.settings import EventSourceMapping
from tests.servers.sessions import signed_in
from tests.servers.streams import REGION, Streams

__all__ = ["Account", "account_on", "mapping_of"]


@dataclass(frozen=True)
class Account:
    """`url`: of the server. `number`: the account's, and the access key of who has it."""

    url: str
    number: str
    session: AwsSession
    streams: Streams

    @property
    def worker_settings(self) -> dict[str, Any]:
        """What `esm.Worker` needs to work in this account."""
        return {"endpoint_url": self.url, "region_name": REGION, "session": signed_in(self.number)}

    async def fill(self, stream: str, records: list[tuple[str, bytes]]) -> list[tuple[str, str, str]]:
        """Puts records, up to 500 of key and data; gives shard, sequence number and key of each."""
        client = await self.session.client("kinesis", REGION)
        entries = [{"PartitionKey": key, "Data": data} for key, data in records]
        answer = await client.put_records(StreamARN=stream, Records=entries)
        assert answer["FailedRecordCount"] == 0
        return [
            (result["ShardId"], result["SequenceNumber"], key)
            for (key, _), result in zip(records, answer["Records"], strict=True)
        ]

    async def queue(self, name: str) -> str:
        """The ARN of a new queue."""
        sqs = await self.session.client("sqs", REGION)
        await sqs.create_queue(QueueName=name)
        return f"arn:aws:sqs:{REGION}:{self.number}:{name}"

    async def received(self, queue_arn: str, wait_s: int = 0) -> list[Any]:
        """All that is in a queue, parsed, and taken out of it. `wait_s`: for the first message."""
        sqs = await self.session.client("sqs", REGION)
        url = (await sqs.get_queue_url(QueueName=queue_arn.rpartition(":")[2]))["QueueUrl"]
        bodies: list[Any] = []
        while messages := await self._receive(sqs, url, 0 if bodies else wait_s):
            for message in messages:
                bodies.append(json.loads(message["Body"]))
                await sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return bodies

    @staticmethod
    async def _receive(sqs: Any, url: str, wait_s: int) -> list[dict[str, Any]]:
        answer = await sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=wait_s)
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages


@asynccontextmanager
async def account_on(url: str, number: str) -> AsyncIterator[Account]:
    """The account of this number on the server at `url`."""
    async with AwsSession(signed_in(number), endpoint_url=url) as session:
        yield Account(url, number, session, Streams(await session.client("kinesis", REGION), number))


def mapping_of(stream: str, function: Any, **settings: Any) -> EventSourceMapping:
    """A mapping that reads a stream from its beginning, under a `uuid` that is the stream's."""
    settings.setdefault("starting_position", "TRIM_HORIZON")
    settings.setdefault("uuid", stream.rpartition("/")[2])
    return EventSourceMapping(event_source_arn=stream, function=function, **settings)
