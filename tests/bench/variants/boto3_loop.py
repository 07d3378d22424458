"""A loop over boto3's `get_records`, one shard, no pause. It stores no position and never retries."""

from __future__ import annotations

import boto3
from botocore.config import Config

from tests.bench.meter import Meter, Plan
from tests.bench.variants.events import of_sdk_records
from tests.bench.workloads import BATCH_SIZE

__all__ = ["run"]

SHARD = "shardId-000000000000"


def run(plan: Plan, meter: Meter) -> None:
    """Polls until there is enough."""
    client = boto3.client(
        "kinesis",
        endpoint_url=plan.url,
        region_name="eu-west-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
        config=Config(parameter_validation=False),
    )
    iterator = client.get_shard_iterator(StreamARN=plan.arn, ShardId=SHARD, ShardIteratorType="TRIM_HORIZON")
    token = iterator["ShardIterator"]
    while not meter.lap(at_rest=True):
        answer = client.get_records(ShardIterator=token, Limit=10_000, StreamARN=plan.arn)
        token = answer["NextShardIterator"]
        records = answer["Records"]
        for start in range(0, len(records), BATCH_SIZE):
            meter.handle_now(of_sdk_records(records[start : start + BATCH_SIZE], SHARD, plan.arn), None)
