"""What a run came to: lines for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from esm.arn import source_name
from esm.cli.exits import Exit
from esm.cli.running.tally import Tally
from esm.cli.terminal import columns, seconds
from esm.clock import Millis
from esm.runtime.status import MappingStatus, ShardStatus, WorkerStatus

__all__ = ["as_json", "as_text", "lag_ms", "so_far"]

_HOW: dict[int, str] = {Exit.CLEAN: "ended clean", Exit.HALTED: "ended with shards that were halted or lost"}
_HEADS = ("mapping", "records", "calls", "failed", "retried", "given up", "lag")


def as_text(status: WorkerStatus, tally: Tally, exit_code: int, took_ms: Millis) -> str:
    """A table of the mappings, the shards that were halted, and how it ended."""
    rows = [_HEADS, *(_row(mapping, tally) for mapping in status.mappings)]
    how = _HOW.get(exit_code, "did not end clean") + (f" (exit code {exit_code})" if exit_code else "")
    return "\n".join((columns(rows), *_halted(status), f"{how} after {seconds(took_ms)}"))


def as_json(status: WorkerStatus, tally: Tally, exit_code: int, took_ms: Millis) -> str:
    """The same and more, in one line."""
    return json.dumps({"exit_code": exit_code, **so_far(status, tally, took_ms)})


def so_far(status: WorkerStatus, tally: Tally, took_ms: Millis) -> dict[str, Any]:
    """The same without how it ended, as it may not have ended yet."""
    return {"seconds": took_ms / 1000, "mappings": [_as_dict(mapping, tally) for mapping in status.mappings]}


def lag_ms(shard: ShardStatus) -> Millis | None:
    """How far a shard is behind: in what it has not read, or in what it has read and not settled."""
    return max((ms for ms in (shard.behind_ms, shard.oldest_age_ms) if ms is not None), default=None)


def _halted(status: WorkerStatus) -> Iterator[str]:
    """A line for each shard that nothing was read from any more, and why."""
    for mapping in status.mappings:
        for shard in mapping.shards:
            if shard.state in ("halted", "lost"):
                yield f"{shard.state}: {_name(mapping)}, {shard.shard_id}: {shard.last_error or 'see the log'}"


def _name(mapping: MappingStatus) -> str:
    return f"{mapping.function_name} < {source_name(mapping.event_source_arn)}"


def _row(mapping: MappingStatus, tally: Tally) -> tuple[str, ...]:
    count = tally.of(mapping.uuid)
    lags = [ms for shard in mapping.shards if (ms := lag_ms(shard)) is not None]
    figures = (count.records, count.invocations, count.failed, count.retries, count.given_up)
    return (_name(mapping), *(f"{figure:,}" for figure in figures), seconds(max(lags, default=None)))


def _as_dict(mapping: MappingStatus, tally: Tally) -> dict[str, Any]:
    about = asdict(mapping)
    for shard in about["shards"]:
        del shard["lanes"]
    return {**about, **asdict(tally.of(mapping.uuid))}
