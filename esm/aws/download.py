"""Objects of S3 into files, as large as they may be."""

from __future__ import annotations

import os
from pathlib import Path

from aiobotocore.client import AioBaseClient

from esm.aws.ask import with_client
from esm.aws.session import AwsSession

__all__ = ["download_object"]

TIMEOUT_S = 3600.0
"""For one whole object; a read that brings nothing is given up long before, by the SDK (chosen)."""

CHUNK_BYTES = 1 << 20


async def download_object(session: AwsSession, bucket: str, key: str, target: Path) -> None:
    """Writes the object into `target`, a new file. Raises `SourceError`, and `OSError` when the disk is full."""

    async def read(s3: AioBaseClient) -> None:
        answer = await s3.get_object(Bucket=bucket, Key=key)
        async with answer["Body"] as body:
            file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "wb") as into:
                while chunk := await body.read(CHUNK_BYTES):
                    into.write(chunk)

    await with_client(session, "s3", None, read, timeout_s=TIMEOUT_S)
