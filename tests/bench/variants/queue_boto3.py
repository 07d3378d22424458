"""Loops over boto3's `receive_message` and `delete_message_batch`: a thread for each handler. They never retry."""

from __future__ import annotations

import threading
import time
from typing import Any

import boto3
from botocore.config import Config

from tests.bench.queue_client import QueuePlan
from tests.bench.variants.queue_events import deletions, of_sdk_messages, receiving

__all__ = ["run"]


def run(plan: QueuePlan) -> None:
    """Polls until it is ended."""
    client = boto3.client(
        "sqs",
        endpoint_url=plan.url,
        region_name="eu-west-1",
        aws_access_key_id="bench",
        aws_secret_access_key="bench",
        config=Config(parameter_validation=False, max_pool_connections=plan.handlers),
    )
    threads = [threading.Thread(target=_poll, args=(client, plan), daemon=True) for _ in range(plan.handlers - 1)]
    for thread in threads:
        thread.start()
    _poll(client, plan)


def _poll(client: Any, plan: QueuePlan) -> None:
    asked = receiving(plan.queue_url)
    while True:
        messages = client.receive_message(**asked).get("Messages", [])
        if messages:
            _handle(of_sdk_messages(messages), plan.takes_ms / 1000)
            client.delete_message_batch(QueueUrl=plan.queue_url, Entries=deletions(messages))


def _handle(event: dict[str, Any], seconds: float) -> None:
    """The handler, as a thread has it."""
    if seconds and event["Records"]:
        time.sleep(seconds)
