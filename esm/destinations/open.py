"""A destination by its ARN or URL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from esm.aws.session import AwsSession
from esm.destinations.destination import Destination
from esm.destinations.file import FileDestination
from esm.destinations.s3 import S3Destination
from esm.destinations.sns import SnsDestination
from esm.destinations.sqs import SqsDestination
from esm.errors import MappingError

__all__ = ["open_destination"]

_FIELD = "destination_config"
_KINDS: dict[str, Callable[[AwsSession, str], Destination]] = {
    "sqs": SqsDestination,
    "sns": SnsDestination,
    "s3": S3Destination,
}


async def open_destination(text: str, session: AwsSession) -> Destination:
    """The destination that `text` names: the ARN of a queue, topic or bucket, or `file:///path`.

    Only a file is touched. Raises `MappingError` for any other text, and for a file whose folder is not there;
    `DestinationError` for a file that cannot be written.
    """
    if text.startswith("file:"):
        return await _open_file(text)
    parts = text.split(":", 5)
    kind = _KINDS.get(parts[2]) if len(parts) == 6 and parts[0] == "arn" and parts[5] else None  # noqa: PLR2004  # of an ARN
    if kind is None:
        raise MappingError(f"{text!r} names no SQS queue, SNS topic, S3 bucket or file", field=_FIELD, value=text)
    return kind(session, text)


async def _open_file(url: str) -> FileDestination:
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.netloc or not path.is_absolute() or path.name == "":
        raise MappingError(f"{url!r} is not file:///path", field=_FIELD, value=url)
    if not path.parent.is_dir():
        raise MappingError(f"the folder of {url!r} does not exist", field=_FIELD, value=url)
    destination = FileDestination(path)
    await destination.open()
    return destination
