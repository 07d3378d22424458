"""`esm positions`, as it is typed."""

from __future__ import annotations

import click

from esm.cli.commands.options import as_json, store
from esm.cli.positions import leases_in, positions_json, positions_text

__all__ = ["positions_command"]


@click.group("positions")
def positions_command() -> None:
    """How far each shard has come."""


@positions_command.command("show")
@store
@as_json
def _show(*, store: str, json: bool) -> None:
    """List the positions in a store. Changes nothing; a worker may be running.

    \b
        esm positions show
        esm positions show --store sqlite:////var/lib/esm/positions.db --json
    """  # noqa: D301  # click's own mark
    leases = leases_in(store)
    click.echo(positions_json(leases) if json else positions_text(leases))
