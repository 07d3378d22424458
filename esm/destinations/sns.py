"""Failure records to an SNS topic: the record is the `Message`.

https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
"""

from __future__ import annotations

from esm.aws.failures import publish
from esm.aws.session import AwsSession
from esm.destinations.destination import FailureRecord
from esm.records.failure import json_text

__all__ = ["SnsDestination"]


class SnsDestination:
    """A topic, named by ARN. It needs `sns:Publish`."""

    def __init__(self, session: AwsSession, topic_arn: str) -> None:
        self._session = session
        self._topic_arn = topic_arn

    async def send(self, record: FailureRecord) -> None:
        """Sends the document, without the payload. Raises `DestinationError`."""
        await publish(self._session, self._topic_arn, json_text(record.document).decode())

    async def close(self) -> None:
        """Nothing is held: the session belongs to the worker."""
