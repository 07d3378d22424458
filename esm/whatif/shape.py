"""How recorded records stand in an event."""

from __future__ import annotations

from esm.mapping.settings import EventSourceMapping
from esm.records.dynamodb import DynamoDBEventShape
from esm.records.kinesis import KinesisEventShape
from esm.records.record import EventShape
from esm.records.sqs import SqsEventShape
from esm.runtime.real import role_arn

__all__ = ["shape_of"]


def shape_of(mapping: EventSourceMapping) -> EventShape:
    """The shape of a mapping's events; of a stream's, as if all were of one shard."""
    arn, region = mapping.event_source_arn, mapping.arn.region
    if mapping.source_kind == "dynamodb":
        return DynamoDBEventShape(event_source_arn=arn, region=region)
    if mapping.source_kind == "sqs":
        windowed = mapping.maximum_batching_window_in_seconds > 0
        return SqsEventShape(event_source_arn=arn, region=region, windowed=windowed)
    return KinesisEventShape(
        shard_id="shardId-000000000000", event_source_arn=arn, region=region, role_arn=role_arn(mapping)
    )
