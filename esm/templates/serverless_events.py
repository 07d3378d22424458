"""The events of a serverless.yml that are event source mappings, in CloudFormation's words.

https://www.serverless.com/framework/docs/providers/aws/events/streams and .../events/sqs
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from esm.templates.document import Document, Path
from esm.templates.intrinsics import UNKNOWN

__all__ = ["NOT_READ", "mapping_of"]

NOT_READ: Mapping[str, str] = MappingProxyType(
    {
        "activemq": "Amazon MQ",
        "kafka": "self-managed Kafka",
        "msk": "Amazon MSK",
        "rabbitmq": "Amazon MQ",
    }
)
"""Events that are mappings of other sources."""

_BOTH = {"batchSize": "BatchSize", "enabled": "Enabled", "functionResponseType": "FunctionResponseTypes"}
_STREAM = {
    **_BOTH,
    "batchWindow": "MaximumBatchingWindowInSeconds",
    "bisectBatchOnFunctionError": "BisectBatchOnFunctionError",
    "maximumRecordAgeInSeconds": "MaximumRecordAgeInSeconds",
    "maximumRetryAttempts": "MaximumRetryAttempts",
    "parallelizationFactor": "ParallelizationFactor",
    "startingPosition": "StartingPosition",
    "startingPositionTimestamp": "StartingPositionTimestamp",
    "tumblingWindowInSeconds": "TumblingWindowInSeconds",
}
_QUEUE = {**_BOTH, "maximumBatchingWindow": "MaximumBatchingWindowInSeconds", "maximumConcurrency": "ScalingConfig"}
_OTHER_KEYS = frozenset({"arn", "destinations", "filterPatterns"})
_STREAM_KEYS = frozenset({"consumer", "type"})
_DEFAULTS: dict[str, dict[str, Any]] = {
    "stream": {"BatchSize": 10, "StartingPosition": "TRIM_HORIZON"},
    "sqs": {"BatchSize": 10},
}
"""What the framework writes where nothing is given."""


def mapping_of(document: Document, path: Path, kind: str, given: Any) -> tuple[dict[str, Any], dict[str, str]]:
    """A mapping's properties, and the name that stands in the file for each. Raises `TemplateError`.

    A source that is none of ours gives a source that is unknown, with the reason.
    """
    if kind in NOT_READ:
        reason = f"the source is {NOT_READ[kind]}: only Kinesis and DynamoDB streams and SQS queues are read"
        return {"EventSourceArn": {UNKNOWN: reason}}, {}
    event = given if isinstance(given, dict) and not _is_function(given) else {"arn": given}
    names = _STREAM if kind == "stream" else _QUEUE
    allowed = {*names, *_OTHER_KEYS, *(_STREAM_KEYS if kind == "stream" else ())}
    for key in event:
        if key not in allowed:
            raise document.refused((*path, key), f"there is no such setting; there are {', '.join(sorted(allowed))}")
    if event.get("arn") is None:
        raise document.refused(path, "arn is expected here: the source's ARN, or a function that gives it")
    properties: dict[str, Any] = {**_DEFAULTS[kind], "EventSourceArn": event["arn"]}
    properties |= {name: _written(name, event[key]) for key, name in names.items() if event.get(key) is not None}
    if event.get("filterPatterns") is not None:
        properties["FilterCriteria"] = _filters(document, (*path, "filterPatterns"), event["filterPatterns"])
    if event.get("destinations") is not None:
        properties["DestinationConfig"] = _destination(document, (*path, "destinations"), event["destinations"])
    places = {name: key for key, name in names.items()}
    return properties, {
        **places,
        "EventSourceArn": "arn",
        "FilterCriteria": "filterPatterns",
        "DestinationConfig": "destinations",
    }


def _is_function(value: dict[str, Any]) -> bool:
    """Whether a dict is what CloudFormation, or nobody here, makes a value of."""
    name = next(iter(value)) if len(value) == 1 else ""
    return name in ("Ref", UNKNOWN) or name.startswith("Fn::")


def _written(name: str, value: Any) -> Any:
    if name == "FunctionResponseTypes":
        return value if isinstance(value, list) else [value]
    return {"MaximumConcurrency": value} if name == "ScalingConfig" else value


def _filters(document: Document, path: Path, patterns: Any) -> Any:
    if isinstance(patterns, dict) and UNKNOWN in patterns:
        return patterns
    if not isinstance(patterns, list):
        raise document.refused(path, "a list of patterns is expected here", patterns)
    return {"Filters": [{"Pattern": _pattern(pattern)} for pattern in patterns]}


def _pattern(pattern: Any) -> Any:
    return pattern if isinstance(pattern, str) else {"Fn::ToJsonString": pattern}


def _destination(document: Document, path: Path, destinations: Any) -> Any:
    on_failure = destinations.get("onFailure") if isinstance(destinations, dict) else None
    if on_failure is None:
        raise document.refused(path, "onFailure is expected here", destinations)
    arn = on_failure["arn"] if isinstance(on_failure, dict) and "arn" in on_failure else on_failure
    return {"OnFailure": {"Destination": arn}}
