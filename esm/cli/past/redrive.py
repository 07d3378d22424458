"""`esm redrive`: what failed is run again, document by document, and told as it goes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from esm.cli import guard
from esm.cli.exits import Exit, of_mapping
from esm.cli.interrupts import Interrupts, stdout_kept
from esm.cli.load import check_either, load, look_in, select
from esm.errors import SourceError
from esm.handlers.resolve import resolve
from esm.redriving.redrive import redrive
from esm.redriving.redriver import Outcome, Redriven, RedriveSummary
from esm.telemetry.logs import configure_logging

__all__ = ["Options", "run_redrive"]

_SHOWN = 500

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
    interrupts, summary = Interrupts(), RedriveSummary()
    shown = _as_json if options.json else _as_text
    try:
        with stdout_kept() as write:
            try:
                interrupts.run(_redrive(options, _mappings(options), interrupts.stopping, summary))
            except KeyboardInterrupt:
                if summary.documents:  # what is done is done, though it is ended by force
                    write(shown(summary))
                raise
    except SourceError as error:
        raise of_mapping(error, options.source, options.endpoint_url) from error
    click.echo(shown(summary))
    if interrupts.stopping():
        click.echo("interrupted: what was not begun is where it was", err=True)
    return Exit.LEFT if summary.left or interrupts.stopping() else Exit.CLEAN


def _mappings(options: Options) -> dict[str, Any]:
    check_either(options.function, options.mapping)
    if options.mapping is None:
        return {"function": _function(options)}
    return {"mappings": select(load(options.mapping, options.app_dir), options.only, options.without)}


def _function(options: Options) -> str:
    """Its name, once it is known to lead somewhere: nothing is received for a function that is not there."""
    look_in(options.app_dir)
    function = options.function or ""
    resolve(function)
    return function


async def _redrive(
    options: Options, which: dict[str, Any], stopping: Callable[[], bool], summary: RedriveSummary
) -> None:
    """Each document is in the summary as soon as it has ended."""

    def ended(story: Redriven) -> None:
        summary.documents.append(story)
        if not options.json:
            click.echo(_line(story), err=True)

    await redrive(
        options.source,
        **which,
        batch_size=1 if options.one_by_one else options.batch_size,
        attempts=options.attempts,
        dry_run=options.dry_run,
        limit=options.limit,
        store=options.store,
        endpoint_url=options.endpoint_url,
        region_name=options.region,
        on_redriven=ended,
        stopping=stopping,
    )


def _line(story: Redriven) -> str:
    """One document, as soon as it has ended."""
    mark = click.style(f"{story.outcome.value:<17}", fg="green" if story.outcome in _GOOD else "red")
    what = ""
    if story.range is not None:
        ends = f"{story.range.first}..{story.range.last}" if story.range.first else "no records"
        what = f"{story.range.shard_id} {ends}, {story.records} of {story.range.records} records"
    told = (story.document, what, story.said, _warning(story))
    return "  ".join([mark, *(_plain(part) for part in told if part)])


def _plain(text: str) -> str:
    """In one line, whatever a document's name or a function's error holds."""
    shown = text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in shown)


def _warning(story: Redriven) -> str:
    """That order is not what it was, when that is so."""
    if not story.later:
        return ""
    when = "were handled before these" if story.later_known else "follow, and may have been handled before these"
    return f"warning: {len(story.later)} newer records of the same keys {when}, from {story.later[0]} on"


def _as_text(summary: RedriveSummary) -> str:
    if not summary.documents:
        return "no documents"
    number = len(summary.documents)
    counts = {outcome: summary.count(outcome) for outcome in Outcome}
    told = ", ".join(f"{count} {outcome.value}" for outcome, count in counts.items() if count)
    records = sum(story.records for story in summary.documents if story.outcome in _GOOD)
    return f"{number} document{'s' if number > 1 else ''}: {told}; {records} record{'' if records == 1 else 's'}"


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
