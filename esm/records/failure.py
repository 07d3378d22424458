"""The record of a discarded range, as AWS sends it to an on-failure destination of a stream.

https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from esm.clock import Millis

__all__ = ["failure_document", "json_text", "s3_document", "s3_object_key", "seconds_text"]

_AGE_EXCEEDED = "RecordAgeExceeded"
_LAST = 253_402_300_799_999  # the end of the year 9999, the last that has four digits
_NAME = re.compile(r"(?!.*\.\.)[A-Za-z0-9_.-]{1,128}")


def failure_document(
    *,
    request_id: str,
    function_arn: str,
    condition: str,
    invoke_count: int,
    answered: bool,
    function_error: str | None,
    executed_version: str,
    at: Millis,
    shard_id: str,
    stream_arn: str,
    first: tuple[str, Millis] | None,
    last: tuple[str, Millis] | None,
    batch_size: int,
    time_window_info: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """AWS's invocation record, a JSON value in AWS's order of keys, without `payload`.

    `first`, `last`: sequence number and arrival of the range's ends; `None` for a tumbling window's final call, whose
    batch is empty: then only shard and stream are named. `answered`: whether the function was reached at the last
    invoke; `function_error`: `Unhandled`, or `None` when the failure was in what it returned. `time_window_info`: as
    AWS's, with tumbling windows only. Times are whole seconds for a DynamoDB stream, else milliseconds.
    """
    document: dict[str, Any] = {
        "requestContext": {
            "requestId": request_id,
            "functionArn": function_arn,
            "condition": condition,
            "approximateInvokeCount": max(1, invoke_count),  # 1 also for a range never tried (observed)
        },
    }
    if answered and condition != _AGE_EXCEEDED:
        document["responseContext"] = {
            "statusCode": 200,
            "executedVersion": executed_version,
            "functionError": function_error,
        }
    document["version"] = "1.0"
    document["timestamp"] = _milliseconds(at)
    is_table = stream_arn.split(":", 3)[2:3] == ["dynamodb"]
    info: dict[str, Any] = {"shardId": shard_id}
    if first is not None and last is not None:
        info |= _range(first, last, batch_size, seconds_text if is_table else _milliseconds)
    info["streamArn"] = stream_arn
    document["DDBStreamBatchInfo" if is_table else "KinesisBatchInfo"] = info
    if time_window_info is not None:
        document["timeWindowInfo"] = time_window_info
    return document


def s3_document(document: dict[str, Any], event: dict[str, Any]) -> dict[str, Any]:
    """What an S3 destination stores: the document with `payload`, the event as JSON text.

    It stands before `timestamp`. (observed)
    """
    stored: dict[str, Any] = {}
    for name, value in document.items():
        if name == "timestamp":
            stored["payload"] = json_text(event).decode()
        stored[name] = value
    return stored


def s3_object_key(mapping_uuid: str, shard_id: str, at: Millis, unique: str) -> str:
    """`aws/lambda/<uuid>/<shard id>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<unique>`, in UTC.

    Raises `ValueError` for a name with anything but 1 to 128 letters, digits, `_`, `-` and single `.`.
    """
    for name in (mapping_uuid, shard_id, unique):
        if _NAME.fullmatch(name) is None:
            msg = f"{name[:128]!r} cannot be part of an object's name"
            raise ValueError(msg)
    moment = _moment(at)
    return f"aws/lambda/{mapping_uuid}/{shard_id}/{moment:%Y/%m/%d}/{moment:%Y-%m-%dT%H.%M.%S}-{unique}"


def json_text(value: dict[str, Any]) -> bytes:
    """The JSON text of a document or an event, as UTF-8, without spaces."""
    return msgspec.json.encode(value)


def seconds_text(at: Millis) -> str:
    """`2026-01-05T10:00:07Z`: the second that `at` is in."""
    return f"{_moment(at):%Y-%m-%dT%H:%M:%S}Z"


def _range(
    first: tuple[str, Millis],
    last: tuple[str, Millis],
    batch_size: int,
    stamp: Callable[[Millis], str],
) -> dict[str, Any]:
    return {
        "startSequenceNumber": first[0],
        "endSequenceNumber": last[0],
        "approximateArrivalOfFirstRecord": stamp(first[1]),
        "approximateArrivalOfLastRecord": stamp(last[1]),
        "batchSize": batch_size,
    }


def _moment(at: Millis) -> datetime:
    """The second that `at` is in; for a time that no calendar has, the nearest that one has."""
    return datetime.fromtimestamp(_within(at) // 1000, UTC)


def _within(at: Millis) -> Millis:
    return min(max(at, 0), _LAST)


def _milliseconds(at: Millis) -> str:
    return f"{_moment(at):%Y-%m-%dT%H:%M:%S}.{_within(at) % 1000:03}Z"
