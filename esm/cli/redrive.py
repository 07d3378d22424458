"""`esm redrive`: what failed is run again, document by document, and told as it goes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from esm.cli import guard
from esm.cli.exits import Exit, Failure
from esm.cli.load import load, select
from esm.handlers.resolve import resolve
from esm.redriving.redrive import redrive
from esm.redriving.redriver import Outcome, Redriven, RedriveSummary
from esm.telemetry.logs import configure_logging

__all__ = ["Options", "run_redrive"]

_GOOD = (Outcome.REDRIVEN, Outcome.WOULD_BE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was typed."""

    source: str
    function: str | None
    mapping: str | None
    app_dir: Path
    only: Sequence[str]
    without: Sequence[str]
    one_by_one: bool
    batch_size: int | None
    attempts: int
    limit: int | None
    dry_run: bool
    store: str | None
    endpoint_url: str | None
    region: str | None
    live: bool
    json: bool
    log_level: str


def run_redrive(options: Options) -> int:
    """Redrives; gives the exit code. Raises what keeps it from beginning."""
    guard.check_sources([options.source], options.endpoint_url, live=options.live)
    configure_logging(level=options.log_level, json=options.json)
    which = _mappings(options)
    summary = asyncio.run(_redrive(options, which))
    click.echo(_as_json(summary) if options.json else _as_text(summary))
    return Exit.LEFT if summary.left else Exit.CLEAN


def _mappings(options: Options) -> dict[str, Any]:
    if (options.function is None) is (options.mapping is None):
        raise Failure(Exit.INVALID, "give either --function app:handler or --mapping app:mappings")
    if options.mapping is None:
        return {"function": _function(options)}
    return {"mappings": select(load(options.mapping, options.app_dir), options.only, options.without)}


def _function(options: Options) -> str:
    """Its name, once it is known to lead somewhere: nothing is received for a function that is not there."""
    sys.path.insert(0, str(options.app_dir.resolve()))
    function = options.function or ""
    resolve(function)
    return function


async def _redrive(options: Options, which: dict[str, Any]) -> RedriveSummary:
    return await redrive(
        options.source,
        **which,
        batch_size=1 if options.one_by_one else options.batch_size,
        attempts=options.attempts,
        dry_run=options.dry_run,
        limit=options.limit,
        store=options.store,
        endpoint_url=options.endpoint_url,
        region_name=options.region,
        on_redriven=lambda story: click.echo(_line(story), err=True) if not options.json else None,
    )


def _line(story: Redriven) -> str:
    """One document, as soon as it has ended."""
    mark = click.style(f"{story.outcome.value:<17}", fg="green" if story.outcome in _GOOD else "red")
    what = ""
    if story.range is not None:
        ends = f"{story.range.first}..{story.range.last}" if story.range.first else "no records"
        what = f"{story.range.shard_id} {ends}, {story.records} of {story.range.records} records"
    return "  ".join(part for part in (mark, story.document, what, story.said, _warning(story)) if part)


def _warning(story: Redriven) -> str:
    """That order is not what it was, when that is so."""
    if not story.later:
        return ""
    when = "were handled before these" if story.later_known else "follow, and may have been handled before these"
    return f"warning: {len(story.later)} newer records of the same keys {when}, from {story.later[0]} on"


def _as_text(summary: RedriveSummary) -> str:
    if not summary.documents:
        return "no documents"
    counts = {outcome: summary.count(outcome) for outcome in Outcome}
    told = ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items() if count)
    records = sum(story.records for story in summary.documents if story.outcome in _GOOD)
    return f"{len(summary.documents)} documents: {told}; {records} records"


def _as_json(summary: RedriveSummary) -> str:
    return json.dumps({"Documents": [_as_dict(story) for story in summary.documents], "Left": summary.left}, indent=2)


def _as_dict(story: Redriven) -> dict[str, Any]:
    told: dict[str, Any] = {"Document": story.document, "Outcome": story.outcome.value}
    if story.range is not None:
        told |= {
            "StreamArn": story.range.stream_arn,
            "ShardId": story.range.shard_id,
            "StartSequenceNumber": story.range.first,
            "EndSequenceNumber": story.range.last,
            "BatchSize": story.range.records,
            "Condition": story.range.condition,
        }
    return told | {
        "Records": story.records,
        "Said": story.said,
        "NewerOfSameKeys": list(story.later),
        "NewerWereHandled": story.later_known,
    }
