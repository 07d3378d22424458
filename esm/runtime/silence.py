"""When a shard is silent: something is overdue, and nothing that is known explains it.

Each part of a shard, its reading and every lane that holds records, waits for something, and all but a wait for room
are over by some time: a call by its timeout, a retry when its backoff ends, a batch when its window closes. A part that
goes on waiting past that time has been forgotten by somebody, and that is what silence means. A function that fails for
hours is not silent, and neither is one that is slow.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from esm.clock import Millis
from esm.handlers.call import STOP_WITHIN
from esm.machine.snapshots import LaneSnapshot
from esm.runtime.perform import SEND_TIMEOUT_S, STORE_TIMEOUT_S

__all__ = ["Wait", "lane_wait", "read_wait", "silent_ms"]

SLACK_MS: Millis = 1000
"""How late anything may be in a loop that has much to do (chosen)."""


@dataclass(frozen=True, slots=True)
class Wait:
    """`cause`: the words of `ShardStatus.waits_for`; `None`: for records. `over_by`: epoch ms, `None`: no bound."""

    cause: str | None
    over_by: Millis | None


def lane_wait(
    lane: LaneSnapshot,
    *,
    out_since: Millis | None,
    moved_at: Millis,
    wake_at: Millis | None,
    store_at: Millis | None,
    store_since: Millis | None,
    throttled: bool,
    timeout_s: float,
) -> Wait:
    """What a lane with records waits for.

    `out_since`: its command's begin; `None` when none is out. `moved_at`: when something became of it last. `wake_at`,
    `store_at`: when it, or the position, is due. `store_since`: when a position was given to the store.
    """
    if throttled:
        return Wait("concurrency", None)
    if lane.state == "storing":
        since, takes = (store_at or moved_at, 0.0) if store_since is None else (store_since, STORE_TIMEOUT_S)
        return Wait("store", _after(since, takes))
    if lane.state == "discarding":
        return Wait("destination", _due(lane, moved_at) if out_since is None else _after(out_since, SEND_TIMEOUT_S))
    if out_since is not None:
        return Wait("function", _after(out_since, timeout_s + STOP_WITHIN))
    if lane.state == "waiting":
        return Wait("batching window", max(wake_at or 0, moved_at))
    return Wait("backoff", _due(lane, moved_at))


def read_wait(*, next_at: Millis, failing: bool, squeezed: bool, timeout_s: float) -> Wait:
    """What reading waits for. `next_at`: when it may go on; `failing`: the last try failed; `squeezed`: for memory."""
    if squeezed:
        return Wait("memory", None)
    return Wait("source" if failing else None, _after(next_at, timeout_s))


def silent_ms(waits: Iterable[Wait], now: Millis) -> Millis | None:
    """How long the most overdue of them is; `None` when none is."""
    overdue = max((now - wait.over_by for wait in waits if wait.over_by is not None), default=0)
    return overdue if overdue > SLACK_MS else None


def _due(lane: LaneSnapshot, moved_at: Millis) -> Millis:
    return max(lane.retry_at or 0, moved_at)


def _after(since: Millis, seconds: float) -> Millis:
    return since + round(seconds * 1000)
