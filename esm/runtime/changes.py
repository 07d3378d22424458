"""What an update makes of a mapping's settings, and what it may not change.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from esm.errors import MappingError
from esm.mapping.constraints import api_name, unknown
from esm.mapping.function import Function, Handler
from esm.mapping.settings import Changeable, EventSourceMapping

__all__ = ["Changes", "changed", "replaced"]

FIXED = ("event_source_arn", "starting_position", "starting_position_timestamp", "uuid")
"""What `UpdateEventSourceMapping` does not take: it is of the mapping's making."""


class Changes(Changeable, total=False):
    """What can be changed, as `EventSourceMapping` takes it. `None`: back to the default."""

    function: Function | Handler


_NAMES = ("function", *Changeable.__annotations__)


def changed(mapping: EventSourceMapping, settings: Mapping[str, Any]) -> EventSourceMapping:
    """The mapping with some settings changed; one that is `None` goes back to its default.

    Raises `MappingError` for what cannot be changed, in the words of the AWS SDK, and for what Lambda would refuse.
    """
    for name in settings:
        if name not in _NAMES:
            raise unknown(api_name(name), ("UUID", *map(api_name, _NAMES)))
    kept = {field.name: getattr(mapping, field.name) for field in fields(mapping)}
    kept["batch_size"] = mapping.batch_size or None  # 0 is a recording's: as of what was recorded
    return EventSourceMapping(**{**kept, **settings})


def replaced(mapping: EventSourceMapping, by: EventSourceMapping) -> bool:
    """Whether `enabled` is all that is another. Raises `MappingError` when something is that cannot be changed."""
    for name in FIXED:
        if getattr(mapping, name) != getattr(by, name):
            text = f"{api_name(name)} of an event source mapping cannot be updated. Delete it and create another."
            raise MappingError(text, field=name, value=getattr(by, name))
    names = {field.name for field in fields(mapping) if getattr(mapping, field.name) != getattr(by, field.name)}
    return names == {"enabled"}
