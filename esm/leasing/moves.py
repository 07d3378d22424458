"""Positions moved by hand: where to, what that makes of the row, and what is kept of it.

A move is no checkpoint. It may go back, it leaves the lease without an owner and its epoch one higher, so whoever reads
the shard writes nothing any more and has to take it anew, and it is written down together with the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from esm.clock import Millis
from esm.errors import LeaseLostError
from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position, SequenceNumber

__all__ = ["Move", "Moved", "after", "at_end", "beginning_at", "log_entry", "moved", "passed_over"]


@dataclass(frozen=True, slots=True)
class Move:
    """One lease, put elsewhere.

    `before`: the lease as it was read; `None` for one that is not there yet. `parents`: shards that must be ended
    first.
    """

    key: LeaseKey
    checkpoint: Checkpoint
    before: Lease | None
    parents: tuple[str, ...] = ()

    @classmethod
    def of(cls, lease: Lease, checkpoint: Checkpoint) -> Move:
        """A lease that is there, to `checkpoint`."""
        return cls(lease.key, checkpoint, lease, lease.parents)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A move as the store remembers it.

    `at`: epoch ms. `who`: user and host. `command`: as it was typed. `epoch`: of the lease since. `owner`: who held it
    until then, `None` when nobody did. `before`: `None` when the move made the lease.
    """

    at: Millis
    who: str
    command: str
    key: LeaseKey
    epoch: int
    owner: str | None
    before: Checkpoint | None
    after: Checkpoint


def moved(row: Lease | None, move: Move) -> Lease:
    """The row, moved: nobody's, its epoch one higher. Raises `LeaseLostError` when it changed since it was read."""
    seen = move.before
    if row is None or seen is None:
        if row is not seen:
            what = "is gone" if row is None else "is there by now"
            raise LeaseLostError(f"lease {_name(move.key)}: its row {what}; nothing was moved")
        return Lease(move.key, move.checkpoint, move.parents)
    if (row.owner, row.epoch, row.checkpoint) != (seen.owner, seen.epoch, seen.checkpoint):
        raise LeaseLostError(f"lease {_name(move.key)}: it changed while it was looked at; nothing was moved")
    return replace(row, checkpoint=move.checkpoint, parents=move.parents, owner=None, epoch=row.epoch + 1)


def log_entry(move: Move, lease: Lease, *, at: Millis, who: str, command: str) -> Moved:
    """What is kept of a move that made `lease`."""
    seen = move.before
    return Moved(
        at=at,
        who=who,
        command=command,
        key=move.key,
        epoch=lease.epoch,
        owner=None if seen is None else seen.owner,
        before=None if seen is None else seen.checkpoint,
        after=move.checkpoint,
    )


def beginning_at(position: Position) -> Checkpoint:
    """Nothing settled, no window open: all from `position` on is read."""
    return Checkpoint(position)


def after(checkpoint: Checkpoint, sequence_number: SequenceNumber) -> Checkpoint:
    """All at or below `sequence_number` settled and nothing above it, whatever any lane had; no window open."""
    return Checkpoint(checkpoint.start, (LanePositions((sequence_number,)),))


def at_end(checkpoint: Checkpoint) -> Checkpoint:
    """Nothing of the shard is read any more; its children may be."""
    return replace(checkpoint, ended=True, window=None)


def passed_over(checkpoint: Checkpoint, last: SequenceNumber) -> Checkpoint:
    """All at or below `last` settled, and what lanes had settled above it.

    An open window goes on without what was passed over. The same checkpoint when `last` is settled already.
    """
    if checkpoint.settled is not None and int(checkpoint.settled) >= int(last):
        return checkpoint
    return replace(checkpoint, lanes=(LanePositions((last,)), *_above(checkpoint.lanes, last)))


def _above(lanes: Sequence[LanePositions], last: SequenceNumber) -> tuple[LanePositions, ...]:
    """The layers in which some lane is further than `last`."""
    return tuple(layer for layer in lanes if layer.highest is not None and int(layer.highest) > int(last))


def _name(key: LeaseKey) -> str:
    return f"{key.mapping}/{key.shard_id}"
