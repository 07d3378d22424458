"""`esm positions`, as it is typed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from esm.cli import guard
from esm.cli.commands.options import Command, app_dir, as_json, endpoint, store
from esm.cli.exits import Exit, Failure
from esm.cli.positions import moving as stored
from esm.cli.positions import shown
from esm.cli.positions.moving import Selection
from esm.cli.positions.places import Place, is_of_one_shard, moment, place_of
from esm.cli.positions.skipping import Passed, look_ahead
from esm.clock import SystemClock
from esm.errors import StoreError
from esm.leasing.lease import Lease
from esm.leasing.moves import Move, beginning_at, passed_over
from esm.records.position import Position
from esm.stores.portable import leases_of, lines_of

__all__ = ["positions_command"]


@click.group("positions")
def positions_command() -> None:
    """How far each shard has come, and moving it by hand.

    \b
        esm positions show
        esm positions rewind --to 2h --all --dry-run
        esm positions skip 1 --app app:mappings --mapping handle --shard shardId-000000000000 --live
        esm positions log

    A move is refused while a live worker reads the shard; with --force that worker loses the shard in order, writes
    nothing more of what it has out, and takes it again at the new place. Each move is written into the store's log.
    """  # noqa: D301  # click's own mark


def _which(command: Command) -> Command:
    """Which shards are meant."""
    for decorate in (
        app_dir,
        click.option(
            "--app", metavar="MODULE:OBJECT", help="Mappings whose functions and ARNs are names for --mapping."
        ),
        click.option("--shard", "shards", multiple=True, metavar="SHARD", help="This shard alone; may be repeated."),
        click.option("--mapping", "mappings", multiple=True, metavar="NAME", help="This uuid, function or ARN alone."),
    ):
        command = decorate(command)
    return command


def _moving(command: Command) -> Command:
    """How a move is made."""
    for decorate in (
        as_json,
        click.option("--force", is_flag=True, help="Also while a live worker reads the shard."),
        click.option("--dry-run", is_flag=True, help="Show what would be moved, and move nothing."),
    ):
        command = decorate(command)
    return command


def _all(command: Command) -> Command:
    return click.option("--all", "everything", is_flag=True, help="All shards of all mappings in the store.")(command)


@positions_command.command("show")
@_which
@store
@as_json
def _show(*, store: str, json: bool, **which: Any) -> None:
    """List the positions in a store. Changes nothing; a worker may be running.

    All at or below a position is settled. An owner that does not live any more is marked.

    \b
        esm positions show
        esm positions show --app app:mappings --mapping handle
        esm positions show --store sqlite:////var/lib/esm/positions.db --json
    """  # noqa: D301  # click's own mark
    held = asyncio.run(stored.look(store, Selection(**which)))
    click.echo(shown.positions_json(held) if json else shown.positions_text(held))


@positions_command.command("set", short_help="Move shards to a starting point or a sequence number.")
@click.argument("position")
@_which
@_all
@store
@_moving
def _set(*, position: str, **typed: Any) -> None:
    """Move shards to POSITION: TRIM_HORIZON, LATEST, a sequence number, or end.

    TRIM_HORIZON is the oldest record kept, LATEST is now. All at or below a sequence number counts as settled: what
    follows it is read next. A shard at its end is read no more, and its children need not wait for it.

    \b
        esm positions set LATEST --all
        esm positions set 49590338271490256608559692538361571095921575989136588898 --shard shardId-000000000000
        esm positions set end --app app:mappings --mapping handle --shard shardId-000000000003 --dry-run
    """  # noqa: D301  # click's own mark
    place = place_of(position, SystemClock().now())
    _move(place, command=f"set {position}", one=is_of_one_shard(position), **typed)


@positions_command.command("rewind")
@click.option(
    "--to", "time", required=True, metavar="TIME", help="ISO 8601 with its zone, or a span ago, as 90m or 1d12h."
)
@_which
@_all
@store
@_moving
def _rewind(*, time: str, **typed: Any) -> None:
    """Read shards again from a time on.

    Records that arrived at TIME or later come again, in their order. A shard that was read to its end is opened again,
    and children that are moved with it wait for it. A TIME after the position moves it forward. Tables have no
    such iterator: their shards are read from the oldest record kept, and records of the seconds before are passed over.

    \b
        esm positions rewind --to 2h --all
        esm positions rewind --to 2026-01-31T12:00:00Z --app app:mappings --mapping handle --dry-run
    """  # noqa: D301  # click's own mark
    at = moment(time, SystemClock().now())
    _move(lambda _checkpoint: beginning_at(Position.at_timestamp(at)), command=f"rewind --to {time}", **typed)


@positions_command.command("skip", short_help="Pass over the next records of one shard.")
@click.argument("count", metavar="N", type=click.IntRange(1, 1_000_000))
@_which
@store
@_moving
@endpoint
def _skip(
    *,
    count: int,
    store: str,
    dry_run: bool,
    force: bool,
    json: bool,
    endpoint_url: str | None,
    region: str | None,
    live: bool,
    **which: Any,
) -> None:
    """Pass over the next N records of one shard, and show which they are.

    Those that the function has done already do not count, nor do those that the mapping's filters drop. They are gone
    for this mapping: no destination is told. The log keeps their range.

    \b
        esm positions skip 1 --app app:mappings --mapping handle --shard shardId-000000000000 --live --dry-run
        esm positions skip 20 --app app:mappings --endpoint-url http://127.0.0.1:4566 --force
    """  # noqa: D301  # click's own mark
    selection = Selection(**which)
    if selection.app is None:
        raise click.UsageError("Give --app MODULE:OBJECT: the records are read as its mapping would.", _context())
    held = asyncio.run(stored.look(store, selection))
    shards = {(lease.key.mapping, lease.key.shard_id): lease for lease in held.leases}
    mapping = held.known.get(stored.only_one(list(shards.values()), "skip").key.mapping)
    if mapping is None:
        raise Failure(Exit.INVALID, f"--app={selection.app!r}: has no mapping {held.leases[0].key.mapping}")
    guard.check([mapping], endpoint_url, live=live)
    lease, passed = asyncio.run(look_ahead(mapping, held.leases, count, endpoint_url=endpoint_url, region=region))
    moves = _skipped(lease, passed, store, force=force, dry_run=dry_run)
    text = f"{shown.passed_text(passed, held.leases[0].key.shard_id)}\n{shown.moves_text(moves, dry_run=dry_run)}"
    click.echo(shown.moves_json(moves, dry_run=dry_run, passed=passed) if json else text)


def _skipped(lease: Lease | None, passed: Passed, store: str, *, force: bool, dry_run: bool) -> list[Move]:
    if lease is None or passed.last is None:
        return []
    key, last = lease.key, passed.last

    def wanted(leases: list[Lease]) -> list[Move]:
        return [Move.of(each, passed_over(each.checkpoint, last)) for each in leases if each.key == key]

    command = f"skip {passed.records} ({passed.first} to {last})"
    return asyncio.run(stored.apply(store, wanted, command=command, force=force, dry_run=dry_run))


@positions_command.command("export")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True, path_type=Path), default="-")
@_which
@store
def _export(*, file: Path, store: str, **which: Any) -> None:
    """Write positions to FILE, or to stdout, as JSON Lines. Changes nothing in the store.

    The same positions are the same file. An open window's state, which the function made, is in it.

    \b
        esm positions export positions.jsonl
        esm positions export --app app:mappings --mapping handle >positions.jsonl
    """  # noqa: D301  # click's own mark
    held = asyncio.run(stored.look(store, Selection(**which)))
    try:
        with click.open_file(str(file), "w", encoding="utf-8", atomic=str(file) != "-") as stream:
            stream.writelines(f"{line}\n" for line in lines_of(held.leases))
    except OSError as error:
        raise Failure(Exit.INVALID, f"FILE={str(file)!r}: {error.strerror}") from None


@positions_command.command("import", short_help="Move shards to the positions in a file.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@store
@_moving
def _import(*, file: Path, store: str, dry_run: bool, force: bool, json: bool) -> None:
    """Move shards to the positions in FILE, as export wrote it; - is stdin.

    The whole file is checked before anything is moved. Shards that the store does not have yet are added, those that
    the file does not name stay as they are.

    \b
        esm positions import positions.jsonl --dry-run
        esm positions import positions.jsonl --store sqlite:////var/lib/esm/positions.db
    """  # noqa: D301  # click's own mark
    text = _read(file)
    try:
        leases = leases_of(text)
    except StoreError as error:
        raise Failure(Exit.INVALID, f"{file}: {error}") from None

    def wanted(there: list[Lease]) -> list[Move]:
        rows = {lease.key: lease for lease in there}
        return [Move(lease.key, lease.checkpoint, rows.get(lease.key), lease.parents) for lease in leases]

    applied = stored.apply(store, wanted, command=f"import {file.name}", force=force, dry_run=dry_run, access="create")
    _show_moves(asyncio.run(applied), dry_run=dry_run, json=json)


@positions_command.command("log")
@store
@as_json
def _log(*, store: str, json: bool) -> None:
    """List who moved what, when, from where to where.

    \b
        esm positions log
        esm positions log --json
    """  # noqa: D301  # click's own mark
    moves = asyncio.run(stored.history(store))
    click.echo(shown.log_json(moves) if json else shown.log_text(moves))


def _move(
    place: Place,
    *,
    command: str,
    store: str,
    everything: bool,
    dry_run: bool,
    force: bool,
    json: bool,
    one: bool = False,
    **which: Any,
) -> None:
    selection = Selection(**which)
    if everything == bool(selection.mappings or selection.shards):
        raise click.UsageError("Give --mapping or --shard, or --all for every shard in the store.", _context())
    known = selection.known()

    def wanted(leases: list[Lease]) -> list[Move]:
        chosen: Sequence[Lease] = selection.of(leases, known)
        if one:
            stored.only_one(chosen, "a sequence number")
        return [Move.of(lease, place(lease.checkpoint)) for lease in chosen]

    moves = asyncio.run(stored.apply(store, wanted, command=command, force=force, dry_run=dry_run))
    _show_moves(moves, dry_run=dry_run, json=json)


def _read(file: Path) -> bytes:
    try:
        with click.open_file(str(file), "rb") as stream:
            text: bytes = stream.read()
    except OSError as error:
        raise Failure(Exit.INVALID, f"FILE={str(file)!r}: {error.strerror}") from None
    return text


def _show_moves(moves: list[Move], *, dry_run: bool, json: bool) -> None:
    click.echo(shown.moves_json(moves, dry_run=dry_run) if json else shown.moves_text(moves, dry_run=dry_run))


def _context() -> click.Context:
    return click.get_current_context()
