"""What the properties of a resource that is to be created must be, so that a request can be made of them.

What is only out of AWS's bounds is left for the service to refuse.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from esm.templates.document import Path, number
from esm.templates.parameters import as_text
from esm.templates.template import Template

__all__ = ["check_shapes"]

_SHAPES: Mapping[str, type] = MappingProxyType(
    {
        "AttributeDefinitions": list,
        "GlobalSecondaryIndexes": list,
        "KeySchema": list,
        "LocalSecondaryIndexes": list,
        "PrimaryKey": dict,
        "Projection": dict,
        "ProvisionedThroughput": dict,
        "ReadCapacityUnits": int,
        "ShardCount": int,
        "StreamModeDetails": dict,
        "StreamSpecification": dict,
        "WriteCapacityUnits": int,
    }
)
_EXPECTED = {
    dict: "an object is expected here",
    int: "a whole number is expected here",
    list: "a list is expected here",
}


def check_shapes(template: Template, properties: Mapping[str, Any], path: Path) -> None:
    """Raises `TemplateError` for the first property, at any depth, that is not what a request is made of."""
    for key, value in properties.items():
        place: Path = (*path, key)
        shape = _SHAPES.get(key)
        if shape is not None and not (_is_whole(value) if shape is int else isinstance(value, shape)):
            raise template.refused(place, _EXPECTED[shape], value)
        for at, each in enumerate(value if shape is list else ()):
            if not isinstance(each, dict):
                raise template.refused((*place, at), _EXPECTED[dict], each)
            check_shapes(template, each, (*place, at))
        if isinstance(value, dict):
            check_shapes(template, value, place)


def _is_whole(value: Any) -> bool:
    return not isinstance(value, dict | list) and type(number(as_text(value))) is int
