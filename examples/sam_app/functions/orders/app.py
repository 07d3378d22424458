"""Takes orders off the stream. An order without a drink cannot be taken, and is given up after its retries."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.kinesis_stream_event import KinesisStreamRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
processor = BatchProcessor(event_type=EventType.KinesisDataStreams)


def take(record: KinesisStreamRecord) -> None:
    """One order."""
    order = record.kinesis.data_as_json()
    logger.info("order", drink=order["drink"], table=record.kinesis.partition_key)


@logger.inject_lambda_context
def handle(event: dict[str, Any], context: LambdaContext) -> Any:
    """The batch, and which of its records failed."""
    return process_partial_response(event=event, record_handler=take, processor=processor, context=context)
