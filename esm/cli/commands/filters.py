"""`esm filter`, as it is typed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from esm.arn import SourceKind
from esm.cli import filters as filtering
from esm.cli.commands.options import Command, as_json, which
from esm.cli.exits import Exit, Failure
from esm.cli.interrupts import stdout_kept
from esm.cli.load import load, select

__all__ = ["filter_command"]

_SOURCES = ("kinesis", "dynamodb", "sqs")


def _filters(command: Command) -> Command:
    """Filters: of a mapping, or typed."""
    for decorate in (
        as_json,
        click.option("--pattern", "patterns", multiple=True, metavar="JSON|@FILE", help="A filter; may be repeated."),
        click.option("--source", type=click.Choice(_SOURCES), help="What the patterns are for."),
        partial(which, required=False),
    ):
        command = decorate(command)
    return command


def _given(
    *,
    target: str | None,
    app_dir: Path,
    only: Sequence[str],
    without: Sequence[str],
    source: SourceKind | None,
    patterns: Sequence[str],
) -> list[filtering.Filters]:
    if target is not None and not patterns and source is None:
        with stdout_kept():
            mappings = select(load(target, app_dir), only, without)
        return [filtering.of_mapping(mapping) for mapping in mappings]
    if target is None and patterns and source is not None:
        return [filtering.typed(source, patterns)]
    raise click.UsageError("Give MODULE:OBJECT, or --source and --pattern.", click.get_current_context())


@click.group("filter")
def filter_command() -> None:
    """What event filters do, before they do it.

    \b
        esm filter explain app:mappings --record event.json
        esm filter lint app:mappings
    """  # noqa: D301  # click's own mark


@filter_command.command("explain", short_help="Say why each record passes or is dropped.")
@_filters
@click.option("--record", "records", multiple=True, required=True, metavar="FILE", help="Records; - is stdin.")
def _explain(*, records: Sequence[str], json: bool, **which: Any) -> None:
    """Say why each record passes or is dropped: which filter matches, or which leaf of which filter does not.

    A record is an item of an event's Records. FILE holds one, a whole event, or many as JSON Lines. The filters are
    those of one mapping, or typed. The exit code is 0 when every record was explained, whether it passes or not. Shows
    values of the records.

    \b
        esm filter explain app:mappings --only handle --record event.json
        esm filter explain --source kinesis --pattern '{"data": {"kind": ["order"]}}' --record record.json
        esm filter explain --source dynamodb --pattern @new.json --pattern @old.json --record - --json <records.jsonl
    """  # noqa: D301  # click's own mark
    several = _given(**which)
    if len(several) > 1:
        names = ", ".join(filters.name for filters in several)
        raise Failure(Exit.INVALID, f"records are explained for one mapping; choose with --only: {names}")
    explained = filtering.explained(several[0], filtering.records_of(records, several[0].source))
    click.echo(filtering.explain_json(explained) if json else filtering.explain_text(explained))


@filter_command.command("lint", short_help="Warn of patterns that never match, or always do.")
@_filters
def _lint(*, json: bool, **which: Any) -> int:
    """Warn of patterns that AWS accepts and that never match, or always do.

    Such as a DynamoDB attribute without its type tag, numeric on a number that DynamoDB writes as text, exists on an
    object. The exit code is 0 when there is nothing to warn of, and 11 when there is.

    \b
        esm filter lint app:mappings
        esm filter lint --source dynamodb --pattern '{"dynamodb": {"NewImage": {"id": ["1"]}}}'
    """  # noqa: D301  # click's own mark
    several = _given(**which)
    found = filtering.findings(several)
    click.echo(filtering.findings_json(found) if json else filtering.findings_text(found, several))
    return Exit.FINDINGS if found else Exit.CLEAN
