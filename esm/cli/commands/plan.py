"""`esm plan`, as it is typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from esm.cli.commands.options import which
from esm.cli.load import load, select
from esm.cli.plan import plan_json, plan_text
from esm.clock import SystemClock
from esm.runtime.offered import check_offered

__all__ = ["plan_command"]


@click.command("plan")
@which
@click.option("--json", "json", is_flag=True, help="As JSON, in the words of AWS's API.")
def plan_command(*, target: str, app_dir: Path, only: Sequence[str], without: Sequence[str], json: bool) -> None:
    """Show what would run: sources, functions and settings. Touches nothing.

    A star marks what is not Lambda's default. What `esm run` would refuse to start with is refused here.

    \b
        esm plan app:mappings
        esm plan app:mappings --only handle --json
    """  # noqa: D301  # click's own mark
    mappings = select(load(target, app_dir), only, without)
    check_offered(mappings, SystemClock().now())
    click.echo(plan_json(mappings) if json else plan_text(mappings))
