"""Facts as a worker tells them, and a clock that stands still."""

from __future__ import annotations

from typing import Any

from esm.clock import Millis
from esm.telemetry import facts

__all__ = ["MAPPING", "QUEUE", "STREAM", "Standing", "batch", "changed", "polled"]

MAPPING = "5a9f0c1e-0000-5000-8000-000000000001"
STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:jobs"


class Standing:
    """A clock. `at`: what it shows."""

    def __init__(self, at: Millis = 1_000_000) -> None:
        self.at = at

    def now(self) -> Millis:
        """What it shows."""
        return self.at


def changed(state: str = "Enabled", mapping: str = MAPPING, arn: str = STREAM) -> facts.MappingStateChanged:
    """A mapping's new state."""
    return facts.MappingStateChanged(at=0, mapping=mapping, state=state, function="orders", event_source_arn=arn)


def polled(records: int = 10, shard: str = "shard-0", **more: Any) -> facts.Polled:
    """A read."""
    given: dict[str, Any] = {"at": 1_000_000, "filtered": 0, "behind_ms": 0, "size_bytes": records, **more}
    return facts.Polled(mapping=MAPPING, shard=shard, records=records, **given)


def batch(
    records: int = 10, shard: str = "shard-0", *, request_id: str = "r", traces: tuple[str, ...] = (), **ended: Any
) -> tuple[facts.InvocationStarted, facts.InvocationEnded]:
    """A call, from its beginning to its end."""
    named: dict[str, Any] = {"at": 0, "mapping": MAPPING, "shard": shard, "request_id": request_id, "lane": 0}
    began = facts.InvocationStarted(
        **named, records=records, first="1", last="2", invoke_count=1, age_ms=700, traces=traces
    )
    given: dict[str, Any] = {"outcome": "succeeded", "failed_records": 0, "duration_ms": 40, "age_ms": 700, **ended}
    settled = given.pop("settled", records if given["outcome"] == "succeeded" else 0)
    return began, facts.InvocationEnded(**named, records=records, settled=settled, **given)
