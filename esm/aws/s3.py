"""The calls on S3 that reading and striking off objects take."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from aiobotocore.client import AioBaseClient

from esm.aws.ask import ask, with_client
from esm.aws.session import AwsSession
from esm.errors import SourceError

__all__ = ["delete_object", "list_keys", "read_object"]

READ_TIMEOUT_S = 60.0
"""For one whole object (chosen)."""


async def list_keys(session: AwsSession, bucket: str, prefix: str) -> AsyncIterator[str]:
    """The names of all objects that begin with `prefix`, in the order of their names. Raises `SourceError`."""
    place: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
    while True:
        page = await ask(session, "s3", None, "list_objects_v2", **place)
        for found in page.get("Contents", ()):
            yield found["Key"]
        if not page.get("IsTruncated"):
            return
        place["ContinuationToken"] = page["NextContinuationToken"]


async def read_object(session: AwsSession, bucket: str, key: str, *, limit: int) -> bytes:
    """The whole of an object. Raises `SourceError`, also when it has more than `limit` bytes."""

    async def read(s3: AioBaseClient) -> bytes:
        answer = await s3.get_object(Bucket=bucket, Key=key)
        async with answer["Body"] as body:
            if answer["ContentLength"] > limit:
                raise SourceError("EntityTooLarge", f"the object has more than {limit} bytes")
            content: bytes = await body.read()
            return content

    return await with_client(session, "s3", None, read, timeout_s=READ_TIMEOUT_S)


async def delete_object(session: AwsSession, bucket: str, key: str) -> None:
    """Deletes an object; one that is not there is deleted already. Raises `SourceError`."""
    await ask(session, "s3", None, "delete_object", Bucket=bucket, Key=key)
