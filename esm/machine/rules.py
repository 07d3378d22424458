"""The part of a mapping that one shard obeys, in the machine's units."""

from __future__ import annotations

from dataclasses import dataclass

from esm.clock import Millis

__all__ = ["RECORDS_HELD_MAX", "StreamRules"]

RECORDS_HELD_MAX = 10_000
"""Records of a shard read ahead, at least: a whole page (chosen)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRules:
    """What a shard's machine decides by.

    `payload_bytes_max`: what the items of one event may take together. `maximum_retry_attempts`,
    `maximum_record_age_ms`: `None` where Lambda writes -1. `records_held_max`, `bytes_held_max`: what is read ahead at
    the most, before one more page.
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
