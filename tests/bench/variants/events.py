"""Lambda's event, built as a careful user of an SDK would build it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

__all__ = ["of_sdk_changes", "of_sdk_records"]

_ITEM = {
    "eventSource": "aws:kinesis",
    "eventVersion": "1.0",
    "eventName": "aws:kinesis:record",
    "invokeIdentityArn": "arn:aws:iam::123456789012:role/bench",
    "awsRegion": "eu-west-1",
}


def of_sdk_records(records: Sequence[dict[str, Any]], shard: str, arn: str) -> dict[str, Any]:
    """An event of what the SDK's `get_records` gives: bytes and datetimes."""
    encode = base64.b64encode
    return {
        "Records": [
            {
                "kinesis": {
                    "kinesisSchemaVersion": "1.0",
                    "partitionKey": record["PartitionKey"],
                    "sequenceNumber": record["SequenceNumber"],
                    "data": encode(record["Data"]).decode(),
                    "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
                },
                **_ITEM,
                "eventID": f"{shard}:{record['SequenceNumber']}",
                "eventSourceARN": arn,
            }
            for record in records
        ]
    }


def of_sdk_changes(records: Sequence[dict[str, Any]], arn: str) -> dict[str, Any]:
    """An event of what the SDK's `get_records` of a table's stream gives, where no attribute is binary."""
    return {
        "Records": [
            {
                **record,
                "dynamodb": record["dynamodb"]
                | {"ApproximateCreationDateTime": record["dynamodb"]["ApproximateCreationDateTime"].timestamp()},
                "eventSourceARN": arn,
            }
            for record in records
        ]
    }
