"""Writes bills that were asked for."""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.batch import BatchProcessor, EventType, process_partial_response
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
processor = BatchProcessor(event_type=EventType.SQS)


def write(record: SQSRecord) -> None:
    """One bill."""
    logger.info("bill", table=record.json_body["table"])


@logger.inject_lambda_context
def handle(event: dict[str, Any], context: LambdaContext) -> Any:
    """The batch, and which of its messages failed."""
    return process_partial_response(event=event, record_handler=write, processor=processor, context=context)
