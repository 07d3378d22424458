"""Failure records to an S3 bucket: one object each, with the discarded event.

https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
"""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5

from esm.aws.failures import put_object
from esm.aws.session import AwsSession
from esm.destinations.destination import FailureRecord
from esm.errors import DestinationError
from esm.records.failure import json_text, s3_document, s3_object_key

__all__ = ["S3Destination"]

_CONTENT_TYPE = "application/octet-stream"  # (observed)


class S3Destination:
    """A bucket, named by ARN. It needs `s3:PutObject`."""

    def __init__(self, session: AwsSession, bucket_arn: str) -> None:
        self._session = session
        self._bucket = bucket_arn.rpartition(":")[2]

    async def send(self, record: FailureRecord) -> None:
        """Stores the document with its payload. Raises `DestinationError`.

        The object's name ends in a UUID made of the document, not a random one: a record sent again, because its
        answer was lost, takes the place of the first and is no second object. (chosen)
        """
        unique = str(uuid5(NAMESPACE_OID, json_text(record.document).decode()))
        try:
            key = s3_object_key(record.mapping, record.shard_id, record.at, unique)
        except ValueError as error:
            raise DestinationError("InvalidObjectName", str(error)) from None
        body = json_text(s3_document(record.document, record.event))
        await put_object(self._session, self._bucket, key, body, _CONTENT_TYPE)

    async def close(self) -> None:
        """Nothing is held: the session belongs to the worker."""
