"""A user describes what feeds which function."""

from datetime import UTC, datetime
from typing import Any, reveal_type

import esm


async def awaited(event: dict[str, Any], context: object) -> dict[str, Any]:
    return {"batchItemFailures": [], "seen": len(event["Records"]), "by": repr(context)}


def threaded(event: dict[str, Any], _context: object) -> None:
    reveal_type(event)  # R: dict[str, Any]


mapping = esm.EventSourceMapping(
    event_source_arn="arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
    function=awaited,
    starting_position="AT_TIMESTAMP",
    starting_position_timestamp=datetime(2026, 1, 1, tzinfo=UTC),
    batch_size=100,
    maximum_batching_window_in_seconds=5,
    parallelization_factor=2,
    maximum_record_age_in_seconds=3600,
    maximum_retry_attempts=3,
    bisect_batch_on_function_error=True,
    function_response_types=["ReportBatchItemFailures"],
    filter_criteria=[{"data": {"kind": ["order"]}}, '{"data": {"kind": ["refund"]}}'],
    destination_config="arn:aws:sqs:eu-west-1:123456789012:failed",
    scaling_config={"MaximumConcurrency": 8},
    enabled=True,
    uuid=None,
)
reveal_type(mapping)  # R: esm.mapping.settings.EventSourceMapping
reveal_type(mapping.batch_size)  # R: int
reveal_type(mapping.function)  # R: esm.mapping.function.Function
reveal_type(mapping.uuid)  # R: str
reveal_type(mapping.to_api())  # R: dict[str, Any]
reveal_type(esm.EventSourceMapping.from_api({}, function=threaded))  # R: esm.mapping.settings.EventSourceMapping

function = esm.Function(
    threaded, name="orders", timeout=3.0, isolation="process", memory_size=256, environment={"A": "1"}
)
reveal_type(function.reserved_concurrency)  # R: int | None

esm.EventSourceMapping(event_source_arn="arn:aws:sqs:eu-west-1:123456789012:q", function="pkg.mod:func")
esm.EventSourceMapping(function=awaited)  # E: call-arg
esm.EventSourceMapping(event_source_arn=b"arn", function=awaited)  # E: arg-type
esm.EventSourceMapping(event_source_arn="arn", function=awaited, starting_position="trim_horizon")  # E: arg-type
esm.EventSourceMapping(event_source_arn="arn", function=awaited, batchsize=10)  # E: call-arg
esm.Function(threaded, isolation="fork")  # E: arg-type
mapping.batch_size = 10  # E: misc

try:
    esm.EventSourceMapping(event_source_arn="orders", function=awaited)
except esm.MappingError as refused:
    reveal_type(refused.code)  # R: str
    reveal_type(refused.field)  # R: str | None
    caught: esm.EsmError = refused
