"""A lease: one shard of one mapping, who reads it, and how far it has come."""

from __future__ import annotations

from msgspec import Struct

from esm.records.position import Checkpoint

__all__ = ["Lease", "LeaseKey"]


class LeaseKey(Struct, frozen=True, order=True):
    """What a lease is for. `stream`: identity of the stream, so that one made anew under the same name starts anew."""

    mapping: str
    stream: str
    shard_id: str


class Lease(Struct, frozen=True):
    """One row of the store.

    `owner`: the worker that reads it, `None` when nobody does. `epoch`: adds 1 at every change of owner, a release
    included;
    with `owner` it fences every write. `beat`: adds 1 at every renewal; no write is conditional on it but a take by
    another worker.
    `parents`: shards that must be ended first.
    """

    key: LeaseKey
    checkpoint: Checkpoint
    parents: tuple[str, ...] = ()
    owner: str | None = None
    epoch: int = 0
    beat: int = 0
