"""What can be typed: commands, options, and help that teaches by example."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, TypeVar

import click

from esm.arn import SourceKind
from esm.cli import filters as filtering
from esm.cli import plan as plans
from esm.cli import positions as stored
from esm.cli.exits import MEANINGS, Exit, Failure, failure_of
from esm.cli.load import load, select
from esm.cli.run import Options, run
from esm.clock import SystemClock
from esm.runtime.offered import check_offered

__all__ = ["command_line", "run_command_line"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

_EXITS = "\b\nExit codes:\n" + "\n".join(f"  {code:>2}  {meaning}" for code, meaning in MEANINGS.items())
_STORE = "sqlite:///esm.db"
_SOURCES = ("kinesis", "dynamodb", "sqs")
_LEVELS = ("debug", "info", "warning", "error")
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def run_command_line(arguments: Sequence[str]) -> int:
    """Does what was typed; gives the exit code. A failure is one line on stderr."""
    try:
        ended = command_line.main(list(arguments), prog_name="esm", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return Exit.INVALID
    except click.ClickException as error:
        return _tell(Exit.INVALID, f"{' '.join(error.format_message().split())} (see {_help_of(error)})")
    except (click.Abort, KeyboardInterrupt):
        return _tell(Exit.AT_ONCE, "interrupted")
    except Exception as error:  # noqa: BLE001  # no traceback reaches who typed a command, unless it was asked for
        if re.search(r"--log-level[ =]debug", " ".join(arguments), re.IGNORECASE):
            traceback.print_exc()
        failure = failure_of(error)
        return _tell(failure.code, failure.line)
    return ended if isinstance(ended, int) else Exit.CLEAN


def _tell(code: Exit, line: str) -> int:
    print(f"esm: {line}", file=sys.stderr, flush=True)  # noqa: T201  # the command's only way to say it
    return code


def _help_of(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context else 'esm'} --help"


def _which(command: _Command, *, required: bool = True) -> _Command:
    """MODULE:OBJECT, and the options that choose among its mappings."""
    for decorate in (
        click.option("--except", "without", multiple=True, metavar="NAME", help="All but this uuid or function."),
        click.option("--only", multiple=True, metavar="NAME", help="This uuid or function alone; may be repeated."),
        click.option(
            "--app-dir",
            default=".",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            help="Where MODULE is looked for first.  [default: .]",
        ),
        click.argument("target", metavar="MODULE:OBJECT" if required else "[MODULE:OBJECT]", required=required),
    ):
        command = decorate(command)
    return command


@click.group(context_settings=_SETTINGS, epilog=_EXITS)
@click.version_option(version_of("asyncio-esm"), "--version", message="%(version)s")
def command_line() -> None:
    """Lambda's event source mappings, in a process of your own.

    \b
    With an app.py that holds
        mappings = [esm.EventSourceMapping(event_source_arn=..., function=handle, starting_position="LATEST")]
    these are
        esm plan app:mappings                                        what would run; touches nothing
        esm run app:mappings --endpoint-url http://127.0.0.1:4566    against a local AWS
        esm run app:mappings --live                                  against AWS
        esm positions show                                           how far each shard has come
        esm filter lint app:mappings                                 filters that cannot do what they are for
    """  # noqa: D301  # click's own mark


@command_line.command("run")
@_which
@click.option("--store", default=_STORE, envvar="ESM_STORE", show_default=True, help="Where positions are kept.")
@click.option("--endpoint-url", envvar="AWS_ENDPOINT_URL", metavar="URL", help="A local AWS instead of the real one.")
@click.option(
    "--region", metavar="NAME", help="The region where no ARN gives one; as the AWS tools find it when not given."
)
@click.option("--live", is_flag=True, help="Read real sources at AWS.")
@click.option(
    "--drain-timeout",
    default=25.0,
    show_default=True,
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long what is out gets to end after a signal.",
)
@click.option("--json", "json", is_flag=True, help="Log lines on stderr and the summary on stdout as JSON.")
@click.option("--log-level", default="info", show_default=True, type=click.Choice(_LEVELS, case_sensitive=False))
def _run(**typed: Any) -> int:
    """Run the mappings of MODULE:OBJECT until SIGTERM or Ctrl-C.

    OBJECT is an EventSourceMapping, several of them, or a function that gives them. A signal stops reading and lets
    what is out end; a second one ends at once. On a terminal there is a table, elsewhere there are log lines.

    \b
        esm run app:mappings --endpoint-url http://127.0.0.1:4566
        esm run app:mappings --live --only handle --store sqlite:////var/lib/esm/positions.db
        esm run shop.workers:make_mappings --live --json --drain-timeout 50
    """  # noqa: D301  # click's own mark
    return run(Options(**typed))


@command_line.command("plan")
@_which
@click.option("--json", "json", is_flag=True, help="As JSON, in the words of AWS's API.")
def _plan(*, target: str, app_dir: Path, only: Sequence[str], without: Sequence[str], json: bool) -> None:
    """Show what would run: sources, functions and settings. Touches nothing.

    A star marks what is not Lambda's default. What `esm run` would refuse to start with is refused here.

    \b
        esm plan app:mappings
        esm plan app:mappings --only handle --json
    """  # noqa: D301  # click's own mark
    mappings = select(load(target, app_dir), only, without)
    check_offered(mappings, SystemClock().now())
    click.echo(plans.plan_json(mappings) if json else plans.plan_text(mappings))


@command_line.group("positions")
def _positions() -> None:
    """How far each shard has come."""


@_positions.command("show")
@click.option("--store", default=_STORE, envvar="ESM_STORE", show_default=True, help="Where positions are kept.")
@click.option("--json", "json", is_flag=True, help="As JSON.")
def _show(*, store: str, json: bool) -> None:
    """List the positions in a store. Changes nothing; a worker may be running.

    \b
        esm positions show
        esm positions show --store sqlite:////var/lib/esm/positions.db --json
    """  # noqa: D301  # click's own mark
    leases = stored.leases_in(store)
    click.echo(stored.positions_json(leases) if json else stored.positions_text(leases))


def _filters(command: _Command) -> _Command:
    """Filters: of a mapping, or typed."""
    for decorate in (
        click.option("--json", "json", is_flag=True, help="As JSON."),
        click.option("--pattern", "patterns", multiple=True, metavar="JSON|@FILE", help="A filter; may be repeated."),
        click.option("--source", type=click.Choice(_SOURCES), help="What the patterns are for."),
        partial(_which, required=False),
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
        return [filtering.of_mapping(mapping) for mapping in select(load(target, app_dir), only, without)]
    if target is None and patterns and source is not None:
        return [filtering.typed(source, patterns)]
    raise click.UsageError("Give MODULE:OBJECT, or --source and --pattern.", click.get_current_context())


@command_line.group("filter")
def _filter() -> None:
    """What event filters do, before they do it.

    \b
        esm filter explain app:mappings --record event.json
        esm filter lint app:mappings
    """  # noqa: D301  # click's own mark


@_filter.command("explain")
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


@_filter.command("lint")
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


@command_line.command("version")
def _version() -> None:
    """Print the version."""
    click.echo(version_of("asyncio-esm"))
