"""The part of a mapping that one shard obeys, in the machine's units."""

from __future__ import annotations

from dataclasses import dataclass

from esm.clock import Millis
from esm.mapping.limits import WINDOW_STATE_BYTES

__all__ = ["RECORDS_HELD_MAX", "WINDOW_IDLE_MS", "StreamRules"]

RECORDS_HELD_MAX = 10_000
"""Records of a shard read ahead, at least: a whole page (chosen)."""

WINDOW_IDLE_MS = 120_000
"""How long after its end an open tumbling window waits for a later record (chosen; Lambda waited over 94 s)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRules:
    """What a shard's machine decides by.

    `payload_bytes_max`: what the items of one event may take together. `maximum_retry_attempts`,
    `maximum_record_age_ms`: `None` where Lambda writes -1. `records_held_max`, `bytes_held_max`: what is read ahead at
    the most, before one more page.
    `tumbling_window_ms`: 0 for none. `window_state_bytes_max`: a state above ends its window early. `record_bytes_max`:
    what the item of a single record may take, where that is more than `payload_bytes_max`, which with windows leaves
    room for a state.
    """

    batch_size: int
    payload_bytes_max: int
    batching_window_ms: Millis = 0
    parallelization_factor: int = 1
    maximum_retry_attempts: int | None = None
    maximum_record_age_ms: Millis | None = None
    bisect_batch_on_function_error: bool = False
    records_held_max: int = RECORDS_HELD_MAX
    bytes_held_max: int = 16 << 20
    tumbling_window_ms: Millis = 0
    window_idle_ms: Millis = WINDOW_IDLE_MS
    window_state_bytes_max: int = WINDOW_STATE_BYTES
    record_bytes_max: int = 0
