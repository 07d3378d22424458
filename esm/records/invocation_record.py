"""Reads what an on-failure destination was sent: AWS's invocation record, as Lambda and esm write it.

It names a range of one shard. In S3, and in a file, it carries the event as well.
https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from esm.arn import Arn
from esm.records.position import SequenceNumber

__all__ = ["FailedRange", "UnreadableDocumentError", "read_document"]

_INFOS = {"KinesisBatchInfo": "kinesis", "DDBStreamBatchInfo": "dynamodb"}


class UnreadableDocumentError(ValueError):
    """A text is no invocation record of a stream; the message says what it lacks or what it is instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRange:
    """What an invocation record says.

    `first`, `last`: sequence numbers, both part of the range; `None` for the final call of a tumbling window, which has
    no records. `records`: how many the batch had. `event`: what the function was called with; `None` where the
    destination was not given it. `windowed`: the batch was of a tumbling window, whose state no document holds unless
    the event does.
    """

    source_kind: str
    stream_arn: str
    shard_id: str
    first: SequenceNumber | None
    last: SequenceNumber | None
    records: int
    condition: str
    request_id: str
    function_arn: str
    event: dict[str, Any] | None = None
    windowed: bool = False


def read_document(text: str | bytes) -> FailedRange:
    """The range that a document names: a message's body, an SNS notification around one, an object of S3, a line.

    A key whose value is null counts as absent: what copies such documents may write all keys that there are.

    Raises `UnreadableDocumentError`.
    """
    document = _object(text, "it")
    if document.get("Type") == "Notification" and isinstance(document.get("Message"), str):
        # https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html
        document = _object(document["Message"], "the notification's Message")
    name = next((name for name in _INFOS if document.get(name) is not None), None)
    if name is None:
        raise UnreadableDocumentError(_instead(document))
    info = document[name]
    if not isinstance(info, dict):
        raise UnreadableDocumentError(f"{name} is no object")
    context = document.get("requestContext")
    context = context if isinstance(context, dict) else {}
    windowed = document.get("timeWindowInfo") is not None
    first, last = _range(info, name, windowed=windowed)
    return FailedRange(
        source_kind=_INFOS[name],
        stream_arn=_stream(info, name),
        shard_id=_shard(info, name),
        first=first,
        last=last,
        records=_count(info, name) if first is not None else 0,
        condition=str(context.get("condition", "")),
        request_id=str(context.get("requestId", "")),
        function_arn=str(context.get("functionArn", "")),
        event=_event(document),
        windowed=windowed,
    )


def _range(info: dict[str, Any], name: str, *, windowed: bool) -> tuple[SequenceNumber | None, SequenceNumber | None]:
    """First and last; both `None` for the final call of a window, and for nothing else."""
    if windowed and info.get("startSequenceNumber") is None and info.get("endSequenceNumber") is None:
        return None, None
    first, last = (_number(info, key, name) for key in ("startSequenceNumber", "endSequenceNumber"))
    if int(first) > int(last):
        raise UnreadableDocumentError(f"{name}: startSequenceNumber is above endSequenceNumber")
    return first, last


def _number(info: dict[str, Any], key: str, name: str) -> SequenceNumber:
    text = _text(info, key, name)
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS_MAX:
        raise UnreadableDocumentError(f"{name}.{key} is no sequence number")
    return text


_DIGITS_MAX = 128
"""https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Record.html: 56 digits; a local server has fewer."""


def _stream(info: dict[str, Any], name: str) -> str:
    text = _text(info, "streamArn", name)
    try:
        kind = Arn.parse(text).source_kind
    except ValueError:
        kind = None
    if kind != _INFOS[name]:
        raise UnreadableDocumentError(f"{name}.streamArn is not the ARN of such a stream")
    return text


def _shard(info: dict[str, Any], name: str) -> str:
    text = _text(info, "shardId", name)
    if _SHARD.fullmatch(text) is None:
        raise UnreadableDocumentError(f"{name}.shardId is no shard's name")
    return text


_SHARD = re.compile(r"[a-zA-Z0-9_.-]{1,128}")
"""https://docs.aws.amazon.com/kinesis/latest/APIReference/API_GetShardIterator.html"""


def _text(info: dict[str, Any], key: str, name: str) -> str:
    value = info.get(key)
    if not isinstance(value, str) or not value:
        raise UnreadableDocumentError(f"{name}.{key} is missing")
    return value


def _count(info: dict[str, Any], name: str) -> int:
    value = info.get("batchSize")
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UnreadableDocumentError(f"{name}.batchSize is missing")
    return value


def _event(document: dict[str, Any]) -> dict[str, Any] | None:
    """`payload`, a JSON text within the document's."""
    payload = document.get("payload")
    if payload is None:
        return None
    if not isinstance(payload, str):
        raise UnreadableDocumentError("payload is no text")
    event = _object(payload, "payload")
    if not isinstance(event.get("Records"), list) or not all(isinstance(item, dict) for item in event["Records"]):
        raise UnreadableDocumentError("payload holds no Records")
    return event


def _object(text: str | bytes, what: str) -> dict[str, Any]:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise UnreadableDocumentError(f"{what} is no JSON text") from None
    if not isinstance(value, dict):
        raise UnreadableDocumentError(f"{what} is no JSON object")
    return value


def _instead(document: dict[str, Any]) -> str:
    """What else it may be: people point at the wrong queue."""
    if "requestPayload" in document:
        return "it is of an asynchronous invocation, not of a stream"
    if "Records" in document:
        return "it is an event, or a notification of S3, not an invocation record"
    return "it has neither KinesisBatchInfo nor DDBStreamBatchInfo"
