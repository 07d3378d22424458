"""Watches the stock: what runs out is to be bought."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.dynamo_db_stream_event import DynamoDBRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
processor = BatchProcessor(event_type=EventType.DynamoDBStreams)


def watch(record: DynamoDBRecord) -> None:
    """One change."""
    image = record.dynamodb.new_image if record.dynamodb else None
    if image:
        logger.info("stock", item=image["id"], left=int(image["left"]))


@logger.inject_lambda_context
def handle(event: dict[str, Any], context: LambdaContext) -> Any:
    """The batch, and which of its records failed."""
    return process_partial_response(event=event, record_handler=watch, processor=processor, context=context)
