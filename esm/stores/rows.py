"""A lease as a row of text and numbers, and back.

A checkpoint is JSON in this shape; sequence numbers are text, for no number type holds 56 digits:

    {"start": {"type": "LATEST", "at": 1732200000000, "sequence_number": null},
     "lanes": [{"settled": ["4951...", null]}],
     "ended": false,
     "window": {"start": 1732200000000, "end": 1732200060000, "state": "{}", "terminated_early": false}}

`start` is a `Position`, `at` in epoch milliseconds; `lanes` has a layer for each lane count in use, the current one
last, and `null` for a lane that has settled nothing. `window` is the open tumbling window, `null` or absent for none;
its state is JSON text within, so that whatever the function returned comes back as it was. Parents are a JSON array of
shard ids.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from esm.errors import StoreError
from esm.leasing.lease import Lease, LeaseKey
from esm.leasing.moves import Moved
from esm.records.position import Checkpoint

__all__ = [
    "Row",
    "checkpoint_columns",
    "checkpoint_of",
    "checkpoint_text",
    "lease_of",
    "move_row_of",
    "moved_of",
    "order_of",
    "row_of",
]

Row = tuple[Any, ...]
"""mapping, stream, shard_id, parents, owner, epoch, beat, checkpoint, settled, ended.

The last two repeat what the checkpoint says, so that a write can be conditional on them.
"""

_encode = msgspec.json.Encoder().encode
_parents = msgspec.json.Decoder(tuple[str, ...])
_checkpoint = msgspec.json.Decoder(Checkpoint)


def row_of(lease: Lease) -> Row:
    """The row of a lease."""
    key = lease.key
    fixed = (key.mapping, key.stream, key.shard_id, _encode(lease.parents).decode())
    return (*fixed, lease.owner, lease.epoch, lease.beat, *checkpoint_columns(lease.checkpoint))


def checkpoint_columns(checkpoint: Checkpoint) -> tuple[str, str, bool]:
    """`checkpoint`, `settled` and `ended`.

    `settled` has no leading zeros and is "" for nothing, so that (length, text) orders it as a number.
    """
    return checkpoint_text(checkpoint).decode(), order_of(checkpoint)[1], checkpoint.ended


def checkpoint_text(checkpoint: Checkpoint) -> bytes:
    """The JSON of a checkpoint."""
    return _encode(checkpoint)


def order_of(checkpoint: Checkpoint) -> tuple[int, str]:
    """What orders checkpoints by what is settled: the length of `settled`, and `settled`."""
    settled = checkpoint.settled
    text = "" if settled is None else settled.lstrip("0") or "0"
    return len(text), text


def lease_of(row: Row) -> Lease:
    """The lease of a row. Raises `StoreError` naming the lease when its text is not what `row_of` writes."""
    mapping, stream, shard_id, parents, owner, epoch, beat, text, _settled, _ended = row
    try:
        key, checkpoint = LeaseKey(mapping, stream, shard_id), checkpoint_of(text)
        return Lease(key, checkpoint, _parents.decode(parents), owner, epoch, beat)
    except (ValueError, TypeError) as error:
        raise StoreError(f"lease {mapping}/{shard_id}: its row is damaged ({type(error).__name__})") from error


def move_row_of(move: Moved) -> Row:
    """The row of a move: at, who, command, mapping, stream, shard_id, epoch, owner, before, after."""
    key, before = move.key, None if move.before is None else _encode(move.before).decode()
    named = (move.at, move.who, move.command, key.mapping, key.stream, key.shard_id)
    return (*named, move.epoch, move.owner, before, _encode(move.after).decode())


def moved_of(row: Row) -> Moved:
    """The move of a row. Raises `StoreError` naming the lease when its text is not what `move_row_of` writes."""
    at, who, command, mapping, stream, shard_id, epoch, owner, before, after = row
    try:
        return Moved(
            at=at,
            who=who,
            command=command,
            key=LeaseKey(mapping, stream, shard_id),
            epoch=epoch,
            owner=owner,
            before=None if before is None else checkpoint_of(before),
            after=checkpoint_of(after),
        )
    except (ValueError, TypeError) as error:
        raise StoreError(f"move of {mapping}/{shard_id}: its row is damaged ({type(error).__name__})") from error


def checkpoint_of(text: str | bytes) -> Checkpoint:
    """The checkpoint of its JSON. Raises `ValueError`, `TypeError` when it is none."""
    checkpoint = _checkpoint.decode(text)
    for layer in checkpoint.lanes:
        layer.lowest, layer.highest  # noqa: B018 -- they raise for a layer of no lanes, and for what is no number
    if checkpoint.window is not None:
        json.loads(checkpoint.window.state)
    return checkpoint
