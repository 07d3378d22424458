"""Parents before children: which leases a stream's shards need, and which of them may be read now.

    waiting  -- parents ended ---->  ready
    ready    -- taken ------------>  owned
    owned    -- released --------->  ready
    owned    -- read to the end -->  ended
    ready    -- parent listed ---->  waiting
    owned    -- parent listed ---->  waiting

A lease begins as waiting or ready, or as ended (a shard that was closed before a mapping began at `LATEST`). The last
two lines are for services that list a parent later than its child; an owner is left alone until it releases.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, Position
from esm.records.record import Shard

__all__ = ["TRANSITIONS", "Stage", "plan", "ready", "removable", "stages", "waiting"]

Stage = Literal["waiting", "ready", "owned", "ended"]
"""Where a lease stands in the diagram above."""

TRANSITIONS: dict[Stage, frozenset[Stage]] = {
    "waiting": frozenset({"ready"}),
    "ready": frozenset({"owned", "waiting"}),
    "owned": frozenset({"ready", "ended", "waiting"}),
    "ended": frozenset(),
}


def plan(shards: Iterable[Shard], leases: Iterable[Lease], start: Position, mapping: str, stream: str) -> list[Lease]:
    """The leases to create, by shard id; empty when every listed shard has one.

    `start`: the mapping's starting position; it matters for the shards listed while the stream has no lease at all.
    Those that appear later are read from their beginning, also with `LATEST`. `stream`: the stream's identity; leases
    of another one do not count. Order and repetitions of `shards` do not matter.
    """
    listed = _listed(shards)
    known = {
        lease.key.shard_id: lease for lease in leases if lease.key.mapping == mapping and lease.key.stream == stream
    }
    children = _children(listed, known)
    return [
        Lease(
            LeaseKey(mapping, stream, shard_id),
            _later(shard_id, children, known) if known else _first(listed[shard_id], listed, start),
            listed[shard_id].parents,
        )
        for shard_id in sorted(listed.keys() - known.keys())
    ]


def ready(leases: Iterable[Lease]) -> list[Lease]:
    """Those that may be read now, whoever owns them: not ended, and every parent that has a lease is.

    A parent without a lease is complete: it was trimmed before it was ever listed, or its row was removed.
    """
    rows = list(leases)
    unfinished = _unfinished(rows)
    return [lease for lease in rows if lease.key in unfinished and not _pending(lease, unfinished)]


def waiting(leases: Iterable[Lease]) -> list[tuple[Lease, tuple[str, ...]]]:
    """Those that must not be read yet, each with the shards that it waits for."""
    rows = list(leases)
    unfinished = _unfinished(rows)
    return [(lease, pending) for lease in rows if lease.key in unfinished and (pending := _pending(lease, unfinished))]


def stages(leases: Iterable[Lease]) -> dict[LeaseKey, Stage]:
    """Where each lease stands."""
    rows = list(leases)
    unfinished = _unfinished(rows)
    return {lease.key: _stage(lease, unfinished) for lease in rows}


def removable(leases: Iterable[Lease], shards: Iterable[Shard]) -> list[Lease]:
    """The ended leases whose rows nobody needs any more. `leases`: those of the one stream that `shards` lists.

    The shard is no longer listed (or it would come back as unknown, and be read again), nobody owns the lease, and it
    has children that are all ended or under way. The youngest generation has none and stays: a stream without a lease
    would be taken for one never seen, and begin at the mapping's starting position again.
    """
    rows = list(leases)
    listed = {shard.shard_id for shard in shards}
    children: defaultdict[str, list[Lease]] = defaultdict(list)
    for lease in rows:
        for parent in lease.parents:
            children[parent].append(lease)
    return [
        lease
        for lease in rows
        if lease.checkpoint.ended
        and lease.owner is None
        and lease.key.shard_id not in listed
        and children[lease.key.shard_id]
        and all(_under_way(child) for child in children[lease.key.shard_id])
    ]


def _first(shard: Shard, listed: Mapping[str, Shard], start: Position) -> Checkpoint:
    """Where a shard of a stream never seen before begins."""
    if start.type != "LATEST" or shard.closed:
        return Checkpoint(start, ended=start.type == "LATEST")
    # A list can be out of step with itself and show an open shard under an open parent (DynamoDB). The parent begins at
    # the tip, so all of its child comes after it: the child's own tip would leave a gap. (chosen)
    if any(parent in listed and not listed[parent].closed for parent in shard.parents):
        return Checkpoint(Position.trim_horizon())
    return Checkpoint(start)


def _later(shard_id: str, children: Mapping[str, set[str]], known: Mapping[str, Lease]) -> Checkpoint:
    """Where a shard begins that a stream with leases did not show before.

    An ancestor of shards that have begun begins as they did: what `LATEST` or `AT_TIMESTAMP` left out, it leaves out
    too. (chosen)
    """
    begun = {start.type: start for start in _begun_below(shard_id, children, known)}
    if "LATEST" in begun:
        return Checkpoint(begun["LATEST"], ended=True)
    return Checkpoint(begun.get("AT_TIMESTAMP", Position.trim_horizon()))


def _begun_below(shard_id: str, children: Mapping[str, set[str]], known: Mapping[str, Lease]) -> Iterator[Position]:
    seen, todo = {shard_id}, [shard_id]
    while todo:
        for child in children.get(todo.pop(), set()) - seen:
            seen.add(child)
            if child in known:
                yield known[child].checkpoint.start
            else:
                todo.append(child)


def _listed(shards: Iterable[Shard]) -> dict[str, Shard]:
    """By shard id. A shard that closed between two result pages counts as open: it is read, and found ended."""
    listed: dict[str, Shard] = {}
    for shard in shards:
        if shard.shard_id not in listed or not shard.closed:
            listed[shard.shard_id] = shard
    return listed


def _children(listed: Mapping[str, Shard], known: Mapping[str, Lease]) -> dict[str, set[str]]:
    children: defaultdict[str, set[str]] = defaultdict(set)
    for one in (listed, known):
        for shard_id, child in one.items():
            for parent in child.parents:
                children[parent].add(shard_id)
    return children


def _unfinished(leases: Iterable[Lease]) -> set[LeaseKey]:
    return {lease.key for lease in leases if not lease.checkpoint.ended}


def _pending(lease: Lease, unfinished: set[LeaseKey]) -> tuple[str, ...]:
    key = lease.key
    return tuple(parent for parent in lease.parents if LeaseKey(key.mapping, key.stream, parent) in unfinished)


def _stage(lease: Lease, unfinished: set[LeaseKey]) -> Stage:
    if lease.checkpoint.ended:
        return "ended"
    if lease.owner is not None:
        return "owned"
    return "waiting" if _pending(lease, unfinished) else "ready"


def _under_way(lease: Lease) -> bool:
    return lease.checkpoint.ended or lease.owner is not None or bool(lease.checkpoint.lanes)
