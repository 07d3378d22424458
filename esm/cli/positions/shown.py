"""Positions, moves and the log of moves: tables for people, JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from esm.cli.positions.moving import Held
from esm.cli.positions.places import time_text, words
from esm.cli.positions.skipping import Passed
from esm.cli.terminal import columns
from esm.leasing.lease import Lease, LeaseKey
from esm.leasing.moves import Move, Moved
from esm.records.position import Checkpoint

__all__ = ["log_json", "log_text", "moves_json", "moves_text", "passed_text", "positions_json", "positions_text"]

_HEADS = ("mapping", "shard", "owner", "epoch", "position", "ended")
_LOG_HEADS = ("at", "who", "mapping", "shard", "from", "to", "command")


def positions_text(held: Held) -> str:
    """A row for each lease; an owner that does not live any more is `gone`."""
    if not held.leases:
        return "no positions yet"
    return columns([_HEADS, *(_row(lease, held) for lease in held.leases)])


def positions_json(held: Held) -> str:
    """The same and more, as JSON."""
    return json.dumps([_as_dict(lease, held) for lease in held.leases], indent=2)


def moves_text(moves: Sequence[Move], *, dry_run: bool) -> str:
    """A row for each move, and what it does beside."""
    if not moves:
        return "nothing to move: every position is there already"
    rows = [("mapping", "shard", "from", "to"), *((*_named(move.key), *_from_to(move)) for move in moves)]
    count = f"{len(moves)} {'position' if len(moves) == 1 else 'positions'}"
    return "\n".join((columns(rows), *_notes(moves), f"{'would move' if dry_run else 'moved'} {count}"))


def moves_json(moves: Sequence[Move], *, dry_run: bool, passed: Passed | None = None) -> str:
    """The same as JSON."""
    what: dict[str, Any] = {"dry_run": dry_run, "moves": [_move_dict(move) for move in moves]}
    if passed is not None:
        what["skipped"] = asdict(passed)
    return json.dumps(what, indent=2)


def passed_text(passed: Passed, shard_id: str) -> str:
    """How many records a skip passes over, and which."""
    if passed.last is None:
        return f"no record is waiting in {shard_id}"
    filtered = f", and {passed.filtered} that filters drop" if passed.filtered else ""
    fewer = "; there are no more" if passed.at_tip else ""
    gone = "\nrecords before these are no longer kept: there is a gap" if passed.trimmed else ""
    times = f"{time_text(passed.first_at)} to {time_text(passed.last_at)}"
    return f"{passed.records} of {shard_id}{filtered}: {passed.first} to {passed.last}, arrived {times}{fewer}{gone}"


def log_text(moves: Sequence[Moved]) -> str:
    """A row for each move that was ever made, the oldest first."""
    if not moves:
        return "nothing was ever moved"
    return columns([_LOG_HEADS, *(_log_row(move) for move in moves)])


def log_json(moves: Sequence[Moved]) -> str:
    """The same as JSON, with the whole of each position before and after."""
    return json.dumps([_log_dict(move) for move in moves], indent=2)


def _row(lease: Lease, held: Held) -> tuple[str, ...]:
    owner = lease.owner or "-"
    gone = " (gone)" if lease.owner is not None and lease.owner not in held.alive else ""
    name, checkpoint = lease.key.mapping, lease.checkpoint
    if lease.key.mapping in held.known:
        name = f"{held.known[lease.key.mapping].function.name} ({name})"
    where = words(checkpoint) if checkpoint.settled is None or not checkpoint.ended else checkpoint.settled
    ended = "yes" if checkpoint.ended else "no"
    return name, lease.key.shard_id, owner + gone, str(lease.epoch), where, ended


def _as_dict(lease: Lease, held: Held) -> dict[str, Any]:
    key, mapping = lease.key, held.known.get(lease.key.mapping)
    return {
        "mapping": key.mapping,
        "function": None if mapping is None else mapping.function.qualified_name,
        "event_source_arn": None if mapping is None else mapping.event_source_arn,
        "stream": key.stream,
        "shard": key.shard_id,
        "parents": lease.parents,
        "owner": lease.owner,
        "owner_lives": lease.owner in held.alive,
        "epoch": lease.epoch,
        **_where(lease.checkpoint),
    }


def _where(checkpoint: Checkpoint) -> dict[str, Any]:
    """Without a window's state, which is the function's own."""
    window = checkpoint.window
    return {
        "position": checkpoint.settled,
        "ended": checkpoint.ended,
        "start": msgspec.structs.asdict(checkpoint.start),
        "lanes": [layer.settled for layer in checkpoint.lanes],
        "window": None if window is None else {"start": window.start, "end": window.end},
    }


def _move_dict(move: Move) -> dict[str, Any]:
    before = None if move.before is None else _where(move.before.checkpoint)
    epoch = 0 if move.before is None else move.before.epoch + 1
    return {**_key_dict(move.key), "epoch": epoch, "from": before, "to": _where(move.checkpoint)}


def _log_row(move: Moved) -> tuple[str, ...]:
    before = "-" if move.before is None else words(move.before)
    return time_text(move.at), move.who, *_named(move.key), before, words(move.after), move.command


def _log_dict(move: Moved) -> dict[str, Any]:
    return {
        "at": time_text(move.at),
        "who": move.who,
        "command": move.command,
        **_key_dict(move.key),
        "epoch": move.epoch,
        "owner": move.owner,
        "from": None if move.before is None else _where(move.before),
        "to": _where(move.after),
    }


def _key_dict(key: LeaseKey) -> dict[str, str]:
    return {"mapping": key.mapping, "stream": key.stream, "shard": key.shard_id}


def _named(key: LeaseKey) -> tuple[str, str]:
    return key.mapping, key.shard_id


def _from_to(move: Move) -> tuple[str, str]:
    return "-" if move.before is None else words(move.before.checkpoint), words(move.checkpoint)


def _notes(moves: Sequence[Move]) -> Iterator[str]:
    """What a move does that its row does not say."""
    for move in moves:
        shard_id, before = move.key.shard_id, move.before
        if before is not None and before.checkpoint.ended and not move.checkpoint.ended:
            yield f"{shard_id} was read to its end: children that have begun do not wait for it"
        if before is not None and before.checkpoint.window is not None and move.checkpoint.window is None:
            yield f"{shard_id} has an open window: its state is dropped, and its last call is not made"
