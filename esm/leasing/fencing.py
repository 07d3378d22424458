"""What a write makes of the row it meets: the next row, or a refusal.

A lease's owner and epoch fence every write: they change together, at a change of owner alone, so whoever holds an older
pair is refused and a write repeated under the same pair succeeds. A store has to make read, rule and write one step.
"""

from __future__ import annotations

from msgspec.structs import replace

from esm.errors import LeaseLostError, StoreError
from esm.leasing.lease import Lease
from esm.records.position import Checkpoint

__all__ = ["advanced", "released", "renewed", "taken"]


def advanced(row: Lease | None, lease: Lease, checkpoint: Checkpoint) -> Lease:
    """The row with this checkpoint.

    Raises `LeaseLostError` for an owner or epoch of old, `StoreError` for a checkpoint that goes back: less settled
    than is stored, or open again after its end.
    """
    held = _held(row, lease)
    if _goes_back(held.checkpoint, checkpoint):
        was, is_ = held.checkpoint, checkpoint
        raise StoreError(
            f"lease {_name(lease)}: a checkpoint never goes back"
            f" (stored: settled {was.settled}, ended {was.ended}; refused: settled {is_.settled}, ended {is_.ended})",
        )
    return replace(held, checkpoint=checkpoint)


def renewed(row: Lease | None, lease: Lease) -> Lease:
    """The row with its beat one higher. Raises `LeaseLostError`."""
    held = _held(row, lease)
    return replace(held, beat=held.beat + 1)


def taken(row: Lease | None, lease: Lease, owner: str) -> Lease:
    """The row, `owner`'s, its epoch one above that of `lease`.

    Another owner's row must not have been renewed since `lease` was read. Raises `LeaseLostError`.
    """
    if row is not None and (row.owner, row.epoch) == (owner, lease.epoch + 1):
        return row  # done already, the answer was lost
    held = _held(row, lease)
    if held.beat != lease.beat and held.owner != owner:
        raise LeaseLostError(f"lease {_name(lease)}: {held.owner} renewed it")
    return replace(held, owner=owner, epoch=held.epoch + 1)


def released(row: Lease | None, lease: Lease) -> Lease:
    """The row without an owner, its epoch one above that of `lease`. Raises `LeaseLostError`."""
    if row is not None and (row.owner, row.epoch) == (None, lease.epoch + 1):
        return row  # done already, the answer was lost
    held = _held(row, lease)
    return replace(held, owner=None, epoch=held.epoch + 1)


def _held(row: Lease | None, lease: Lease) -> Lease:
    if row is None:
        raise LeaseLostError(f"lease {_name(lease)}: its row is gone")
    if (row.owner, row.epoch) != (lease.owner, lease.epoch):
        raise LeaseLostError(
            f"lease {_name(lease)}: held by {row.owner} under epoch {row.epoch},"
            f" the write came from {lease.owner} under epoch {lease.epoch}",
            free=row.owner is None,
        )
    return row


def _goes_back(stored: Checkpoint, new: Checkpoint) -> bool:
    if stored.ended and not new.ended:
        return True
    was, is_ = stored.settled, new.settled
    return was is not None and (is_ is None or int(is_) < int(was))


def _name(lease: Lease) -> str:
    return f"{lease.key.mapping}/{lease.key.shard_id}"
