"""The floor: one blocking socket, a signature, a typed decoder, the event, the handler. It survives nothing."""

from __future__ import annotations

import asyncio
import socket
from typing import Any
from urllib.parse import urlsplit

import msgspec

from esm.aws.signing import Credentials, Signer
from tests.bench.meter import Meter, Plan
from tests.bench.pages import iterator
from tests.bench.workloads import BATCH_SIZE

__all__ = ["run"]

SHARD = "shardId-000000000000"
SECONDS = 1_732_200_000


class Record(msgspec.Struct, gc=False, rename="pascal"):
    """What the event needs of a record."""

    data: str
    partition_key: str
    sequence_number: str
    approximate_arrival_timestamp: float


class Output(msgspec.Struct, gc=False, rename="pascal"):
    """`GetRecords`."""

    records: list[Record]
    next_shard_iterator: str


class Client:
    """Sends one request at a time, and waits for its answer."""

    def __init__(self, url: str, service: str, content_type: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port))
        self._signer = Signer(url, service=service, region="eu-west-1", content_type=content_type)
        self._credentials = Credentials("bench", "bench")
        self._buffer = memoryview(bytearray(20 << 20))

    def call(self, target: str, parameters: dict[str, Any]) -> memoryview:
        """The body of the answer; the next call overwrites it."""
        body = msgspec.json.encode(parameters)
        head = self._signer.head(self._credentials, target, body, SECONDS)
        self._socket.sendall(head + body)
        return self._receive()

    def close(self) -> None:
        """Ends the connection."""
        self._socket.close()

    def _receive(self) -> memoryview:
        buffer, received, end = self._buffer, 0, 0
        while not end:
            received += self._socket.recv_into(buffer[received:])
            head = bytes(buffer[: min(received, 1024)])
            end = head.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in head else 0
        total = end + int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
        while received < total:
            received += self._socket.recv_into(buffer[received:total])
        return buffer[end:total]


def run(plan: Plan, meter: Meter) -> None:
    """Polls until there is enough."""
    asyncio.run(_poll(plan, meter))


async def _poll(plan: Plan, meter: Meter) -> None:
    client, decoder = Client(plan.url, "kinesis", "application/x-amz-json-1.1"), msgspec.json.Decoder(Output)
    template, token = _template(plan.arn), iterator(0, 0)
    while not meter.lap(at_rest=True):
        asked = {"ShardIterator": token, "Limit": 10_000, "StreamARN": plan.arn}
        answer = decoder.decode(client.call("Kinesis_20131202.GetRecords", asked))
        token = answer.next_shard_iterator
        records = answer.records
        for start in range(0, len(records), BATCH_SIZE):
            await meter.handle(_event(records[start : start + BATCH_SIZE], template), None)
    client.close()


def _event(records: list[Record], template: dict[str, Any]) -> dict[str, Any]:
    items = []
    for record in records:
        item = template.copy()
        number = record.sequence_number
        item["kinesis"] = {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record.partition_key,
            "sequenceNumber": number,
            "data": record.data,
            "approximateArrivalTimestamp": record.approximate_arrival_timestamp,
        }
        item["eventID"] = f"{SHARD}:{number}"
        items.append(item)
    return {"Records": items}


def _template(arn: str) -> dict[str, Any]:
    return {
        "kinesis": None,
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": None,
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/bench",
        "awsRegion": "eu-west-1",
        "eventSourceARN": arn,
    }
