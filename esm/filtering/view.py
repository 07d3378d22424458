"""What a pattern sees of each source's record, which is not the event item itself.

Kinesis: the fields of the `kinesis` object at top level, `data` decoded, beside the item's other keys. DynamoDB: the
item as it is. SQS: the item, `body` parsed when it is JSON.
https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html#filtering-syntax
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from esm.arn import SourceKind
from esm.filtering.pattern import Leaf, Pattern, Rule

__all__ = ["KINESIS_KEYS", "VIEWS", "Look", "View", "look_of", "misplaced"]

KINESIS_KEYS = frozenset(
    {"kinesisSchemaVersion", "partitionKey", "sequenceNumber", "data", "approximateArrivalTimestamp"}
)
"""The keys of the `kinesis` object."""

_ITEM_KEYS = frozenset({"eventSource", "eventVersion", "eventID", "eventName", "awsRegion", "eventSourceARN"})

Look = Literal["beside", "inside", "plain", "never"]
"""How a rule looks at the data: not at all, into it as JSON, at it as plain text, or as both, which never matches."""


@dataclass(frozen=True, slots=True)
class View:
    """One source's view.

    `data_key`: the key of the data. `plain`: whether a pattern may take the data as plain text. `keys`: all top-level
    keys. `split` gives the view without the data, and the data; `unwrap` the JSON text of the data, `None` when there
    is none; both total.
    """

    data_key: str
    plain: bool
    keys: frozenset[str]
    split: Callable[[Any], tuple[dict[str, Any], Any]]
    unwrap: Callable[[Any], bytes | str | None]


def look_of(rule: Rule, view: View) -> Look:
    """How the rule looks at the data. DynamoDB's is JSON already, and needs no look of its own."""
    if view.data_key == "dynamodb":
        return "beside"
    inside = any(path.startswith(f"{view.data_key}.") for path in rule)
    plain = view.data_key in rule
    if inside:
        return "never" if plain else "inside"
    return "plain" if plain else "beside"


def misplaced(pattern: Pattern, view: View) -> Leaf | None:
    """The leaf that takes the data as plain text where the source has only JSON; AWS refuses such a pattern."""
    if view.plain:
        return None
    return next((rule[view.data_key] for rule in pattern.rules if view.data_key in rule), None)


def _split_kinesis(record: Any) -> tuple[dict[str, Any], Any]:
    if not isinstance(record, dict):
        return {}, None
    inner = record.get("kinesis")
    view = {key: value for key, value in record.items() if key != "kinesis"}
    view |= inner if isinstance(inner, dict) else {}
    return view, view.pop("data", None)


def _split_dynamodb(record: Any) -> tuple[dict[str, Any], Any]:
    return (record if isinstance(record, dict) else {}), None


def _split_sqs(record: Any) -> tuple[dict[str, Any], Any]:
    if not isinstance(record, dict):
        return {}, None
    view = record.copy()
    return view, view.pop("body", None)


def _decoded(data: Any) -> bytes | None:
    """Base64 to bytes. This decoder takes a third of the time that the standard library's takes."""
    try:
        return msgspec.convert(data, bytes)
    except msgspec.ValidationError:
        return None


def _as_text(body: Any) -> str | None:
    if type(body) is str:
        return body
    return str.__str__(body) if isinstance(body, str) else None  # the decoder takes no subclass


VIEWS: dict[SourceKind, View] = {
    "kinesis": View(
        data_key="data",
        plain=False,
        keys=_ITEM_KEYS | KINESIS_KEYS | {"invokeIdentityArn"},
        split=_split_kinesis,
        unwrap=_decoded,
    ),
    "dynamodb": View(
        data_key="dynamodb",
        plain=False,
        keys=_ITEM_KEYS | {"dynamodb", "userIdentity"},
        split=_split_dynamodb,
        unwrap=_as_text,
    ),
    "sqs": View(
        data_key="body",
        plain=True,
        keys=frozenset(
            {
                "messageId",
                "receiptHandle",
                "body",
                "attributes",
                "messageAttributes",
                "md5OfBody",
                "md5OfMessageAttributes",
                "eventSource",
                "eventSourceARN",
                "awsRegion",
            }
        ),
        split=_split_sqs,
        unwrap=_as_text,
    ),
}
