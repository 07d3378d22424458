"""Loops over aiobotocore's `get_records`, one shard, no pause. They store no position and never retry."""

from __future__ import annotations

import asyncio
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from esm.cli.memory import keep_large_blocks, spare_the_collector
from tests.bench.meter import Meter, Plan
from tests.bench.variants.events import of_sdk_changes, of_sdk_records

__all__ = ["poll", "run", "run_frozen"]

SHARD = "shardId-000000000000"


def run(plan: Plan, meter: Meter) -> None:
    """Polls until there is enough."""
    asyncio.run(poll(plan, meter))


def run_frozen(plan: Plan, meter: Meter) -> None:
    """The same when all that was imported is no matter of the garbage collector's any more."""
    asyncio.run(poll(plan, meter, freeze=True))


async def poll(plan: Plan, meter: Meter, *, freeze: bool = False) -> None:
    """Polls until there is enough."""
    async with get_session().create_client(
        "kinesis" if plan.source == "kinesis" else "dynamodbstreams",
        endpoint_url=plan.url,
        region_name="eu-west-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
        config=AioConfig(parameter_validation=False),
    ) as client:
        if freeze:
            keep_large_blocks()
            spare_the_collector()
        await (_poll_stream if plan.source == "kinesis" else _poll_table)(client, plan, meter)


async def _poll_stream(client: Any, plan: Plan, meter: Meter) -> None:
    iterator = await client.get_shard_iterator(StreamARN=plan.arn, ShardId=SHARD, ShardIteratorType="TRIM_HORIZON")
    token = iterator["ShardIterator"]
    while not meter.lap(at_rest=True):
        answer = await client.get_records(ShardIterator=token, Limit=10_000, StreamARN=plan.arn)
        token = answer["NextShardIterator"]
        records = answer["Records"]
        for start in range(0, len(records), plan.batch_size):
            await meter.handle(of_sdk_records(records[start : start + plan.batch_size], SHARD, plan.arn), None)


async def _poll_table(client: Any, plan: Plan, meter: Meter) -> None:
    await client.describe_stream(StreamArn=plan.arn)
    iterator = await client.get_shard_iterator(StreamArn=plan.arn, ShardId=SHARD, ShardIteratorType="TRIM_HORIZON")
    token = iterator["ShardIterator"]
    while not meter.lap(at_rest=True):
        answer = await client.get_records(ShardIterator=token, Limit=1000)
        token = answer["NextShardIterator"]
        records = answer["Records"]
        for start in range(0, len(records), plan.batch_size):
            await meter.handle(of_sdk_changes(records[start : start + plan.batch_size], plan.arn), None)
