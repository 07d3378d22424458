"""The settings that are structures at AWS: shapes checked, and brought to the one form that the library reads.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from esm.errors import MappingError
from esm.mapping.constraints import ARN, integer, items, matching, one_of, structure, text, text_map, violated
from esm.mapping.limits import (
    DEFAULT_MAXIMUM_POLLERS,
    DESTINATION_ARN_LENGTH,
    MINIMUM_CONCURRENCY,
    MINIMUM_POLLERS,
    TAG_KEY_LENGTH,
    TAG_VALUE_LENGTH,
    TAGS,
    Limits,
)

__all__ = ["UNSUPPORTED_DESTINATION", "destination", "metrics", "patterns", "pollers", "scaling", "tags"]

UNSUPPORTED_DESTINATION = "Unsupported DestinationConfig parameter for given event source mapping type."
"""For `OnSuccess`, and for a destination that this source cannot have. (observed)"""

_INVALID_PATTERN = "Invalid filter pattern definition."
_PATTERN_PATH = "filterCriteria.filters.{}.member.pattern"
_DESTINATION_PATH = "destinationConfig.onFailure.destination"
_SUPPORTED = re.compile(
    r"arn:aws[a-zA-Z0-9-]*:("
    r"sqs:[a-zA-Z0-9-]*:([0-9]{12})?:[a-zA-Z0-9_-]{1,80}"
    r"|sns:[a-zA-Z0-9-]*:([0-9]{12})?:[a-zA-Z0-9_-]{1,256}"
    r"|s3:[a-zA-Z0-9-]*:([0-9]{12})?:[a-zA-Z0-9._-]{3,255})"
)
"""Standard queues and topics, and buckets: the names of FIFO ones end in `.fifo` and do not fit.
https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
"""
_OWN = re.compile(r"file:///[^\x00]+|memory:[a-zA-Z0-9_-]*")
"""A file's absolute path, and a list in memory: this library's own."""
_TAG_KEY = re.compile(rf"[\w\s.:/=+\-@]{{1,{TAG_KEY_LENGTH}}}")


def patterns(field: str, value: object, limits: Limits) -> tuple[str | dict[str, Any], ...]:
    """The filter patterns: texts as they were given, dicts as copies of what was given.

    `value`: a list of patterns, or AWS's `{"Filters": [{"Pattern": text}]}`. Only the shape is checked: each is a JSON
    object. What a pattern says is checked when the source is known.
    """
    if isinstance(value, Mapping):
        given = items(field, structure(field, value, ("Filters",)).get("Filters", []), maximum=limits.filters)
        given = [_filter_text(field, each, number, limits) for number, each in enumerate(given, 1)]
    else:
        given = items(field, value, maximum=limits.filters)
    return tuple(_pattern(field, pattern, number, limits) for number, pattern in enumerate(given, 1))


def _filter_text(field: str, each: object, number: int, limits: Limits) -> str:
    pattern = structure(field, each, ("Pattern",), path=f"filterCriteria.filters.{number}.member").get("Pattern")
    return text(field, pattern, maximum=limits.pattern_length, path=_PATTERN_PATH.format(number))


def _pattern(field: str, pattern: object, number: int, limits: Limits) -> str | dict[str, Any]:
    try:
        written = pattern if isinstance(pattern, str) else json.dumps(pattern, allow_nan=False)
        parsed = json.loads(text(field, written, maximum=limits.pattern_length, path=_PATTERN_PATH.format(number)))
    except (ValueError, TypeError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise MappingError(_INVALID_PATTERN, field=field, value=pattern)
    return str.__str__(pattern) if isinstance(pattern, str) else parsed


def destination(field: str, value: object) -> str | None:
    """The on-failure destination; `None` for an empty one.

    `value`: its text, or AWS's `{"OnFailure": {"Destination": text}}`. An SQS queue, an SNS topic or an S3 bucket by
    ARN, `file:///path` or `memory:`.
    """
    name = _on_failure(field, value) if isinstance(value, Mapping) else value
    if name is None or name == "":
        return None
    if isinstance(name, str) and _OWN.fullmatch(name):
        return str.__str__(name)
    arn = matching(field, name, ARN, maximum=DESTINATION_ARN_LENGTH, path=_DESTINATION_PATH)
    if not _SUPPORTED.fullmatch(arn):
        raise MappingError(UNSUPPORTED_DESTINATION, field=field, value=arn)
    return arn


def _on_failure(field: str, value: object) -> object:
    config = structure(field, value, ("OnFailure", "OnSuccess"))
    if structure(field, config.get("OnSuccess", {}), ("Destination",)).get("Destination"):
        raise MappingError(UNSUPPORTED_DESTINATION, field=field, value=value)
    return structure(field, config.get("OnFailure", {}), ("Destination",)).get("Destination")


def scaling(field: str, value: object, limits: Limits) -> dict[str, int] | None:
    """`{"MaximumConcurrency": n}`, `None` for an empty one."""
    config = structure(field, value, ("MaximumConcurrency",))
    if not config:
        return None
    most = integer(
        field,
        config["MaximumConcurrency"],
        minimum=MINIMUM_CONCURRENCY,
        maximum=limits.maximum_concurrency,
        path="scalingConfig.maximumConcurrency",
    )
    return {"MaximumConcurrency": most}


def pollers(field: str, value: object, limits: Limits) -> dict[str, int]:
    """`{"MinimumPollers": n, "MaximumPollers": m}`, both of them, the one not given by its default.

    https://docs.aws.amazon.com/lambda/latest/api/API_ProvisionedPollerConfig.html
    """
    config = structure(field, value, ("MinimumPollers", "MaximumPollers"))
    if not config:
        raise MappingError(
            "Either MinimumPollers or MaximumPollers are required if ProvisionedPollerConfig is provided.",
            field=field,
            value=value,
        )
    least, most = config.get("MinimumPollers", MINIMUM_POLLERS), config.get("MaximumPollers", DEFAULT_MAXIMUM_POLLERS)
    least_path, most_path = "provisionedPollerConfig.minimumPollers", "provisionedPollerConfig.maximumPollers"
    return {
        "MinimumPollers": integer(field, least, minimum=1, maximum=limits.minimum_pollers, path=least_path),
        "MaximumPollers": integer(field, most, minimum=1, maximum=limits.maximum_pollers, path=most_path),
    }


def metrics(field: str, value: object) -> dict[str, list[str]] | None:
    """`{"Metrics": ["EventCount"]}`, `None` for an empty one. The other groups are Kafka's.

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    """
    path = "metricsConfig.metrics"
    groups = items(field, structure(field, value, ("Metrics",)).get("Metrics", []), maximum=3, path=path)
    for group in groups:
        if one_of(field, group, ("EventCount", "ErrorCount", "KafkaMetrics"), path=path) != "EventCount":
            text = f"Unsupported {group} metrics for given event source mapping type."
            raise MappingError(text, field=field, value=group)
    return {"Metrics": ["EventCount"]} if groups else None


def tags(field: str, value: object) -> dict[str, str]:
    """Tags by key."""
    found = text_map(field, value, _TAG_KEY)
    if len(found) > TAGS:
        raise violated(field, None, f"Member must have length less than or equal to {TAGS}")
    for key, tag in found.items():
        if len(tag) > TAG_VALUE_LENGTH:
            constraint = f"Member must have length less than or equal to {TAG_VALUE_LENGTH}"
            raise violated(field, key, f"Map values must satisfy constraint: [{constraint}]")
    return found
