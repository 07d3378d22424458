"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["LEVELS", "Command", "as_json", "endpoint", "store", "template", "which"]

LEVELS = ("debug", "info", "warning", "error")
"""Of log lines."""

Command = TypeVar("Command", bound=Callable[..., Any])


def which(command: Command, *, required: bool = True) -> Command:
    """MODULE:OBJECT or a template, and the options that choose among its mappings."""
    for decorate in (
        click.option("--except", "without", multiple=True, metavar="NAME", help="All but this uuid, function or id."),
        click.option("--only", multiple=True, metavar="NAME", help="This uuid, function or id alone; may be repeated."),
        click.option(
            "--app-dir",
            default=".",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            help="Where MODULE is looked for first.  [default: .]",
        ),
        click.argument(
            "target", metavar="MODULE:OBJECT|FILE" if required else "[MODULE:OBJECT|FILE]", required=required
        ),
    ):
        command = decorate(command)
    return command


def store(command: Command) -> Command:
    """Where positions are kept."""
    decorate = click.option(
        "--store", default="sqlite:///esm.db", envvar="ESM_STORE", show_default=True, help="Where positions are kept."
    )
    return decorate(command)


def endpoint(command: Command) -> Command:
    """Which AWS: a local one, a region, or the real one on purpose."""
    for decorate in (
        click.option("--live", is_flag=True, help="Read real sources at AWS."),
        click.option(
            "--region",
            metavar="NAME",
            help="The region where no ARN gives one; as the AWS tools find it when not given.",
        ),
        click.option(
            "--endpoint-url", envvar="AWS_ENDPOINT_URL", metavar="URL", help="A local AWS instead of the real one."
        ),
    ):
        command = decorate(command)
    return command


def template(command: Command) -> Command:
    """What a template leaves to whoever deploys it."""
    for decorate in (
        click.option(
            "--imports",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="For a FILE: values of other stacks' exports, a YAML, JSON or TOML map.",
        ),
        click.option("--stack-name", metavar="NAME", help="For a FILE: the stack's name.  [default: the folder's]"),
        click.option(
            "--account",
            default="000000000000",
            show_default=True,
            metavar="ID",
            help="For a FILE: the account of what it defines.",
        ),
        click.option(
            "--parameter", multiple=True, metavar="NAME=VALUE", help="For a FILE: a parameter; may be repeated."
        ),
    ):
        command = decorate(command)
    return command


def as_json(command: Command) -> Command:
    """For machines."""
    return click.option("--json", "json", is_flag=True, help="As JSON.")(command)
