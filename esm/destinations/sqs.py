"""Failure records to an SQS queue: the record is the message's body.

https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
"""

from __future__ import annotations

from esm.aws.failures import send_message
from esm.aws.session import AwsSession
from esm.destinations.destination import FailureRecord
from esm.records.failure import json_text

__all__ = ["SqsDestination"]


class SqsDestination:
    """A queue, named by ARN. It needs `sqs:SendMessage`."""

    def __init__(self, session: AwsSession, queue_arn: str) -> None:
        self._session = session
        self._queue_arn = queue_arn

    async def send(self, record: FailureRecord) -> None:
        """Sends the document, without the payload. Raises `DestinationError`."""
        await send_message(self._session, self._queue_arn, json_text(record.document).decode())

    async def close(self) -> None:
        """Nothing is held: the session belongs to the worker."""
