"""What a worker's looks say of its health, and of the work that waits for it. Pure: made from a status alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from esm.clock import Millis
from esm.runtime.status import MappingStatus, ShardStatus, WorkerStatus

__all__ = ["liveness", "readiness", "scale", "shown_status"]

_KIND = re.compile(r"[A-Za-z_][\w.]{0,99}", re.ASCII)
_UNSETTLED = ("Creating", "Enabling", "Updating")


def liveness(status: WorkerStatus, *, running: bool) -> list[dict[str, str]]:
    """Why a restart is all that helps; empty while it lives. A worker that was told to stop, or not to begin, lives."""
    if status.id and not running and not status.stopping:
        return [{"reason": "ended", "detail": "the worker ended by a fault of its own; the log says which"}]
    return []


def readiness(status: WorkerStatus, *, silent_after: Millis) -> list[dict[str, str]]:
    """Why it does not work as it should; empty when it does.

    `silent_after`: for how long nothing may come of a shard, without anything that explains it.
    """
    if not status.id:
        return [{"reason": "starting"}]
    troubles = [{"reason": "stopping"}] if status.stopping else []
    for mapping in status.mappings:
        troubles += _of_mapping(mapping, silent_after)
    return troubles


def scale(status: WorkerStatus) -> dict[str, float]:
    """Numbers to scale by: records read and not settled, and how far the furthest shard is behind, in seconds.

    `shards`: those that are read, which more workers than that have no use for.
    """
    shards = [shard for mapping in status.mappings for shard in mapping.shards if shard.state != "ended"]
    lag = max((shard.lag_ms for shard in shards if shard.lag_ms is not None), default=0)
    return {
        "work_waiting": sum(shard.records_held for shard in shards),
        "largest_lag_seconds": lag / 1000,
        "shards": len(shards),
    }


def shown_status(status: WorkerStatus) -> WorkerStatus:
    """The status as others may see it.

    Of an error its kind alone, for its text may be a function's own words about a record. Lanes with nothing to do are
    left out.
    """
    return replace(status, mappings=tuple(map(_shown_mapping, status.mappings)))


def _shown_mapping(mapping: MappingStatus) -> MappingStatus:
    return replace(mapping, last_error=_kind(mapping.last_error), shards=tuple(map(_shown_shard, mapping.shards)))


def _shown_shard(shard: ShardStatus) -> ShardStatus:
    lanes = tuple(replace(lane, last_error=_kind(lane.last_error)) for lane in shard.lanes if lane.state != "idle")
    return replace(shard, last_error=_kind(shard.last_error), lanes=lanes)


def _of_mapping(mapping: MappingStatus, silent_after: Millis) -> Iterator[dict[str, str]]:
    named = {"mapping": mapping.uuid, "function": mapping.function_name}
    if mapping.state in _UNSETTLED:
        yield {"reason": mapping.state.lower(), **named}
    elif mapping.state == "Enabled" and mapping.last_error is not None and not any(map(_is_cared_for, mapping.shards)):
        yield {"reason": "failed", **named, "error": _kind(mapping.last_error) or ""}
    for shard in mapping.shards:
        reason = _of_shard(shard, silent_after)
        if reason:
            yield {"reason": reason, **named, "shard": shard.shard_id}


def _is_cared_for(shard: ShardStatus) -> bool:
    """Whether it is read, here or by another worker: a mapping's error then is of something else, and passes."""
    return shard.state in ("reading", "lost")


def _of_shard(shard: ShardStatus, silent_after: Millis) -> str | None:
    if shard.state == "halted":
        return "halted"
    return "silent" if shard.silent_ms is not None and shard.silent_ms >= silent_after else None


def _kind(error: str | None) -> str | None:
    """The class or code that an error's text begins with; `None` for no error."""
    if error is None:
        return None
    found = _KIND.match(error)
    return found[0] if found is not None and error[found.end() : found.end() + 1] in ("", ":", "(") else "see the log"
