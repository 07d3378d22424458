"""Streams with records, on a local AWS."""

from __future__ import annotations

import itertools
from typing import Any

import boto3

__all__ = ["REGION", "Stream"]

REGION = "eu-west-1"
_NAMES = itertools.count(1)


class Stream:
    """A new stream of an account of its own."""

    def __init__(self, url: str, account: str, *, shards: int = 1) -> None:
        self.url = url
        self.account = account
        self.name = f"orders-{account}-{next(_NAMES)}"
        self.client: Any = boto3.client(
            "kinesis",
            region_name=REGION,
            endpoint_url=url,
            aws_access_key_id=account,
            aws_secret_access_key="secret",
        )
        self.client.create_stream(StreamName=self.name, ShardCount=shards)
        self.client.get_waiter("stream_exists").wait(StreamName=self.name, WaiterConfig={"Delay": 1})
        self.arn: str = self.client.describe_stream_summary(StreamName=self.name)["StreamDescriptionSummary"][
            "StreamARN"
        ]

    def put(self, *values: str, key: str = "a") -> list[str]:
        """Puts records; gives their sequence numbers."""
        entries = [{"Data": value.encode(), "PartitionKey": key} for value in values]
        answer = self.client.put_records(StreamName=self.name, Records=entries)
        return [record["SequenceNumber"] for record in answer["Records"]]

    def close(self) -> None:
        self.client.close()
