"""One poller of a queue in a process of its own, for as long as it is let: what it does is measured from outside."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

__all__ = ["DELAYS", "QUEUE_VARIANTS", "Handler", "QueuePlan"]

DELAYS = "delays"

QUEUE_VARIANTS = {
    "floor": "tests.bench.variants.queue_floor:run",
    "esm": "tests.bench.variants.queue_esm:run",
    "esm, uvloop": "tests.bench.variants.queue_esm:run_on_uvloop",
    "boto3": "tests.bench.variants.queue_boto3:run",
    "aiobotocore": "tests.bench.variants.queue_aiobotocore:run",
    "sqs-consumer": "tests.bench.variants.node:run_sqs_consumer",
    "localstack": "tests.bench.variants.queue_localstack:run",
}


@dataclass(frozen=True)
class QueuePlan:
    """What one process does. `handlers`: how many may be in flight; `takes_ms`: how long each waits, 0: not at all.

    `url`: of the server; `queue_url`: of the queue. `folder`: for files. `timed`: the bodies say when they were sent,
    and how long ago that was is written to `delays` in the folder, in milliseconds. `queues`: how many are polled.
    """

    url: str
    queue_url: str
    handlers: int
    takes_ms: int
    folder: str
    timed: bool = False
    queues: int = 1


class Handler:
    """The function: does nothing, or waits."""

    def __init__(self, plan: QueuePlan) -> None:
        self._seconds = plan.takes_ms / 1000
        self._delays: IO[str] | None = None
        if plan.timed:
            self._delays = Path(plan.folder, DELAYS).open("a", buffering=1)  # noqa: SIM115  # as long as the process

    async def handle(self, event: dict[str, Any], _context: Any) -> None:
        """As Lambda's."""
        if self._delays is not None:
            now = time.monotonic_ns()
            self._delays.writelines(f"{(now - int(record['body'])) / 1e6}\n" for record in event["Records"])
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
