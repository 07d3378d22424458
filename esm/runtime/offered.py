"""What a worker refuses to start with, known before anything is touched."""

from __future__ import annotations

from collections.abc import Sequence

from esm.clock import Millis
from esm.errors import MappingError
from esm.handlers.launch import place_of
from esm.mapping.rules import check_starting_time
from esm.mapping.settings import EventSourceMapping, check_distinct

__all__ = ["check_offered"]


def check_offered(mappings: Sequence[EventSourceMapping], now: Millis) -> None:
    """Nothing, when a worker takes all of them.

    Raises `MappingError` for two of one uuid, a start in the future, a function that no other process would find where
    it is to run in one, and a setting of Lambda's that this worker has not got: none is ignored in silence.
    """
    check_distinct(mappings)
    for mapping in mappings:
        _check_settings(mapping)
        check_starting_time(mapping.starting_position_timestamp_ms, now)


def _check_settings(mapping: EventSourceMapping) -> None:
    function = mapping.function
    if function.isolation == "process":
        place_of(function)
    for field, value, missing in (
        ("reserved_concurrency", function.reserved_concurrency, function.reserved_concurrency is not None),
    ):
        if missing:
            text = f"{field} {value!r} of function {function.name} is not supported by this worker."
            raise MappingError(text, field=field, value=value)
