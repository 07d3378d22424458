"""Where failure records go: one call each to SQS, SNS and S3.

Each returns when the service has what it was given, and raises `DestinationError` with the service's code when not.
Tried once; the caller tries again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiobotocore.client import AioBaseClient

from esm.arn import Arn
from esm.aws.ask import with_client
from esm.aws.session import AwsSession
from esm.errors import DestinationError, SourceError

__all__ = ["publish", "put_object", "send_message"]

TIMEOUT_SECONDS = 30.0
"""For the whole of one delivery: an event of 6 MB goes to S3 in that time at 200 KB/s. (chosen)"""


async def send_message(session: AwsSession, queue_arn: str, body: str) -> None:
    """Puts a message on an SQS queue. `body`: text."""
    arn = Arn.parse(queue_arn)

    async def send(sqs: AioBaseClient) -> None:
        # Composed, because the execution role need not have sqs:GetQueueUrl.
        url = f"{sqs.meta.endpoint_url.rstrip('/')}/{arn.account}/{arn.resource}"
        await sqs.send_message(QueueUrl=url, MessageBody=body)

    await _deliver(session, "sqs", arn.region, send)


async def publish(session: AwsSession, topic_arn: str, message: str) -> None:
    """Publishes a message to an SNS topic. `message`: text."""

    async def send(sns: AioBaseClient) -> None:
        await sns.publish(TopicArn=topic_arn, Message=message)

    await _deliver(session, "sns", Arn.parse(topic_arn).region, send)


async def put_object(session: AwsSession, bucket: str, key: str, body: bytes, content_type: str) -> None:
    """Stores an object in an S3 bucket of any region."""

    async def send(s3: AioBaseClient) -> None:
        await s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)

    await _deliver(session, "s3", None, send)


async def _deliver(
    session: AwsSession, service: str, region: str | None, send: Callable[[AioBaseClient], Awaitable[Any]]
) -> None:
    try:
        await with_client(session, service, region, send, timeout_s=TIMEOUT_SECONDS)
    except SourceError as error:
        raise DestinationError(error.code, error.message) from None
