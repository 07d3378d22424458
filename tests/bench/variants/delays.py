"""How long a record or message took from when it was there until the handler began: the data says when it was."""

from __future__ import annotations

import base64
import time
from typing import Any

from tests.bench.meter import Meter, Plan
from tests.bench.variants.esm_worker import run

__all__ = ["run_stream"]


def run_stream(plan: Plan, meter: Meter) -> None:
    """A worker on a stream, at low rate."""
    delays: list[float] = []
    handle = meter.handle_now

    def timed(event: dict[str, Any], context: Any) -> None:
        now = time.monotonic_ns()
        delays.extend(
            (now - int(base64.b64decode(record["kinesis"]["data"]))) / 1e6
            for record in event["Records"]
            if meter.measuring
        )
        handle(event, context)

    meter.handle_now = timed  # type: ignore[method-assign]  # it is this very meter that counts
    run(plan, meter)
    meter.found = {"delays_ms": delays}
