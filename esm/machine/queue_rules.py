"""The part of a mapping that a queue's machine obeys, in the machine's units."""

from __future__ import annotations

from dataclasses import dataclass

from esm.clock import Millis
from esm.mapping.limits import (
    QUEUE_CONCURRENCY,
    QUEUE_CONCURRENCY_ADDED_A_MINUTE,
    QUEUE_POLLERS_AT_START,
    SQS_WAIT_SECONDS,
)

__all__ = ["QueueRules"]

DELETE_LINGER_MS = 20
"""How long a delete waits for others to go with it (chosen)."""

HELD_MAX_MS = 3_600_000
"""How long after its receive a message is kept invisible at the most: four times the longest function (chosen)."""

RECEIVES_MAX = 50
"""Receives in flight at once; each holds a connection for up to 20 s (chosen)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRules:
    """What a queue's machine decides by.

    `payload_bytes_max`: what the items of one event may take together. `concurrency_max`: invocations at once at the
    most; `concurrency_at_start`, `concurrency_added_a_minute`: how it grows while messages remain. `polls_min`:
    receives in flight at once on an idle queue. `slots_a_poll`: invocations that one receive at a time feeds.
    `slows_on_error`: whether a failed invocation lowers the concurrency. `bytes_held_max`: received and neither handled
    nor given up, above which nothing is received.
    """

    batch_size: int
    payload_bytes_max: int
    fifo: bool = False
    batching_window_ms: Millis = 0
    concurrency_at_start: int = QUEUE_POLLERS_AT_START
    concurrency_max: int = QUEUE_CONCURRENCY
    concurrency_added_a_minute: int = QUEUE_CONCURRENCY_ADDED_A_MINUTE
    polls_min: int = 2
    slots_a_poll: int = 1
    slows_on_error: bool = True
    wait_seconds: int = SQS_WAIT_SECONDS
    held_max_ms: Millis = HELD_MAX_MS
    receives_max: int = RECEIVES_MAX
    delete_linger_ms: Millis = DELETE_LINGER_MS
    bytes_held_max: int = 128 << 20
