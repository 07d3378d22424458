"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from esm.templates.suffixes import is_template

__all__ = [
    "Command",
    "app_dir",
    "as_json",
    "choosing",
    "drain_timeout",
    "endpoint",
    "logged",
    "of_a_file",
    "store",
    "template",
    "which",
]

_OF_A_FILE = ("parameter", "account", "stack_name", "imports", "create_resources")
_LEVELS = ("debug", "info", "warning", "error")

Command = TypeVar("Command", bound=Callable[..., Any])


def which(command: Command, *, required: bool = True) -> Command:
    """MODULE:OBJECT or a template, and the options that choose among its mappings."""
    argument = click.argument(
        "target", metavar="MODULE:OBJECT|FILE" if required else "[MODULE:OBJECT|FILE]", required=required
    )
    return argument(choosing(command, by="uuid, function or id"))


def choosing(command: Command, *, by: str = "uuid or function") -> Command:
    """Where modules are, and which of several mappings are meant."""
    for decorate in (
        click.option("--except", "without", multiple=True, metavar="NAME", help=f"All but this {by}."),
        click.option("--only", multiple=True, metavar="NAME", help=f"This {by} alone; may be repeated."),
        app_dir,
    ):
        command = decorate(command)
    return command


def app_dir(command: Command) -> Command:
    """Where modules are."""
    decorate = click.option(
        "--app-dir",
        default=".",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        help="Where modules are looked for first.  [default: .]",
    )
    return decorate(command)


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


def of_a_file(target: str) -> None:
    """Nothing, when what was typed goes with `target`. Raises `click.UsageError` for what only a template has."""
    context = click.get_current_context()
    typed = (name for name in _OF_A_FILE if context.get_parameter_source(name) is ParameterSource.COMMANDLINE)
    option = None if is_template(target) else next(typed, None)
    if option is not None:
        raise click.UsageError(f"--{option.replace('_', '-')} is for a FILE, and {target!r} is none.", context)


def as_json(command: Command) -> Command:
    """For machines."""
    return click.option("--json", "json", is_flag=True, help="As JSON.")(command)


def _finite(_context: click.Context, _parameter: click.Parameter, value: float) -> float:
    """A stop that waits for ever, or for no number at all, would be none."""
    if not isfinite(value):
        raise click.BadParameter(f"{value} is no number of seconds.")
    return value


def drain_timeout(command: Command) -> Command:
    """How long an end may take."""
    decorate = click.option(
        "--drain-timeout",
        default=25.0,
        show_default=True,
        type=click.FloatRange(min=0),
        callback=_finite,
        metavar="SECONDS",
        help="How long what is out gets to end after a signal.",
    )
    return decorate(command)


def logged(level: str) -> Callable[[Command], Command]:
    """What is told while it runs and when it is over. `level`: of log lines, when none is typed."""

    def decorate(command: Command) -> Command:
        levels = click.Choice(_LEVELS, case_sensitive=False)
        command = click.option("--log-level", default=level, show_default=True, type=levels)(command)
        said = "Log lines on stderr and the summary on stdout as JSON."
        return click.option("--json", "json", is_flag=True, help=said)(command)

    return decorate
