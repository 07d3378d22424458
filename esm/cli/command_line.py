"""The commands together, and how each of them ends."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version as version_of
from importlib.util import find_spec

import click

from esm.cli.commands.completion import completion_command
from esm.cli.commands.doctor import doctor_command
from esm.cli.commands.filters import filter_command
from esm.cli.commands.plan import plan_command
from esm.cli.commands.positions import positions_command
from esm.cli.commands.record import record_command
from esm.cli.commands.redrive import redrive_command
from esm.cli.commands.replay import replay_command
from esm.cli.commands.run import run_command
from esm.cli.commands.schema import schema_command
from esm.cli.commands.what_if import what_if_command
from esm.cli.exits import MEANINGS, Exit, failure_of

__all__ = ["command_line", "run_command_line"]

_EXITS = "\b\nExit codes:\n" + "\n".join(f"  {code:>2}  {meaning}" for code, meaning in MEANINGS.items())
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
        esm run template.yaml --endpoint-url http://127.0.0.1:4566   a SAM, CloudFormation or Serverless template
        esm doctor app:mappings --live                               what would keep them from running well
        esm positions show                                           how far each shard has come
        esm filter lint app:mappings                                 filters that cannot do what they are for
        esm redrive failed.jsonl --mapping app:mappings --live       what failed, once more
        esm record STREAM -o orders.jsonl --live --duration 10m      records into a file
        esm replay orders.jsonl --function app:handle                and through a function again
        esm what-if orders.jsonl --batch-size 10..500 --call-ms 20   and through other settings
    """  # noqa: D301  # click's own mark


@command_line.command("version")
def _version() -> None:
    """Print the version, and whether this is the compiled wheel."""
    click.echo(version_of("asyncio-esm") + (", compiled" if _compiled() else ""))


def _compiled() -> bool:
    driver = find_spec("esm.runtime.driver")  # one of those that are, then
    return driver is not None and not str(driver.origin).endswith(".py")


for _command in (
    run_command,
    plan_command,
    doctor_command,
    redrive_command,
    what_if_command,
    record_command,
    replay_command,
    positions_command,
    filter_command,
    schema_command,
    completion_command,
):
    command_line.add_command(_command)
