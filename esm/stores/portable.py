"""Positions as a file: what `esm positions export` writes and `import` reads.

JSON Lines in UTF-8. The first line is `{"format":"esm-positions","version":1}`, each other line one position:

    {"mapping":"5f0c...","stream":"1732200000.000","shard":"shardId-000000000001","parents":["shardId-000000000000"],
     "start":{"type":"LATEST","at":1732200000000,"sequence_number":null},
     "lanes":[["4951...",null]],"ended":false,"window":null}

`mapping` is the mapping's uuid, `stream` the stream's identity (another stream under the old name has another), `at` in
epoch milliseconds. Sequence numbers are text. `lanes` has a layer for each lane count in use, the current one last:
how far each lane has come, `null` for a lane that has settled nothing. `window` is the open tumbling window,
`{"start":ms,"end":ms,"state":"JSON text","terminated_early":false}`: its state is what the function returned.

The order is that of mapping, stream and shard, so the same positions are the same file. Who reads a shard, and under
which epoch, is no position and stays behind.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec.structs import replace

from esm.errors import StoreError
from esm.leasing.lease import Lease, LeaseKey
from esm.records.position import Checkpoint, LanePositions, Position
from esm.records.window import Window

__all__ = ["FORMAT", "VERSION", "leases_of", "lines_of"]

FORMAT, VERSION = "esm-positions", 1

_Uuid = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{1,64}\Z")]
_ShardId = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_.-]{1,128}\Z")]
_SequenceNumber = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,128}\Z")]
_Millis = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999)]  # the end of the year 9999: no calendar goes on
_Layer = Annotated[tuple[_SequenceNumber | None, ...], msgspec.Meta(min_length=1)]
_Kind = TypeVar("_Kind")


class _Strict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class _Header(_Strict, frozen=True):
    format: Literal["esm-positions"]
    version: Literal[1]


class _Start(_Strict, frozen=True):
    type: Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP", "AFTER_SEQUENCE_NUMBER"]
    at: _Millis | None
    sequence_number: _SequenceNumber | None


class _Window(_Strict, frozen=True):
    start: _Millis
    end: _Millis
    state: str
    terminated_early: bool


class _Entry(_Strict, frozen=True):
    mapping: _Uuid
    stream: str
    shard: _ShardId
    parents: Annotated[tuple[_ShardId, ...], msgspec.Meta(max_length=2)]
    start: _Start
    lanes: tuple[_Layer, ...]
    ended: bool
    window: _Window | None


def lines_of(leases: Iterable[Lease]) -> Iterator[str]:
    """The lines of the file, without their ends."""
    yield msgspec.json.encode({"format": FORMAT, "version": VERSION}).decode()
    for lease in sorted(leases, key=lambda lease: lease.key):
        yield msgspec.json.encode(_entry(lease)).decode()


def leases_of(text: bytes) -> list[Lease]:
    """The positions of a whole file, nobody's, in its order.

    Raises `StoreError` naming line, field and rule of the first thing that is wrong.
    """
    lines = text.removesuffix(b"\n").split(b"\n")
    _decoded(_Header, lines[0], 1)
    leases: dict[LeaseKey, tuple[int, Lease]] = {}
    for number, line in enumerate(lines[1:], 2):
        lease = _lease(_decoded(_Entry, line, number), number)
        earlier, _ = leases.setdefault(lease.key, (number, lease))
        if earlier != number:
            raise _wrong(number, "shard", f"stands on line {earlier} already, for the same mapping and stream")
    _check_parents(leases)
    return [lease for _, lease in leases.values()]


def _check_parents(leases: dict[LeaseKey, tuple[int, Lease]]) -> None:
    """No shard is its own ancestor: it would wait for itself, and nothing would say so."""
    parents = {key: [replace(key, shard_id=parent) for parent in lease.parents] for key, (_, lease) in leases.items()}
    try:
        TopologicalSorter(parents).prepare()
    except CycleError as error:
        number = max(leases[key][0] for key in error.args[1])
        raise _wrong(number, "parents", "is among its own ancestors") from None


def _entry(lease: Lease) -> dict[str, Any]:
    key, checkpoint = lease.key, lease.checkpoint
    return {
        "mapping": key.mapping,
        "stream": key.stream,
        "shard": key.shard_id,
        "parents": lease.parents,
        "start": checkpoint.start,
        "lanes": [layer.settled for layer in checkpoint.lanes],
        "ended": checkpoint.ended,
        "window": checkpoint.window,
    }


def _lease(entry: _Entry, number: int) -> Lease:
    checkpoint = Checkpoint(
        _start(entry.start, number),
        tuple(map(LanePositions, entry.lanes)),
        entry.ended,
        None if entry.window is None else _window(entry.window, number),
    )
    return Lease(LeaseKey(entry.mapping, entry.stream, entry.shard), checkpoint, entry.parents)


def _start(start: _Start, number: int) -> Position:
    dated = start.type in ("LATEST", "AT_TIMESTAMP")
    if dated != (start.at is not None):
        raise _wrong(number, "start.at", f"is {'needed' if dated else 'null'} with {start.type}")
    numbered = start.sequence_number is not None
    if numbered != (start.type == "AFTER_SEQUENCE_NUMBER") and start.type != "LATEST":
        raise _wrong(number, "start.sequence_number", f"is {'null' if numbered else 'needed'} with {start.type}")
    return Position(start.type, start.at, start.sequence_number)


def _window(window: _Window, number: int) -> Window:
    if window.end <= window.start:
        raise _wrong(number, "window.end", "comes after window.start")
    if not _is_object(window.state):
        raise _wrong(number, "window.state", "is the text of a JSON object")
    return Window(window.start, window.end, window.state, window.terminated_early)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _decoded(kind: type[_Kind], line: bytes, number: int) -> _Kind:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.ValidationError as error:
        rule, _, path = str(error).partition(" - at `$")
        raise _wrong(number, path.strip(".`") or "(line)", rule[:1].lower() + rule[1:]) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _wrong(number, "(line)", f"is no JSON object: {error}") from None


def _wrong(number: int, field: str, rule: str) -> StoreError:
    return StoreError(f"line {number}: {field}: {rule}")
