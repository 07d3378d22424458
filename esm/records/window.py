"""A tumbling window: as a checkpoint keeps it, as an event carries it, as a failure record names it.

https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-windows.html
https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-windows.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from esm.clock import Millis
from esm.records.failure import seconds_text

__all__ = ["NO_STATE", "Window", "state_text", "time_window_info", "window_at", "window_fields"]

NO_STATE = "{}"
"""What the function is given with the first records of a window."""


@dataclass(frozen=True, slots=True)
class Window:
    """The records that arrived from `start` on and before `end`, epoch ms, and what the function made of them so far.

    `state`: the JSON text of an object; text, so that each call is given a fresh one and no digit of it is lost.
    `terminated_early`: the state grew too large, and the final call comes next.
    """

    start: Millis
    end: Millis
    state: str = NO_STATE
    terminated_early: bool = False


def window_at(arrived_at: Millis, size: Millis) -> Window:
    """The window that a record belongs to; windows follow each other from the epoch on (observed)."""
    start = arrived_at // size * size
    return Window(start, start + size)


def window_fields(window: Window, *, shard_id: str, event_source_arn: str, final: bool) -> dict[str, Any]:
    """What stands behind `Records` in an event, in AWS's order; new objects at every call."""
    return {
        "window": _bounds(window),
        "state": json.loads(window.state),
        "shardId": shard_id,
        "eventSourceARN": event_source_arn,
        "isFinalInvokeForWindow": final,
        "isWindowTerminatedEarly": window.terminated_early,
    }


def time_window_info(window: Window, *, final: bool) -> dict[str, Any]:
    """`timeWindowInfo` of a failure record (observed)."""
    return {
        "window": _bounds(window),
        "isFinalInvokeForWindow": final,
        "isWindowTerminatedEarly": window.terminated_early,
    }


def state_text(state: dict[str, Any]) -> str:
    """The JSON text of a state, without spaces: what is kept, and what is measured."""
    text = json.dumps(state, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        # Half of a surrogate pair has no UTF-8. Escaped it has, and comes back as it was.
        return json.dumps(state, separators=(",", ":"))
    return text


def _bounds(window: Window) -> dict[str, str]:
    return {"start": seconds_text(window.start), "end": seconds_text(window.end)}
