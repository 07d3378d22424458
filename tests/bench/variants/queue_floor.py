"""The floor: one blocking socket, a signature, a typed decoder, the event, the handler. It survives nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from tests.bench.queue_client import Handler, QueuePlan
from tests.bench.variants.floor import Client
from tests.bench.variants.queue_events import receiving
from tests.bench.workloads import QUEUE_ARN

__all__ = ["run"]


class Message(msgspec.Struct, gc=False, rename="pascal"):
    """What the event needs of a message."""

    message_id: str
    receipt_handle: str
    body: str
    attributes: dict[str, str]
    md5_of_body: str = msgspec.field(name="MD5OfBody")


class Received(msgspec.Struct, rename="pascal"):
    """`ReceiveMessage`."""

    messages: list[Message] = []


class Done(msgspec.Struct, gc=False, rename="pascal"):
    """What became of one entry."""

    id: str


class Deleted(msgspec.Struct, rename="pascal"):
    """`DeleteMessageBatch`."""

    successful: list[Done]
    failed: list[Done] = []


def run(plan: QueuePlan) -> None:
    """Polls until it is ended."""
    asyncio.run(_poll(plan))


async def _poll(plan: QueuePlan) -> None:
    client, handler, template = Client(plan.url, "sqs", "application/x-amz-json-1.0"), Handler(plan), _template()
    receives, deletes, asked = msgspec.json.Decoder(Received), msgspec.json.Decoder(Deleted), receiving(plan.queue_url)

    async def work(messages: list[Message]) -> None:
        await handler.handle(_event(messages, template), None)
        entries = [{"Id": str(at), "ReceiptHandle": each.receipt_handle} for at, each in enumerate(messages)]
        told = client.call("AmazonSQS.DeleteMessageBatch", {"QueueUrl": plan.queue_url, "Entries": entries})
        if len(deletes.decode(told).successful) != len(entries):
            raise RuntimeError("not all were deleted")

    if plan.handlers == 1:
        while True:
            if messages := receives.decode(client.call("AmazonSQS.ReceiveMessage", asked)).messages:
                await work(messages)
    asked["WaitTimeSeconds"] = 0  # a blocking poll would hold the handlers up
    working: set[asyncio.Task[None]] = set()
    while True:
        if messages := receives.decode(client.call("AmazonSQS.ReceiveMessage", asked)).messages:
            working.add(asyncio.create_task(work(messages)))
        await asyncio.sleep(0 if messages else 0.001)
        while len(working) == plan.handlers or any(task.done() for task in working):
            _, working = await asyncio.wait(working, return_when="FIRST_COMPLETED")


def _event(messages: list[Message], template: dict[str, Any]) -> dict[str, Any]:
    items = []
    for message in messages:
        item = template.copy()
        item["messageId"] = message.message_id
        item["receiptHandle"] = message.receipt_handle
        item["body"] = message.body
        item["attributes"] = message.attributes
        item["messageAttributes"] = {}
        item["md5OfBody"] = message.md5_of_body
        items.append(item)
    return {"Records": items}


def _template() -> dict[str, Any]:
    named = ["messageId", "receiptHandle", "body", "attributes", "messageAttributes", "md5OfBody"]
    source = {"eventSource": "aws:sqs", "eventSourceARN": QUEUE_ARN, "awsRegion": "eu-west-1"}
    return dict.fromkeys(named) | source
