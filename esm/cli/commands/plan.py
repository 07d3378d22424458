"""`esm plan`, as it is typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from esm.cli.commands.options import of_a_file, template, which
from esm.cli.exits import Exit
from esm.cli.interrupts import stdout_kept
from esm.cli.load import load, select
from esm.cli.plan import plan_json, plan_text
from esm.clock import SystemClock
from esm.runtime.offered import check_offered
from esm.templates.suffixes import is_template

__all__ = ["plan_command"]


@click.command("plan")
@which
@template
@click.option(
    "--region",
    metavar="NAME",
    help="For a FILE: the region of what it defines.  [default: AWS_REGION, or us-east-1]",
)
@click.option("--json", "json", is_flag=True, help="As JSON, in the words of AWS's API.")
def plan_command(
    *, target: str, app_dir: Path, only: Sequence[str], without: Sequence[str], json: bool, **typed: Any
) -> int:
    """Show what would run: sources, functions and settings. Touches nothing.

    A star marks what is not Lambda's default. Settings that `esm run` would refuse are refused here; whether sources
    are there, `esm doctor` says. Of a template, every mapping is listed, also one that cannot run here, with the
    reason; the exit code is 15 then. A template's code is not imported.

    \b
        esm plan app:mappings
        esm plan app:mappings --only handle --json
        esm plan template.yaml --parameter Stage=prod
        esm plan cdk.out/Shop.template.json --except ReportsFunction
        esm plan serverless.yml --parameter stage=prod --region eu-west-1
    """  # noqa: D301  # click's own mark
    of_a_file(target)
    if is_template(target):
        return _plan_file(target, only, without, json=json, **typed)
    with stdout_kept():
        mappings = select(load(target, app_dir), only, without)
        check_offered(mappings, SystemClock().now())
        said = plan_json(mappings) if json else plan_text(mappings)
    click.echo(said)
    return Exit.CLEAN


def _plan_file(
    target: str, only: Sequence[str], without: Sequence[str], *, json: bool, region: str | None, **typed: Any
) -> int:
    from esm.cli.templates.mappings import Typed, choose, open_plan  # noqa: PLC0415  # as above
    from esm.cli.templates.plan import file_plan_json, file_plan_text  # noqa: PLC0415  # a module's mappings need none of it

    plan = open_plan(target, Typed(**typed), region=region, endpoint_url=None)
    chosen = choose(plan, only, without)
    click.echo(file_plan_json(chosen) if json else file_plan_text(plan, chosen))
    return Exit.UNSUPPORTED if any(each.refusal for each in chosen) else Exit.CLEAN
