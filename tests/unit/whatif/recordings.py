"""Recordings made for a test."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any

__all__ = ["STREAM", "changes", "kinesis", "messages"]

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
BEGAN = 1_767_607_200.0


def kinesis(path: Path, records: int, *, a_second: float = 100.0, shards: int = 2, keys: int = 20) -> str:
    """So many small records, evenly over time, shards and keys."""
    lines = [
        {
            "shard_id": f"shardId-{number % shards:012}",
            "sequence_number": str(10**20 + number),
            "partition_key": f"key-{number % keys}",
            "approximate_arrival_timestamp": BEGAN + round(number / a_second, 3),
            "data": b64encode(b'{"number":%d}' % number).decode(),
        }
        for number in range(records)
    ]
    return _written(path, "kinesis", STREAM, lines)


def changes(path: Path, records: int) -> str:
    """Changes of items under a key of two attributes, the last of them a deletion."""
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
    lines = [
        {
            "shard_id": "shardId-00000001767606000000-abcdef01",
            "sequence_number": str(10**20 + number),
            "keys": {"id": {"S": str(number % 3)}, "at": {"N": str(number % 2)}},
            "approximate_creation_date_time": BEGAN + number,
            "event_name": "REMOVE" if number == records - 1 else "MODIFY",
        }
        | ({} if number == records - 1 else {"new_image": {"id": {"S": str(number % 3)}, "n": {"N": str(number)}}})
        for number in range(records)
    ]
    return _written(path, "dynamodb", arn, lines)


def messages(path: Path, records: int, *, fifo: bool = False) -> str:
    """Messages, ten a second."""
    arn = f"arn:aws:sqs:eu-west-1:123456789012:orders{'.fifo' if fifo else ''}"
    group = {"MessageGroupId": "one"} if fifo else {}
    lines = [
        {
            "message_id": f"id-{number}",
            "receipt_handle": "",
            "body": f"message {number}",
            "attributes": {"SentTimestamp": str(int(BEGAN * 1000) + number * 100), **group},
        }
        for number in range(records)
    ]
    return _written(path, "sqs", arn, lines)


def _written(path: Path, kind: str, source: str, lines: list[dict[str, Any]]) -> str:
    head = {"esm_recording": 1, "kind": kind, "source": source, "id": "made for a test"}
    path.write_text("".join(json.dumps(line) + "\n" for line in (head, *lines)))
    return str(path)
