"""Documents in an S3 bucket: one object each, as Lambda stores them under `aws/lambda/`."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from esm.aws.s3 import delete_object, list_keys, read_object
from esm.aws.session import AwsSession
from esm.redriving.box import Document

__all__ = ["BucketBox"]

OBJECT_BYTES_MAX = 64 * 1024 * 1024
"""An event of 6 MB, as JSON text within JSON text, is far below it; another object is not read whole. (chosen)"""


class BucketBox:
    """A bucket, or the objects in it whose names begin with `prefix`."""

    def __init__(self, session: AwsSession, bucket: str, prefix: str) -> None:
        self._session, self._bucket, self._prefix = session, bucket, prefix

    async def documents(self) -> AsyncGenerator[Document, None]:
        """Each object, by name: those of one shard come in the order of their times."""
        async for key in list_keys(self._session, self._bucket, self._prefix):
            text = await read_object(self._session, self._bucket, key, limit=OBJECT_BYTES_MAX)
            yield Document(f"s3://{self._bucket}/{key}", text, key)

    async def done(self, document: Document) -> None:
        """Deletes the object."""
        await delete_object(self._session, self._bucket, document.handle)

    async def close(self) -> None:
        """Nothing is held."""
