"""LocalStack's `KinesisPoller`, called again and again without its pauses, one shard; the processor is the handler.

It asks for one batch in a poll, so a page has no more than that.
"""

from __future__ import annotations

import logging
from typing import Any

import boto3
from localstack.services.lambda_.event_source_mapping.event_processor import EventProcessor
from localstack.services.lambda_.event_source_mapping.pollers.kinesis_poller import KinesisPoller

from tests.bench.meter import Meter, Plan

__all__ = ["run"]


class Handing(EventProcessor):  # type: ignore[misc]  # the package is not in this environment
    """Calls the handler with what was polled."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def process_events_batch(self, input_events: list[dict[str, Any]]) -> None:
        """What the poller calls."""
        self._meter.handle_now({"Records": input_events}, None)

    def generate_event_failure_context(self, abort_condition: str, **_: Any) -> dict[str, Any]:
        """The handler does not fail."""
        return {"condition": abort_condition}


def run(plan: Plan, meter: Meter) -> None:
    """Polls until there is enough."""
    logging.disable()
    client = boto3.client("kinesis", endpoint_url=plan.url, region_name="eu-west-1")
    poller = KinesisPoller(
        source_arn=plan.arn,
        source_parameters={
            "KinesisStreamParameters": {"StartingPosition": "TRIM_HORIZON", "BatchSize": plan.batch_size}
        },
        source_client=client,
        processor=Handing(meter),
        invoke_identity_arn="arn:aws:iam::123456789012:role/bench",
        kinesis_namespace=True,
    )
    while not meter.lap(at_rest=True):
        poller.poll_events()
