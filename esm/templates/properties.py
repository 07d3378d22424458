"""The properties of an event source mapping, and what CloudFormation makes of a text that stands for a number or flag.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-eventsourcemapping.html
"""

from __future__ import annotations

from typing import Any

from esm.templates.document import number

__all__ = ["FLAGS", "NUMBERS", "OWN", "PROPERTIES", "coerced", "settings"]

NUMBERS = frozenset(
    {
        "BatchSize",
        "MaximumBatchingWindowInSeconds",
        "MaximumConcurrency",
        "MaximumPollers",
        "MaximumRecordAgeInSeconds",
        "MaximumRetryAttempts",
        "MemorySize",
        "MinimumPollers",
        "ParallelizationFactor",
        "ReservedConcurrentExecutions",
        "StartingPositionTimestamp",
        "Timeout",
        "TumblingWindowInSeconds",
    }
)
FLAGS = frozenset({"BisectBatchOnFunctionError", "Enabled"})
PROPERTIES = frozenset(
    {
        "BatchSize",
        "BisectBatchOnFunctionError",
        "DestinationConfig",
        "Enabled",
        "EventSourceArn",
        "FilterCriteria",
        "FunctionName",
        "FunctionResponseTypes",
        "KmsKeyArn",
        "MaximumBatchingWindowInSeconds",
        "MaximumRecordAgeInSeconds",
        "MaximumRetryAttempts",
        "MetricsConfig",
        "ParallelizationFactor",
        "ProvisionedPollerConfig",
        "ScalingConfig",
        "StartingPosition",
        "StartingPositionTimestamp",
        "Tags",
        "TumblingWindowInSeconds",
    }
)
"""Those of a stream's or a queue's mapping."""
OWN = frozenset({"OnDestinationFailure", "UUID"})
"""What only esm's own file may say."""

# YAML 1.1, which CloudFormation reads, has these words for flags; read by themselves they stay text.
_FLAGS = {
    **dict.fromkeys(("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("false", "False", "FALSE", "no", "No", "NO", "off", "Off", "OFF"), False),
}


def coerced(name: str, value: Any) -> Any:
    """The value of a property as its own type, where it is text that says so; anything else as it is."""
    if isinstance(value, dict):
        return {key: coerced(key, each) for key, each in value.items()}
    if not isinstance(value, str):
        return value
    if name in FLAGS:
        return _FLAGS.get(value, value)
    if name in NUMBERS:
        found = number(value)
        return value if found is None else found
    return value


def settings(properties: dict[str, Any]) -> dict[str, Any]:
    """A mapping's properties as the API has them: CloudFormation writes tags and the key's name otherwise."""
    found = {name: coerced(name, value) for name, value in properties.items()}
    if "KmsKeyArn" in found:
        found["KMSKeyArn"] = found.pop("KmsKeyArn")
    tags = found.get("Tags")
    if isinstance(tags, list) and all(isinstance(tag, dict) and isinstance(tag.get("Key"), str) for tag in tags):
        found["Tags"] = {tag["Key"]: tag.get("Value") for tag in tags}
    found.pop("FunctionName", None)
    return found
