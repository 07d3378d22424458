"""One poller of a queue in a process of its own, for as long as it is let: what it does is measured from outside."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from dataclasses import dataclass
from typing import Any

__all__ = ["QUEUE_VARIANTS", "Handler", "QueuePlan"]

QUEUE_VARIANTS = {
    "esm": "tests.bench.variants.queue_esm:run",
    "esm, uvloop": "tests.bench.variants.queue_esm:run_on_uvloop",
    "boto3": "tests.bench.variants.queue_boto3:run",
    "aiobotocore": "tests.bench.variants.queue_aiobotocore:run",
    "sqs-consumer": "tests.bench.variants.queue_sqs_consumer:run",
}


@dataclass(frozen=True)
class QueuePlan:
    """What one process does. `handlers`: how many may be in flight; `takes_ms`: how long each waits, 0: not at all.

    `url`: of the server; `queue_url`: of the queue. `folder`: for files.
    """

    url: str
    queue_url: str
    handlers: int
    takes_ms: int
    folder: str


class Handler:
    """The function: does nothing, or waits."""

    def __init__(self, plan: QueuePlan) -> None:
        self._seconds = plan.takes_ms / 1000

    async def handle(self, event: dict[str, Any], _context: Any) -> None:
        """As Lambda's."""
        if self._seconds and event["Records"]:
            await asyncio.sleep(self._seconds)


def _main() -> None:
    told = json.load(sys.stdin)
    if told["core"] is not None:
        os.sched_setaffinity(0, {told["core"]})
    module, _, name = QUEUE_VARIANTS[told["variant"]].partition(":")
    getattr(importlib.import_module(module), name)(QueuePlan(**told["plan"]))


if __name__ == "__main__":
    _main()
