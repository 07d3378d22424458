"""`esm what-if`, as it is typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from esm.cli.commands.options import Command, as_json, choosing
from esm.cli.past.what_if import SETTINGS, Options, run_what_if

__all__ = ["what_if_command"]


def _tried(command: Command) -> Command:
    """An option for each setting."""
    for name, said in reversed(SETTINGS.items()):
        command = click.option(f"--{name.replace('_', '-')}", metavar="VALUES", help=said)(command)
    return command


@click.command("what-if", short_help="Try other settings on a recording, in virtual time.")
@click.argument("recording", metavar="FILE")
@_tried
@click.option("--mapping", metavar="MODULE:OBJECT", help="A mapping whose other settings count.")
@choosing
@click.option("--function", metavar="NAME", help="Measured by calling it with the recording's first records.")
@click.option("--call-ms", type=click.FloatRange(min=0), metavar="MS", help="How long a call takes.")
@click.option("--record-ms", type=click.FloatRange(min=0), metavar="MS", help="How much longer for each record.")
@click.option("--error-rate", type=click.FloatRange(0, 1), metavar="0..1", help="Which part of calls fails.")
@click.option(
    "--memory-size", default=128, show_default=True, type=click.IntRange(128, 10240), help="MB, for the price."
)
@click.option("--price-requests", default=0.20, show_default=True, help="Dollars for a million calls.")
@click.option("--price-gb-second", default=0.0000166667, help="Dollars for a GB-second.  [default: 0.0000166667]")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The recording's first records alone.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="A picture, .svg or .png."
)
@as_json
def what_if_command(**typed: Any) -> int:
    """Run a recording through other settings, in virtual time, and say what would have come of it.

    VALUES are a number, several (10,100,500) or a range of round ones (10..500). Every combination is one simulation.
    How long the function takes is typed, or measured by calling it, which it must bear. Prices are Lambda's: x86 in
    us-east-1, without the free tier. The exit code is 0 when all were tried.

    \b
        esm what-if orders.jsonl --batch-size 10..500 --call-ms 20 --record-ms 0.5
        esm what-if orders.jsonl --function app:handle --parallelization-factor 1..10 --plot factors.svg
        esm what-if orders.jsonl --mapping app:mappings --maximum-batching-window-in-seconds 0,1,5 --error-rate 0.01
    """  # noqa: D301  # click's own mark
    tried = {name: value for name in SETTINGS if (value := typed.pop(name)) is not None}
    return run_what_if(Options(tried=tried, **typed))
