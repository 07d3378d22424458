"""Pollers that run on Node: this process becomes that one, so that it is pinned and measured as the others are."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from tests.bench.meter import Meter, Plan
from tests.bench.peers import KINESIS_SDK, NODE_WARM_UP_S, SQS_CONSUMER, Peer
from tests.bench.queue_client import QueuePlan

__all__ = ["run_kinesis_sdk", "run_sqs_consumer"]


def run_kinesis_sdk(plan: Plan, _meter: Meter) -> NoReturn:
    """The AWS SDK for JavaScript: polls until there is enough."""
    _become("kinesis_sdk_js.cjs", KINESIS_SDK, asdict(plan) | {"arn": plan.arn, "warm_up_s": NODE_WARM_UP_S})


def run_sqs_consumer(plan: QueuePlan) -> NoReturn:
    """`sqs-consumer`: polls until it is ended."""
    _become("queue_sqs_consumer.cjs", SQS_CONSUMER, asdict(plan))


def _become(program: str, peer: Peer, told: dict[str, Any]) -> NoReturn:
    node = shutil.which("node") or "node"
    path = Path(__file__).with_name(program)
    os.execv(node, [node, "--no-warnings", str(path), json.dumps(told | {"modules": peer.modules})])  # noqa: S606  # no shell is wanted
