"""`esm plan`: what would run, without touching anything."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Sequence
from typing import Any

from esm.filtering.lint import lint
from esm.handlers.resolve import resolve
from esm.mapping.rules import DEFAULTS
from esm.mapping.settings import EventSourceMapping
from esm.runtime.recorded import as_recorded

__all__ = ["plan_json", "plan_text", "settings_lines", "warnings"]

_SHOWN_FIRST = frozenset({"uuid", "limits"})


def plan_text(mappings: Sequence[EventSourceMapping]) -> str:
    """Each mapping with its source, function and settings; those that differ from the default are marked.

    What is suspicious about its filters stands below. Raises `MappingError` for a pattern that AWS would refuse.
    """
    return "\n\n".join("\n".join(_lines(mapping)) for mapping in mappings)


def plan_json(mappings: Sequence[EventSourceMapping]) -> str:
    """The same as JSON: AWS's own dict for each, with the function's place, the uuid and the filters' warnings."""
    return json.dumps(
        [
            {
                "UUID": m.uuid,
                **m.to_api(),
                "Handler": _function(m),
                "SourceKind": m.source_kind,
                "FilterWarnings": warnings(m),
            }
            for m in mappings
        ],
        indent=2,
        default=str,
    )


def _lines(mapping: EventSourceMapping) -> Iterator[str]:
    function = mapping.function
    yield f"{function.qualified_name} < {mapping.event_source_arn}{'' if mapping.enabled else ' (not enabled)'}"
    yield f"  uuid      {mapping.uuid}"
    yield f"  function  {_function(mapping)}, timeout {function.timeout:g} s"
    yield from settings_lines(mapping)


def settings_lines(mapping: EventSourceMapping) -> Iterator[str]:
    """A line for each setting that says something, and for what is suspicious about the filters."""
    for name, default in DEFAULTS.items():
        value = getattr(mapping, name)
        if name in _SHOWN_FIRST or (not value and not default and value != 0):
            continue
        mark = "" if value == default or (name == "batch_size" and _is_usual(mapping)) else "  *"
        yield f"  {name} = {_shown(value)}{mark}"
    for warned in warnings(mapping):
        yield f"  ! {warned}"


def _is_usual(mapping: EventSourceMapping) -> bool:
    return mapping.batch_size == (10 if mapping.source_kind == "sqs" else 100)


def warnings(mapping: EventSourceMapping) -> list[str]:
    """What is suspicious about the filters."""
    if not mapping.filters:
        return []
    kind = as_recorded(mapping).source_kind  # the header of a recording says what its filters are for
    return [str(warned) for warned in lint(mapping.filters, kind, limits=mapping.limits)]


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)


def _function(mapping: EventSourceMapping) -> str:
    """Where the function is and how it is called. Raises `HandlerNotFoundError`."""
    handler = resolve(mapping.function.handler)
    name = f"{getattr(handler, '__module__', '?')}:{getattr(handler, '__qualname__', type(handler).__name__)}"
    how = "awaited" if inspect.iscoroutinefunction(handler) else "in a thread"
    return f"{name} ({how})"
