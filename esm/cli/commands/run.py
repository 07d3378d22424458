"""`esm run`, as it is typed."""

from __future__ import annotations

from typing import Any

import click

from esm.cli.commands.options import LEVELS, endpoint, store, which
from esm.cli.run import Options, run

__all__ = ["run_command"]


@click.command("run")
@which
@store
@endpoint
@click.option(
    "--drain-timeout",
    default=25.0,
    show_default=True,
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long what is out gets to end after a signal.",
)
@click.option("--json", "json", is_flag=True, help="Log lines on stderr and the summary on stdout as JSON.")
@click.option("--log-level", default="info", show_default=True, type=click.Choice(LEVELS, case_sensitive=False))
def run_command(**typed: Any) -> int:
    """Run the mappings of MODULE:OBJECT until SIGTERM or Ctrl-C.

    OBJECT is an EventSourceMapping, several of them, or a function that gives them. A signal stops reading and lets
    what is out end; a second one ends at once. On a terminal there is a table, elsewhere there are log lines.

    \b
        esm run app:mappings --endpoint-url http://127.0.0.1:4566
        esm run app:mappings --live --only handle --store sqlite:////var/lib/esm/positions.db
        esm run shop.workers:make_mappings --live --json --drain-timeout 50
    """  # noqa: D301  # click's own mark
    return run(Options(**typed))
