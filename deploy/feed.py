"""Makes the stream `orders` on the local AWS of compose.yaml, and puts a record on it every second."""

# ruff: noqa: INP001  # a script on its own
from __future__ import annotations

import itertools
import time
from pathlib import Path

import boto3

READY = Path("/tmp/ready")  # noqa: S108  # in a container of its own

kinesis = boto3.client("kinesis")
if "orders" not in kinesis.list_streams()["StreamNames"]:
    kinesis.create_stream(StreamName="orders", ShardCount=1)
kinesis.get_waiter("stream_exists").wait(StreamName="orders")
READY.touch()
for number in itertools.count():
    kinesis.put_record(StreamName="orders", Data=f"order {number}".encode(), PartitionKey=str(number % 10))
    time.sleep(1)
