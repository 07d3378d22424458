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

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port))
        content_type = "application/x-amz-json-1.1"
        self._signer = Signer(url, service="kinesis", region="eu-west-1", content_type=content_type)
        self._credentials = Credentials("bench", "bench")
        self._buffer = memoryview(bytearray(20 << 20))
        self._decoder = msgspec.json.Decoder(Output)

    def get_records(self, arn: str, token: str) -> Output:
        """`GetRecords`."""
        body = msgspec.json.encode({"ShardIterator": token, "Limit": 10_000, "StreamARN": arn})
        head = self._signer.head(self._credentials, "Kinesis_20131202.GetRecords", body, SECONDS)
        self._socket.sendall(head + body)
        return self._decoder.decode(self._receive())

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
    client, template, token = Client(plan.url), _template(plan.arn), iterator(0, 0)
    while not meter.lap(at_rest=True):
        answer = client.get_records(plan.arn, token)
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
