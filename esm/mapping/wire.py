"""A mapping as AWS's API writes it, read and written: the one place that knows the API's names.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from esm.errors import MappingError
from esm.mapping import rules
from esm.mapping.constraints import structure, text, violated
from esm.mapping.function import Function, Handler
from esm.mapping.limits import Limits
from esm.mapping.settings import EventSourceMapping

__all__ = ["ELSEWHERE", "from_api", "to_api"]

_SETTINGS = {
    "EventSourceArn": "event_source_arn",
    "Enabled": "enabled",
    "BatchSize": "batch_size",
    "MaximumBatchingWindowInSeconds": "maximum_batching_window_in_seconds",
    "StartingPosition": "starting_position",
    "StartingPositionTimestamp": "starting_position_timestamp",
    "ParallelizationFactor": "parallelization_factor",
    "MaximumRecordAgeInSeconds": "maximum_record_age_in_seconds",
    "MaximumRetryAttempts": "maximum_retry_attempts",
    "BisectBatchOnFunctionError": "bisect_batch_on_function_error",
    "TumblingWindowInSeconds": "tumbling_window_in_seconds",
    "FunctionResponseTypes": "function_response_types",
    "FilterCriteria": "filter_criteria",
    "DestinationConfig": "destination_config",
    "ScalingConfig": "scaling_config",
    "ProvisionedPollerConfig": "provisioned_poller_config",
    "MetricsConfig": "metrics_config",
    "KMSKeyArn": "kms_key_arn",
    "Tags": "tags",
    "UUID": "uuid",
}
_STRUCTURES = ("FilterCriteria", "DestinationConfig")
"""What the constructor takes in a shorter form too, and the API does not."""
_STREAM_ONLY = (
    "StartingPosition",
    "StartingPositionTimestamp",
    "ParallelizationFactor",
    "MaximumRecordAgeInSeconds",
    "MaximumRetryAttempts",
    "BisectBatchOnFunctionError",
    "TumblingWindowInSeconds",
    "DestinationConfig",
)
_NAMES = ("FunctionName", "FunctionArn")
_ANSWERED = (
    "EventSourceMappingArn",
    "FilterCriteriaError",
    "LastModified",
    "LastProcessingResult",
    "ResponseMetadata",
    "State",
    "StateTransitionReason",
)
"""What an answer has beside the settings: read past, but for a `State` that says the mapping is off."""
ELSEWHERE = (
    "AmazonManagedKafkaEventSourceConfig",
    "DocumentDBEventSourceConfig",
    "LoggingConfig",
    "Queues",
    "SelfManagedEventSource",
    "SelfManagedKafkaEventSourceConfig",
    "SourceAccessConfigurations",
    "Topics",
)
"""What mappings of Kafka, Amazon MQ and DocumentDB have beside the settings of all."""
_FUNCTION_NAME = re.compile(
    r"((arn:aws[a-zA-Z-]*:lambda:[a-zA-Z0-9-]*:)?([0-9]{12}:)?function:)?"
    r"(?P<name>[a-zA-Z0-9-_]{1,64})(:(?P<qualifier>\$LATEST|[a-zA-Z0-9-_]+))?"
)
"""A name, an ARN, or the end of one; with or without a version or alias."""
_FUNCTION_NAME_LENGTH = 256
_OFF = ("Disabled", "Disabling")


def from_api(
    config: Mapping[str, Any],
    *,
    function: Function | Handler,
    on_destination_failure: Any = None,
    limits: Limits | None = None,
) -> EventSourceMapping:
    """The mapping that `config` describes: a request to create one, or AWS's answer about one.

    `FunctionName` (or `FunctionArn`) names `function`; without either it keeps its own name. Keys whose value is `None`
    are as if absent. Raises `MappingError` for a key that there is not, or a value that cannot be.
    """
    given = structure("config", config, (*_SETTINGS, *_NAMES, *_ANSWERED, *ELSEWHERE), path="input")
    for key in ELSEWHERE:
        if given.get(key):
            raise MappingError(f"Unsupported {key} parameter for given event source mapping type.", value=given[key])
    for key in _STRUCTURES:
        _check_structure(key, given.get(key))
    settings: dict[str, Any] = {_SETTINGS[key]: value for key, value in given.items() if key in _SETTINGS}
    if "enabled" not in settings and "State" in given:
        settings["enabled"] = given["State"] not in _OFF
    settings["function"] = _named(function, given)
    return EventSourceMapping(**settings, on_destination_failure=on_destination_failure, limits=limits)


def to_api(mapping: EventSourceMapping) -> dict[str, Any]:
    """A request to create `mapping`, in the API's names and order; what AWS does not have is left out.

    Numbers are always there, whatever their value; structures and lists only when they hold something. `UUID` is there
    when it was chosen. A destination of this library's own (`file:`, `memory:`) is written as it is.
    """
    request: dict[str, Any] = {"FunctionName": mapping.function.qualified_name}
    for key, setting in _SETTINGS.items():
        value = getattr(mapping, setting)
        if value is None or value in ((), {}) or (key in _STREAM_ONLY and mapping.source_kind == "sqs"):
            continue
        if key == "BatchSize" and not value:
            continue  # of a recording: whatever is the default of what was recorded
        request[key] = _WRITERS[key](value) if key in _WRITERS else value
    if mapping.uuid == rules.derived_uuid(mapping.event_source_arn, mapping.function):
        del request["UUID"]
    return request


def _named(function: Function | Handler, given: Mapping[str, Any]) -> Function:
    own = function if isinstance(function, Function) else Function(function)
    key = next((key for key in _NAMES if key in given), None)
    if key is None:
        return own
    found = _FUNCTION_NAME.fullmatch(text("function", given[key], maximum=_FUNCTION_NAME_LENGTH))
    if not found:
        constraint = f"Member must satisfy regular expression pattern: {_FUNCTION_NAME.pattern}"
        raise violated("function", given[key], constraint)
    return replace(own, name=found["name"], version=found["qualifier"] or own.version)


def _check_structure(key: str, value: object) -> None:
    if value is not None and not isinstance(value, Mapping):
        raise violated(_SETTINGS[key], value, "Member must be a structure")


def _filters(patterns: tuple[str | dict[str, Any], ...]) -> dict[str, Any]:
    return {"Filters": [{"Pattern": each if isinstance(each, str) else json.dumps(each)} for each in patterns]}


def _seconds(timestamp: float) -> float:
    return int(timestamp) if timestamp.is_integer() else timestamp


_WRITERS: Mapping[str, Callable[[Any], Any]] = {
    "FilterCriteria": _filters,
    "DestinationConfig": lambda destination: {"OnFailure": {"Destination": destination}},
    "FunctionResponseTypes": list,
    "StartingPositionTimestamp": _seconds,
    "ScalingConfig": dict,
    "ProvisionedPollerConfig": dict,
    "MetricsConfig": lambda metrics: {"Metrics": list(metrics["Metrics"])},
    "Tags": dict,
}
"""What a value looks like in the API, where that is not how it looks here."""
