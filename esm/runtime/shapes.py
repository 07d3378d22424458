"""How the records of a mapping's source stand in an event, when the source itself is not there to say."""

from __future__ import annotations

from esm.mapping.settings import EventSourceMapping
from esm.records.dynamodb import DynamoDBEventShape
from esm.records.kinesis import KinesisEventShape
from esm.records.record import EventShape, StreamEventShape
from esm.records.sqs import SqsEventShape
from esm.runtime.real import role_arn

__all__ = ["shape_of", "stream_shape_of"]


def shape_of(mapping: EventSourceMapping, shard_id: str = "shardId-000000000000") -> EventShape:
    """The shape of a mapping's events. `shard_id`: of Kinesis, which shard's."""
    if mapping.source_kind != "sqs":
        return stream_shape_of(mapping, shard_id)
    windowed = mapping.maximum_batching_window_in_seconds > 0
    return SqsEventShape(event_source_arn=mapping.event_source_arn, region=mapping.arn.region, windowed=windowed)


def stream_shape_of(mapping: EventSourceMapping, shard_id: str) -> StreamEventShape:
    """The same where it is known that the source is a stream."""
    arn, region = mapping.event_source_arn, mapping.arn.region
    if mapping.source_kind == "dynamodb":
        return DynamoDBEventShape(event_source_arn=arn, region=region)
    return KinesisEventShape(shard_id=shard_id, event_source_arn=arn, region=region, role_arn=role_arn(mapping))
