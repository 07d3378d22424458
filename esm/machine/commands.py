"""What a machine asks for. Each command is out until its report is settled; at most one is out for a lane."""

from __future__ import annotations

from enum import Enum
from typing import Any

import msgspec

from esm.records.position import Checkpoint
from esm.records.window import Window

__all__ = ["Command", "Condition", "Deliver", "Discard", "Store"]


class Condition(Enum):
    """Why a range was given up. The words stand in the failure record.

    https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
    """

    RETRY_ATTEMPTS_EXHAUSTED = "RetryAttemptsExhausted"
    RECORD_AGE_EXCEEDED = "RecordAgeExceeded"


class Deliver(msgspec.Struct, frozen=True, eq=False):
    """Invoke the function with these records. `invoke_count`: 1 on the first try of this batch.

    `window`: the tumbling window they are in, and its state so far. No records: its final call.
    """

    lane: int
    records: list[Any]
    request_id: str
    invoke_count: int
    window: Window | None = None


class Discard(msgspec.Struct, frozen=True, eq=False):
    """Tell the on-failure destination that these records are given up.

    `answered`: whether the function answered the last invoke, so that the failure record has a `responseContext`;
    `function_error`: what stands there, `None` when the failure was in what the function returned.
    `invoke_count`: invokes of this batch, at least 1. `attempt`: 1 on the first try to send. `window`: as in `Deliver`;
    no records: its final call is given up.
    """

    lane: int
    records: list[Any]
    request_id: str
    invoke_count: int
    condition: Condition
    answered: bool
    function_error: str | None
    attempt: int = 1
    window: Window | None = None


class Store(msgspec.Struct, frozen=True, eq=False):
    """Make this checkpoint durable. The lanes whose settlements it carries wait for it."""

    checkpoint: Checkpoint


Command = Deliver | Discard | Store
