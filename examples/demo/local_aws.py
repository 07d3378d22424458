"""A local AWS inside this process, on loopback, gone when the process is; on it a stream and a queue."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiobotocore.session import get_session

from examples.demo.weather import Reading, key_of

__all__ = ["ACCOUNT", "REGION", "LocalAws", "local_aws", "serving"]

ACCOUNT, REGION = "000000000000", "eu-west-1"
SETTINGS = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_EC2_METADATA_DISABLED": "true",
    "MINISTACK_HOST": "127.0.0.1",
    "LOG_LEVEL": "ERROR",
    "IOT_MTLS_ENABLED": "0",
    "SFTP_ENABLED": "0",
    "DOCKER_HOST": "unix:///nonexistent",
}


class LocalAws:
    """A stream and a queue at `url`."""

    def __init__(self, url: str, kinesis: Any, sqs: Any) -> None:
        self.url = url
        self.kinesis = kinesis
        self.sqs = sqs
        self.stream_arn = f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/temperatures"
        self.queue_arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:failed"

    async def make(self, shards: int) -> None:
        """Makes both."""
        await self.kinesis.create_stream(StreamName="temperatures", ShardCount=shards)
        await self.sqs.create_queue(QueueName="failed")

    async def put(self, readings: Sequence[Reading]) -> None:
        """Puts them onto the stream, as many at once as Kinesis takes."""
        for start in range(0, len(readings), 500):
            entries = [
                {"Data": json.dumps(reading).encode(), "PartitionKey": key_of(reading)}
                for reading in readings[start : start + 500]
            ]
            await self.kinesis.put_records(StreamName="temperatures", Records=entries)

    async def failures(self) -> list[dict[str, Any]]:
        """What came to the queue, parsed."""
        url = (await self.sqs.get_queue_url(QueueName="failed"))["QueueUrl"]
        answer = await self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    async def record(self, shard_id: str, sequence_number: str) -> str:
        """One record of the stream, as text."""
        where = {"ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": sequence_number}
        place = await self.kinesis.get_shard_iterator(StreamName="temperatures", ShardId=shard_id, **where)
        answer = await self.kinesis.get_records(ShardIterator=place["ShardIterator"], Limit=1)
        return str(answer["Records"][0]["Data"].decode())


@asynccontextmanager
async def local_aws() -> AsyncIterator[LocalAws]:
    """The stream and the queue, with clients to reach them."""
    session = get_session()
    async with serving() as url:
        where = {"region_name": REGION, "endpoint_url": url}
        async with session.create_client("kinesis", **where) as kinesis, session.create_client("sqs", **where) as sqs:
            yield LocalAws(url, kinesis, sqs)


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """The URL of a local AWS, in a thread of its own, so that it does not share the worker's event loop."""
    port = _free_port()
    os.environ.update(SETTINGS, GATEWAY_PORT=str(port))  # read when it is imported
    stop = threading.Event()
    server = threading.Thread(target=lambda: asyncio.run(_serve(port, stop)), daemon=True)
    server.start()
    await _answers(port)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stop.set()
        await asyncio.to_thread(server.join, 3)


async def _serve(port: int, stop: threading.Event) -> None:
    from hypercorn.asyncio import serve  # type: ignore[import-not-found]  # noqa: PLC0415  # after the settings
    from hypercorn.config import Config  # type: ignore[import-not-found]  # noqa: PLC0415  # as above
    from ministack.app import app  # type: ignore[import-not-found]  # noqa: PLC0415  # as above

    config = Config()
    config.bind, config.graceful_timeout, config.loglevel = [f"127.0.0.1:{port}"], 1, "ERROR"

    async def told() -> None:
        await asyncio.to_thread(stop.wait)

    await serve(app, config, shutdown_trigger=told)


async def _answers(port: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
