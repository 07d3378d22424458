"""Documents in an S3 bucket: one object each, as Lambda stores them under `aws/lambda/`."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from esm.aws.s3 import delete_object, list_keys, read_object
from esm.aws.session import AwsSession
from esm.errors import SourceDeniedError, SourceError
from esm.redriving.box import Document

__all__ = ["BucketBox"]

OBJECT_BYTES_MAX = 64 * 1024 * 1024
"""An event of 6 MB, as JSON text within JSON text, is far below it; another object is not read whole. (chosen)"""

_GONE = "NoSuchKey"
_OF_ONE_OBJECT = frozenset({"EntityTooLarge", "InvalidObjectState"})
"""Codes that say nothing of other objects: too large, and archived.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
"""


class BucketBox:
    """A bucket, or the objects in it whose names begin with `prefix`. Those of more than `limit` bytes are not read."""

    in_groups = False

    def __init__(self, session: AwsSession, bucket: str, prefix: str, *, limit: int = OBJECT_BYTES_MAX) -> None:
        self._session, self._bucket, self._prefix, self._limit = session, bucket, prefix, limit

    async def prepare(self) -> None:
        """Nothing: whether objects may be deleted shows when one is."""

    async def documents(self) -> AsyncGenerator[Document, None]:
        """Each object, by name: those of one shard come in the order of their times."""
        async for key in list_keys(self._session, self._bucket, self._prefix):
            name, text, fault = f"s3://{self._bucket}/{key}", b"", ""
            try:
                text = await read_object(self._session, self._bucket, key, limit=self._limit)
            except SourceError as error:
                if error.code == _GONE:
                    continue  # another redrive was faster
                if error.code not in _OF_ONE_OBJECT and not isinstance(error, SourceDeniedError):
                    raise
                fault = str(error)
            yield Document(name, text, key, fault)

    async def done(self, document: Document) -> None:
        """Deletes the object."""
        await delete_object(self._session, self._bucket, document.handle)

    async def close(self) -> None:
        """Nothing is held."""
