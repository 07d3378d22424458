"""`esm doctor`, as it is typed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from esm.cli.commands.options import as_json, endpoint, of_a_file, template, which
from esm.cli.doctor import diagnosis, findings_json, findings_text
from esm.cli.exits import Exit
from esm.cli.interrupts import stdout_kept
from esm.cli.load import load, select
from esm.mapping.settings import EventSourceMapping
from esm.telemetry.logs import configure_logging
from esm.templates.suffixes import is_template

__all__ = ["doctor_command"]


@click.command("doctor", short_help="Say what would keep mappings from running well.")
@which
@endpoint
@template
@as_json
def doctor_command(
    *,
    target: str,
    app_dir: Path,
    only: Sequence[str],
    without: Sequence[str],
    endpoint_url: str | None,
    region: str | None,
    live: bool,
    json: bool,
    **typed: Any,
) -> int:
    """Say what would keep mappings from running well, before they run.

    Looks at versions, credentials and the clock, then at each mapping: its function, its source, whether each action
    that reading takes is allowed, visibility timeouts, retention, destinations. A policy that is missing is printed,
    ready to paste. Changes nothing, receives and sends nothing. The exit code is 0 when all is well, and 11 when not.

    \b
        esm doctor app:mappings --endpoint-url http://127.0.0.1:4566
        esm doctor app:mappings --live --only handle --json
        esm doctor template.yaml --parameter Stage=prod --live
    """  # noqa: D301  # click's own mark
    of_a_file(target)
    where: dict[str, Any] = {"region": region, "live": live}
    configure_logging(level="warning", json=json)
    with stdout_kept():
        mappings = _mappings(target, app_dir, (only, without), {"url": endpoint_url, **where}, typed)
        found = diagnosis(mappings, endpoint_url=endpoint_url, **where)
    click.echo(findings_json(found) if json else findings_text(found))
    return Exit.CLEAN if found.sound else Exit.FINDINGS


def _mappings(
    target: str, app_dir: Path, chosen: tuple[Sequence[str], Sequence[str]], at: dict[str, Any], typed: dict[str, Any]
) -> list[EventSourceMapping]:
    if is_template(target):
        from esm.cli.templates.mappings import Endpoint, Typed, placed_mappings  # noqa: PLC0415  # a module's need none of it

        return placed_mappings(target, Typed(**typed), *chosen, Endpoint(**at))
    return select(load(target, app_dir), *chosen)
