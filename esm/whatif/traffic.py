"""A recording as what happens to a source: each record at its distance from the first."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import msgspec

from esm.arn import SourceKind
from esm.errors import RecordingError
from esm.records.recording import RecordedChange, RecordedKinesis, RecordedLine, RecordedMessage, ShardMark
from esm.sources.files.recordings import RecordingFile, files_at
from esm.testing.events import Put, PutItem, Send, SourceEvent

__all__ = ["Traffic", "read_traffic"]

RECORDS_MAX = 1_000_000
"""A simulation holds all of them (chosen)."""

_SAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Traffic:
    """`events`: in order of time, the first at 0. `shards`: how many there were. `seconds`: from first to last.

    `samples`: the first records as they were recorded. `key_names`: of a table's key.
    """

    kind: SourceKind
    source_arn: str
    events: list[SourceEvent]
    shards: int
    seconds: float
    samples: list[RecordedLine]
    key_names: tuple[str, ...] | None = None


def read_traffic(path: str, *, limit: int | None = None) -> Traffic:
    """What the files at `path` hold, or their first `limit` records. Raises `RecordingError`.

    All shards of a recording are there from the start; which was split into which makes no difference to settings.
    """
    files = [RecordingFile(file) for file in files_at(path.removeprefix("file://"))]
    records = list(islice(_records(files), min(limit or RECORDS_MAX, RECORDS_MAX) + 1))
    if not records:
        raise RecordingError(path, None, "there is no record in it")
    if len(records) > (limit or RECORDS_MAX):
        records.pop()
        if limit is None:
            raise RecordingError(path, None, f"it has more than {RECORDS_MAX:,} records; choose fewer with a limit")
    header = files[0].header
    shards = {name: number for number, name in enumerate(dict.fromkeys(record.shard_id for record in records))}
    first = min(record.arrived_at for record in records)
    newest: dict[str, float] = {}
    events: list[SourceEvent] = []
    for number, record in enumerate(records):
        # A shard's order is that of the file, whatever its clocks said.
        at = newest[record.shard_id] = max(newest.get(record.shard_id, 0.0), (record.arrived_at - first) / 1000)
        events.append(_event(record, at, number, shards[record.shard_id]))
    events.sort(key=lambda event: event.at)
    return Traffic(
        kind=header.kind,
        source_arn=header.source,
        events=events,
        shards=max(1, len(shards)),
        seconds=events[-1].at,
        samples=records[:_SAMPLES],
        key_names=_key_names(records[0]),
    )


def _records(files: Iterable[RecordingFile]) -> Iterable[RecordedLine]:
    for file in files:
        for item in file.items():
            if not isinstance(item, ShardMark):
                yield item


def _event(record: RecordedLine, at: float, number: int, shard: int) -> SourceEvent:
    if isinstance(record, RecordedKinesis):
        return Put(b64decode(record.data), record.key, at, shard)
    if isinstance(record, RecordedMessage):
        return Send(record.body, record.group or None, at)
    return PutItem(_item(record, number), at)


def _item(record: RecordedChange, number: int) -> dict[str, Any]:
    """An item of the same key and about the same size, unlike any before: each makes one record."""
    keys: dict[str, Any] = msgspec.json.decode(record.keys)
    image: dict[str, Any] = msgspec.json.decode(record.new_image) if record.new_image else {}
    return keys | image | {"esm:number": {"N": str(number)}}


def _key_names(record: RecordedLine) -> tuple[str, ...] | None:
    return tuple(msgspec.json.decode(record.keys)) if isinstance(record, RecordedChange) else None
