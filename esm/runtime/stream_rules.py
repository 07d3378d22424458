"""A stream's mapping in the units of its machines: what each shard obeys, and where it begins."""

from __future__ import annotations

import math

from esm.clock import Millis
from esm.machine.rules import RECORDS_HELD_MAX, StreamRules
from esm.mapping.limits import INVOCATION_PAYLOAD_BYTES, WINDOW_STATE_BYTES
from esm.mapping.settings import EventSourceMapping
from esm.records.position import Position

__all__ = ["starting_position", "stream_rules"]

_EVENT_WRAPPING = len('{"Records":[]}')
_WINDOW_FIELDS = 1024
"""What a tumbling window adds to an event beside its state: names, times, a shard, an ARN, all short (chosen)."""


AT_HAND_HELD = 500
"""Records held of a file, or a batch of them where that is more (chosen)."""


def stream_rules(mapping: EventSourceMapping, *, at_hand: bool = False) -> StreamRules:
    """What each shard of a mapping obeys. `at_hand`: its source never keeps anybody waiting, as a file."""
    retries, age = mapping.maximum_retry_attempts, mapping.maximum_record_age_in_seconds
    window_ms, payload = mapping.tumbling_window_in_seconds * 1000, INVOCATION_PAYLOAD_BYTES - _EVENT_WRAPPING
    return StreamRules(
        batch_size=mapping.batch_size,
        # A batch leaves room for the largest state: a part of it may meet a larger one than the whole did (chosen).
        payload_bytes_max=payload - (WINDOW_STATE_BYTES + _WINDOW_FIELDS if window_ms else 0),
        record_bytes_max=payload,
        batching_window_ms=mapping.maximum_batching_window_in_seconds * 1000,
        parallelization_factor=mapping.parallelization_factor,
        maximum_retry_attempts=None if retries == -1 else retries,
        maximum_record_age_ms=None if age == -1 else age * 1000,
        bisect_batch_on_function_error=mapping.bisect_batch_on_function_error,
        records_held_max=_at_hand_held(mapping) if at_hand else max(_two_batches(mapping), RECORDS_HELD_MAX),
        tumbling_window_ms=window_ms,
    )


def starting_position(mapping: EventSourceMapping, began_at: Millis) -> Position:
    """Where a shard without a stored position begins. `began_at`: what `LATEST` means."""
    if mapping.starting_position == "LATEST":
        return Position.latest(began_at)
    if mapping.starting_position == "AT_TIMESTAMP" and mapping.starting_position_timestamp_ms is not None:
        return Position.at_timestamp(mapping.starting_position_timestamp_ms)
    return Position.trim_horizon()


def _at_hand_held(mapping: EventSourceMapping) -> int:
    """Where a page is a batch, or some whole ones, no more is held: it is handed over while it is in the cache.

    A second batch waits where records are left out or put apart between reading and the batch, so that it is filled.
    """
    if mapping.filter_criteria or mapping.parallelization_factor > 1 or mapping.tumbling_window_in_seconds:
        return max(_two_batches(mapping), AT_HAND_HELD)
    return math.ceil(AT_HAND_HELD / mapping.batch_size) * mapping.batch_size


def _two_batches(mapping: EventSourceMapping) -> int:
    """Of each lane."""
    return 2 * mapping.batch_size * mapping.parallelization_factor
