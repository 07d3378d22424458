"""The JSON Schema of esm's own file, for editors: the same that stands beside this module as `esm.schema.json`."""

from __future__ import annotations

from typing import Any

from esm.mapping.limits import FUNCTION_MEMORY_MB, FUNCTION_TIMEOUT_SECONDS, MINIMUM_CONCURRENCY, Limits
from esm.templates.own import FUNCTION_PROPERTIES, MAPPING_PROPERTIES

__all__ = ["own_schema"]

_LIMITS = Limits()
_LEAST_MEMORY, _MOST_MEMORY = FUNCTION_MEMORY_MB
_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}


def own_schema() -> dict[str, Any]:
    """The schema, draft 2020-12. What it allows may still be refused: settings that do not go together, a bad ARN."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Event source mappings of esm",
        "type": "object",
        "required": ["EventSourceMappings"],
        "additionalProperties": False,
        "properties": {
            "$schema": _TEXT,
            "EventSourceMappings": {"type": "array", "items": _mapping()},
            "Functions": {
                "description": "By name, as Lambda has it.",
                "type": "object",
                "propertyNames": {"pattern": "^[a-zA-Z0-9-_]{1,64}$"},
                "additionalProperties": _function(),
            },
        },
    }


def _mapping() -> dict[str, Any]:
    properties: dict[str, Any] = {
        "BatchSize": _whole("Records in one call. Default: 100, for a queue 10.", 1, _LIMITS.batch_size),
        "BisectBatchOnFunctionError": {**_FLAG, "description": "Whether a failed batch is split in two."},
        "DestinationConfig": _destination(),
        "Enabled": {**_FLAG, "description": "Whether the source is read. Default: true."},
        "EventSourceArn": {
            **_TEXT,
            "description": "A Kinesis or DynamoDB stream, an SQS queue, or a recording: file:///path.",
        },
        "FilterCriteria": _filters(),
        "FunctionName": {
            **_TEXT,
            "description": "A name under Functions; with :VERSION or :ALIAS where that is meant.",
        },
        "FunctionResponseTypes": {"type": "array", "items": {"enum": ["ReportBatchItemFailures"]}},
        "MaximumBatchingWindowInSeconds": _whole(
            "Seconds that records are gathered.", 0, _LIMITS.maximum_batching_window_in_seconds
        ),
        "MaximumRecordAgeInSeconds": _whole(
            "Seconds until a record is given up, 60 at least; -1: never.", -1, _LIMITS.maximum_record_age_in_seconds
        ),
        "MaximumRetryAttempts": _whole("Tries after the first; -1: no end.", -1, _LIMITS.maximum_retry_attempts),
        "MetricsConfig": {"type": "object", "properties": {"Metrics": {"type": "array", "items": _TEXT}}},
        "OnDestinationFailure": {
            "enum": ["retry", "drop"],
            "description": "What becomes of records whose failure record is not accepted. Default: retry. Not in AWS.",
        },
        "ParallelizationFactor": _whole("Calls at once for a shard.", 1, _LIMITS.parallelization_factor),
        "ProvisionedPollerConfig": _numbers("MinimumPollers", "MaximumPollers", least=1, most=_LIMITS.maximum_pollers),
        "ScalingConfig": _numbers("MaximumConcurrency", least=MINIMUM_CONCURRENCY, most=_LIMITS.maximum_concurrency),
        "StartingPosition": {"enum": ["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]},
        "StartingPositionTimestamp": {"type": "number", "minimum": 0, "description": "Epoch seconds."},
        "TumblingWindowInSeconds": _whole("Seconds of a window; 0: none.", 0, _LIMITS.tumbling_window_in_seconds),
        "UUID": {**_TEXT, "description": "What positions are stored under. Default: from source and function."},
    }
    return _closed(properties, MAPPING_PROPERTIES, ["EventSourceArn", "FunctionName"])


def _function() -> dict[str, Any]:
    variables = {"type": "object", "additionalProperties": _TEXT}
    properties: dict[str, Any] = {
        "CodeUri": {**_TEXT, "description": "The folder of its modules, beside this file. Default: this file's own."},
        "Environment": {"type": "object", "properties": {"Variables": variables}, "additionalProperties": False},
        "Handler": {**_TEXT, "description": "module.function, package/module.function or module:function."},
        "Layers": {"type": "array", "items": _TEXT, "description": "Folders, each with python/ in it or modules."},
        "MemorySize": _whole("MB.", _LEAST_MEMORY, _MOST_MEMORY),
        "ReservedConcurrentExecutions": {
            "type": "integer",
            "minimum": 0,
            "description": "Calls at once, of all mappings.",
        },
        "Timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": FUNCTION_TIMEOUT_SECONDS},
    }
    return _closed(properties, FUNCTION_PROPERTIES, ["Handler"])


def _closed(properties: dict[str, Any], known: frozenset[str], required: list[str]) -> dict[str, Any]:
    """An object of exactly these properties; `known`: what the reader of the file knows, so that none is forgotten."""
    return {
        "type": "object",
        "required": required,
        "additionalProperties": False,
        "properties": {name: properties[name] for name in sorted(known)},
    }


def _whole(description: str, least: int, most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most, "description": description}


def _numbers(*names: str, least: int, most: int) -> dict[str, Any]:
    properties = {name: {"type": "integer", "minimum": least, "maximum": most} for name in names}
    return {"type": "object", "properties": properties, "additionalProperties": False}


def _destination() -> dict[str, Any]:
    place = {"Destination": {**_TEXT, "description": "An SQS, SNS or S3 ARN, or file:///path."}}
    on_failure = {"type": "object", "properties": place, "additionalProperties": False}
    return {"type": "object", "properties": {"OnFailure": on_failure}, "additionalProperties": False}


def _filters() -> dict[str, Any]:
    pattern = {"type": "object", "properties": {"Pattern": _TEXT}, "additionalProperties": False}
    filters = {"type": "array", "maxItems": _LIMITS.filters, "items": pattern}
    return {"type": "object", "properties": {"Filters": filters}, "additionalProperties": False}
