"""LocalStack's `SqsPoller`, called again and again without its pauses: one, with its client, in a thread a handler."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import boto3
from localstack.services.lambda_.event_source_mapping.event_processor import EventProcessor
from localstack.services.lambda_.event_source_mapping.pollers import sqs_poller

from tests.bench.queue_client import QueuePlan
from tests.bench.workloads import QUEUE_ARN

__all__ = ["run"]


class Handling(EventProcessor):  # type: ignore[misc]  # the package is not in this environment
    """The handler, as a thread has it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def process_events_batch(self, input_events: list[dict[str, Any]]) -> None:
        """What the poller calls."""
        if self._seconds and input_events:
            time.sleep(self._seconds)

    def generate_event_failure_context(self, abort_condition: str, **_: Any) -> dict[str, Any]:
        """The handler does not fail."""
        return {"condition": abort_condition}


def run(plan: QueuePlan) -> None:
    """Polls until it is ended."""
    logging.disable()
    sqs_poller.get_queue_url = lambda _arn: plan.queue_url  # it would ask LocalStack's own gateway
    pollers = [_poller(plan) for _ in range(plan.handlers)]
    for poller in pollers[1:]:
        threading.Thread(target=_poll, args=(poller,), daemon=True).start()
    _poll(pollers[0])


def _poller(plan: QueuePlan) -> Any:
    return sqs_poller.SqsPoller(
        source_arn=QUEUE_ARN,
        source_parameters={"SqsQueueParameters": {"BatchSize": 10}},
        source_client=boto3.client("sqs", endpoint_url=plan.url, region_name="eu-west-1"),
        processor=Handling(plan.takes_ms / 1000),
    )


def _poll(poller: Any) -> None:
    while True:
        try:
            poller.poll_events()
        except sqs_poller.EmptyPollResultsException:
            time.sleep(0.01)
