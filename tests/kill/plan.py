"""What one life of a worker is to do: what the harness tells the process that it will see killed."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["FACTS", "MOMENTS", "POISON", "Plan"]

POISON = b"poison"
"""The data that the function never gets done with."""

FACTS = (
    "LeaseTaken",
    "ShardStarted",
    "Polled",
    "PollFailed",
    "InvocationStarted",
    "InvocationEnded",
    "CheckpointStored",
    "StoreFailed",
    "DestinationDelivered",
    "RecordsDiscarded",
    "WorkerStopping",
)
"""Crash points: as the worker tells its observers. The two failures, and the stop, are brought about by the life."""

MOMENTS = (
    "in the handler",
    "half of a batch done",
    "before create",
    "after create",
    "before take",
    "after take",
    "before checkpoint",
    "after checkpoint",
)
"""Crash points between: within the function, and on both sides of each write of the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """`targets`: shard and sequence number; the life ends by itself once all of them are settled. Empty: it does not.

    `point`: where it is killed, the `nth` time it comes by; "" for nowhere. `gate`: a file that the function waits for
    before it gets anything done; "" for none. `handler_ms`: how long a call takes.
    """

    endpoint: str
    account: str
    stream: str
    queue: str
    store: str
    journal: str
    life: int
    targets: dict[str, str] = field(default_factory=dict)
    factor: int = 1
    batch_size: int = 10
    retries: int = 0
    is_async: bool = True
    handler_ms: int = 0
    point: str = ""
    nth: int = 1
    gate: str = ""
