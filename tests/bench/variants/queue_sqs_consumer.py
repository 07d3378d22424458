"""`sqs-consumer` on Node: this process becomes that one, so that it is pinned and measured as the others are."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

from tests.bench.peers import SQS_CONSUMER
from tests.bench.queue_client import QueuePlan

__all__ = ["run"]


def run(plan: QueuePlan) -> None:
    """Polls until it is ended."""
    node = shutil.which("node") or "node"
    program = Path(__file__).with_name("queue_sqs_consumer.cjs")
    told = asdict(plan) | {"modules": str(SQS_CONSUMER / "node_modules")}
    os.execv(node, [node, str(program), json.dumps(told)])  # noqa: S606  # no shell is wanted
