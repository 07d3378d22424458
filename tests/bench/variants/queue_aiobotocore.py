"""Loops over aiobotocore's `receive_message` and `delete_message_batch`: one for each handler. They never retry."""

from __future__ import annotations

import asyncio
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from tests.bench.queue_client import Handler, QueuePlan
from tests.bench.variants.queue_events import deletions, of_sdk_messages, receiving

__all__ = ["run"]


def run(plan: QueuePlan) -> None:
    """Polls until it is ended."""
    asyncio.run(_poll_all(plan))


async def _poll_all(plan: QueuePlan) -> None:
    async with get_session().create_client(
        "sqs",
        endpoint_url=plan.url,
        region_name="eu-west-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
        config=AioConfig(parameter_validation=False, max_pool_connections=2 * plan.handlers),
    ) as client:
        handler = Handler(plan)
        await asyncio.gather(*(_poll(client, handler, plan) for _ in range(plan.handlers)))


async def _poll(client: Any, handler: Handler, plan: QueuePlan) -> None:
    asked = receiving(plan.queue_url)
    while True:
        messages = (await client.receive_message(**asked)).get("Messages", [])
        if messages:
            await handler.handle(of_sdk_messages(messages), None)
            await client.delete_message_batch(QueueUrl=plan.queue_url, Entries=deletions(messages))
