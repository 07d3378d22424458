"""A table's definition in a template as the request that creates it.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from esm.templates.parameters import as_text

__all__ = ["TABLE_PROPERTIES", "create_table"]

_COPIED = ("AttributeDefinitions", "KeySchema", "LocalSecondaryIndexes")
TABLE_PROPERTIES = (
    *_COPIED,
    "BillingMode",
    "GlobalSecondaryIndexes",
    "PrimaryKey",
    "ProvisionedThroughput",
    "StreamSpecification",
)
"""What of a template's table goes into the request."""
_INDEX = ("IndexName", "KeySchema", "Projection")
_SIMPLE_TYPES = {"Binary": "B", "Number": "N", "String": "S"}


def create_table(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of `CreateTable`. Capacity is on demand unless the table has one of its own."""
    wanted: dict[str, Any] = {"TableName": name}
    if "KeySchema" in properties:
        wanted |= {key: properties[key] for key in _COPIED if key in properties}
    else:
        wanted |= _simple(properties.get("PrimaryKey"))
    capacity = _capacity(properties)
    wanted |= capacity or {"BillingMode": "PAY_PER_REQUEST"}
    indexes = properties.get("GlobalSecondaryIndexes")
    if indexes:
        wanted["GlobalSecondaryIndexes"] = [_index(index, capacity) for index in indexes]
    stream = properties.get("StreamSpecification")
    if isinstance(stream, dict):
        view = stream.get("StreamViewType", "NEW_AND_OLD_IMAGES")
        wanted["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": view}
    return wanted


def _simple(key: Any) -> dict[str, Any]:
    """The key of a table that says no more: `id`, or what a SAM SimpleTable names."""
    given = key if isinstance(key, dict) else {}
    name, kind = given.get("Name", "id"), _SIMPLE_TYPES.get(str(given.get("Type", "String")), "S")
    return {
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": kind}],
        "KeySchema": [{"AttributeName": name, "KeyType": "HASH"}],
    }


def _capacity(properties: Mapping[str, Any]) -> dict[str, Any]:
    given = properties.get("ProvisionedThroughput")
    if not isinstance(given, dict) or properties.get("BillingMode") == "PAY_PER_REQUEST":
        return {}
    return {"ProvisionedThroughput": {key: int(as_text(value)) for key, value in given.items()}}


def _index(index: Mapping[str, Any], capacity: Mapping[str, Any]) -> dict[str, Any]:
    wanted = {key: index[key] for key in _INDEX if key in index}
    own = _capacity(index)
    return {**wanted, **(own or capacity)} if capacity else wanted
