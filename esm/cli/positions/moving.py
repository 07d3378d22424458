"""`esm positions`: what a store holds, which of it is meant, and how it is moved."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from esm.cli.exits import Exit, Failure
from esm.cli.interrupts import stdout_kept
from esm.cli.load import load
from esm.clock import SystemClock
from esm.errors import LeaseLostError
from esm.leasing.lease import Lease, LeaseKey
from esm.leasing.moves import Move, Moved
from esm.mapping.settings import EventSourceMapping
from esm.stores.open import operated_store
from esm.stores.sqlite_file import Access
from esm.stores.store import OperatedStore

__all__ = ["Held", "Selection", "apply", "history", "look", "only_one"]

TRIES = 5
"""How often a move is tried anew when a worker writes meanwhile (chosen)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which leases are meant; empty: all of them. `app`: gives functions and ARNs as names of mappings."""

    mappings: Sequence[str] = ()
    shards: Sequence[str] = ()
    app: str | None = None
    app_dir: Path = Path()

    def known(self) -> dict[str, EventSourceMapping]:
        """The mappings of `app` by uuid; none without it."""
        if self.app is None:
            return {}
        with stdout_kept():
            return {each.uuid: each for each in load(self.app, self.app_dir)}

    def of(self, leases: Sequence[Lease], known: dict[str, EventSourceMapping]) -> list[Lease]:
        """The leases that are meant, by mapping and shard. Raises `Failure` for a name that none of them has."""
        uuids = {uuid for name in self.mappings for uuid in _uuids(name, leases, known)}
        chosen = [lease for lease in leases if not uuids or lease.key.mapping in uuids]
        for shard in self.shards:
            if not any(lease.key.shard_id == shard for lease in chosen):
                there = ", ".join(sorted({lease.key.shard_id for lease in chosen})) or "no shards"
                raise Failure(Exit.INVALID, f"--shard={shard!r}: the store has {there}")
        chosen = [lease for lease in chosen if not self.shards or lease.key.shard_id in self.shards]
        return sorted(chosen, key=lambda lease: lease.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What was found: leases, which of their owners are alive, and the mappings that were named, by uuid."""

    leases: list[Lease]
    alive: frozenset[str] = frozenset()
    known: dict[str, EventSourceMapping] = field(default_factory=dict)


async def look(store: str, selection: Selection) -> Held:
    """The leases that are meant. Changes nothing; a worker may be running. Raises `StoreError`, `Failure`."""
    known = selection.known()
    async with _opened(store, "read") as opened:
        leases = selection.of(await opened.load_all(), known)
        return Held(leases=leases, alive=await opened.living(_owners(leases)), known=known)


async def history(store: str) -> list[Moved]:
    """All moves, the oldest first. Raises `StoreError`."""
    async with _opened(store, "read") as opened:
        return await opened.moves()


async def apply(
    store: str,
    wanted: Callable[[list[Lease]], list[Move]],
    *,
    command: str,
    force: bool,
    dry_run: bool,
    access: Access = "write",
) -> list[Move]:
    """Moves what `wanted` makes of the store's leases, all of it or nothing; gives what was moved, or would have been.

    `wanted` is asked again when a worker writes in between. Raises `Failure` when a live worker holds one of the leases
    and `force` is not given.
    """
    looking: Access = "preview" if access == "create" else "read"
    async with _opened(store, looking if dry_run else access) as opened:
        for tries_left in reversed(range(TRIES)):
            moves = [move for move in wanted(await opened.load_all()) if _changes(move)]
            if not force:
                await _refuse_living(opened, moves)
            if dry_run or not moves:
                break
            try:
                await opened.move(moves, at=SystemClock().now(), who=_who(), command=command)
            except LeaseLostError:
                if not tries_left:
                    raise
            else:
                break
        return moves


def only_one(leases: Sequence[Lease], what: str) -> Lease:
    """The lease, where just one is meant. Raises `Failure`."""
    if len(leases) == 1:
        return leases[0]
    named = ", ".join(f"{lease.key.mapping}/{lease.key.shard_id}" for lease in leases) or "none"
    raise Failure(Exit.INVALID, f"{what} is for one shard of one mapping; choose with --mapping and --shard: {named}")


@asynccontextmanager
async def _opened(url: str, access: Access) -> AsyncIterator[OperatedStore]:
    store = operated_store(url, access)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def _refuse_living(store: OperatedStore, moves: Sequence[Move]) -> None:
    held: dict[str, LeaseKey] = {}
    for move in moves:
        if move.before is not None and move.before.owner is not None:
            held.setdefault(move.before.owner, move.key)
    for owner in sorted(await store.living(held)):
        line = f"{held[owner].shard_id} is read by {owner}, which is running; stop it first, or add --force"
        raise Failure(Exit.IN_USE, line)


def _changes(move: Move) -> bool:
    return move.before is None or move.before.checkpoint != move.checkpoint or move.before.parents != move.parents


def _owners(leases: Sequence[Lease]) -> set[str]:
    return {lease.owner for lease in leases if lease.owner is not None}


def _uuids(name: str, leases: Sequence[Lease], known: dict[str, EventSourceMapping]) -> set[str]:
    stored = {lease.key.mapping for lease in leases}
    if name in stored:
        return {name}
    names = {uuid: _names(mapping) for uuid, mapping in known.items() if uuid in stored}
    found = {uuid for uuid, its in names.items() if name in its}
    if not found:
        hint = "" if known else "; functions and ARNs are known with --app MODULE:OBJECT"
        raise Failure(
            Exit.INVALID, f"--mapping={name!r}: the store has {', '.join(sorted(stored)) or 'no mappings'}{hint}"
        )
    return found


def _names(mapping: EventSourceMapping) -> tuple[str, ...]:
    function = mapping.function
    return function.name, function.qualified_name, mapping.event_source_arn, mapping.stream_arn


def _who() -> str:
    """User and host, as the system tells them; a user without a name has a number."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"
