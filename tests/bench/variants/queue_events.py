"""Lambda's event of messages, built as a careful user of an SDK would build it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from tests.bench.workloads import QUEUE_ARN

__all__ = ["deletions", "of_sdk_messages", "receiving"]

_SOURCE = {"eventSource": "aws:sqs", "eventSourceARN": QUEUE_ARN, "awsRegion": "eu-west-1"}


def receiving(queue_url: str) -> dict[str, Any]:
    """The parameters of a receive."""
    return {
        "QueueUrl": queue_url,
        "MaxNumberOfMessages": 10,
        "WaitTimeSeconds": 20,
        "MessageSystemAttributeNames": ["All"],
        "MessageAttributeNames": ["All"],
    }


def of_sdk_messages(messages: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """An event of what the SDK's `receive_message` gives."""
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "messageAttributes": {
                    name: _attribute(value) for name, value in message.get("MessageAttributes", {}).items()
                },
                "md5OfBody": message["MD5OfBody"],
                **_SOURCE,
            }
            for message in messages
        ]
    }


def deletions(messages: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    """The entries of a batch delete."""
    return [{"Id": message["MessageId"], "ReceiptHandle": message["ReceiptHandle"]} for message in messages]


def _attribute(value: dict[str, Any]) -> dict[str, Any]:
    item: dict[str, Any] = {"stringListValues": [], "binaryListValues": [], "dataType": value["DataType"]}
    if "StringValue" in value:
        item["stringValue"] = value["StringValue"]
    if "BinaryValue" in value:
        item["binaryValue"] = b64encode(value["BinaryValue"]).decode()
    return item
