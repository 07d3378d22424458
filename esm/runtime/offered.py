"""What a worker refuses to start with, known before anything is touched."""

from __future__ import annotations

from collections.abc import Sequence

from esm.clock import Millis
from esm.handlers.launch import place_of
from esm.mapping.rules import check_starting_time
from esm.mapping.settings import EventSourceMapping, check_distinct
from esm.runtime.concurrency import Concurrency

__all__ = ["check_offered"]


def check_offered(mappings: Sequence[EventSourceMapping], now: Millis) -> None:
    """Nothing, when a worker takes all of them.

    Raises `MappingError` for two of one uuid, or of one source and function, for a start in the future, for a function
    that has two reserved concurrencies, and for one that no other process would find where it is to run in one.
    """
    check_distinct(mappings)
    Concurrency.check(mappings)
    for mapping in mappings:
        if mapping.function.isolation == "process":
            place_of(mapping.function)
        check_starting_time(mapping.starting_position_timestamp_ms, now)
