"""`esm positions show`: what the store holds, without changing it."""

from __future__ import annotations

import json
from collections.abc import Sequence

from esm.cli.summary import columns
from esm.leasing.lease import Lease
from esm.stores.open import stored_leases

__all__ = ["leases_in", "positions_json", "positions_text"]

_HEADS = ("mapping", "shard", "owner", "epoch", "position", "ended")


def leases_in(store: str) -> list[Lease]:
    """All leases of the store, by mapping and shard. Raises `StoreError`; a file that is not there is not made."""
    return sorted(stored_leases(store), key=lambda lease: lease.key)


def positions_text(leases: Sequence[Lease]) -> str:
    """A row for each lease."""
    if not leases:
        return "no positions yet"
    return columns([_HEADS, *(_row(lease) for lease in leases)])


def positions_json(leases: Sequence[Lease]) -> str:
    """The same as JSON."""
    heads = ("mapping", "shard", "owner", "epoch", "position", "ended")
    return json.dumps(
        [
            dict(
                zip(
                    heads,
                    (
                        lease.key.mapping,
                        lease.key.shard_id,
                        lease.owner,
                        lease.epoch,
                        lease.checkpoint.settled,
                        lease.checkpoint.ended,
                    ),
                    strict=True,
                )
            )
            for lease in leases
        ],
        indent=2,
    )


def _row(lease: Lease) -> tuple[str, ...]:
    checkpoint = lease.checkpoint
    position = checkpoint.settled or f"({checkpoint.start.type})"
    ended = "yes" if checkpoint.ended else "no"
    return lease.key.mapping, lease.key.shard_id, lease.owner or "-", str(lease.epoch), position, ended
