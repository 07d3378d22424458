"""A failed range as events again: the records that failed, and none that did not, as far as can be told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from esm.mapping.settings import EventSourceMapping
from esm.records.dynamodb import key_text
from esm.records.invocation_record import FailedRange
from esm.records.position import lane_of
from esm.records.record import EventShape
from esm.runtime.filters import filter_criteria, keeper

__all__ = ["Batch", "batches_of_event", "batches_of_records", "belonging"]


@dataclass(frozen=True, slots=True)
class Batch:
    """What one call is made with. `identifiers`: its items' sequence numbers; `keys`: their keys, each as text.

    `event(start)`: a fresh event without the first `start` items.
    """

    identifiers: list[str]
    keys: list[str]
    event: Callable[[int], dict[str, Any]]


def belonging(wanted: FailedRange, mapping: EventSourceMapping, shape: EventShape, records: list[Any]) -> list[Any]:
    """Those of a range that were in the batch that failed.

    Between them stand records that the filter dropped, and under a parallelization factor those of other lanes, which
    went their own way. When no reading of the settings gives as many as the document speaks of, it is all that pass.
    """
    if len(records) <= wanted.records:
        return records
    keep = keeper(filter_criteria(mapping), shape)
    kept = records if keep is None else [record for record in records if keep(record)]
    factor = mapping.parallelization_factor
    if len(kept) > wanted.records and factor > 1:
        lane = lane_of(records[0].key, factor)  # the first of a range is always of the batch
        in_lane = [record for record in kept if lane_of(record.key, factor) == lane]
        kept = in_lane if len(in_lane) == wanted.records else kept
    return kept if len(kept) >= wanted.records else records


def batches_of_records(records: Sequence[Any], shape: EventShape, size: int | None) -> list[Batch]:
    """Batches of `size` records; `None`: one of them all."""
    return [
        Batch(
            [record.sequence_number for record in chunk],
            [record.key for record in chunk],
            partial(_event_of_records, shape, chunk),
        )
        for chunk in _chunks(list(records), size)
    ]


def batches_of_event(wanted: FailedRange, size: int | None) -> list[Batch]:
    """The same of the event that a document carries. One of a tumbling window is not cut: its state is of the whole."""
    event = wanted.event or {}
    chunks = [event["Records"]] if wanted.windowed else _chunks(event["Records"], size)
    return [
        Batch([_number(i) for i in chunk], [_key(i) for i in chunk], partial(_cut, event, chunk)) for chunk in chunks
    ]


def _event_of_records(shape: EventShape, chunk: list[Any], start: int) -> dict[str, Any]:
    return shape.event(chunk[start:])


def _cut(event: dict[str, Any], chunk: list[Any], start: int) -> dict[str, Any]:
    return {**event, "Records": chunk[start:]}


def _chunks(items: list[Any], size: int | None) -> list[list[Any]]:
    size = size or max(1, len(items))
    return [items[start : start + size] for start in range(0, len(items), size)]


def _number(item: dict[str, Any]) -> str:
    return str(_inside(item, "kinesis").get("sequenceNumber") or _inside(item, "dynamodb").get("SequenceNumber") or "")


def _key(item: dict[str, Any]) -> str:
    if "dynamodb" in item:
        return key_text(_inside(item, "dynamodb").get("Keys", {}))
    return str(_inside(item, "kinesis").get("partitionKey", ""))


def _inside(item: dict[str, Any], name: str) -> dict[str, Any]:
    value = item.get(name)
    return value if isinstance(value, dict) else {}
