"""What Lambda refuses of a single value, in its own words.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html for the bounds. `observed`: the
text is Lambda's, as it answered; `chosen`: no answer is known for this setting, and the text is in the same words.
"""

from __future__ import annotations

from typing import Any

import pytest

from esm.errors import MappingError
from esm.mapping.settings import EventSourceMapping

KINESIS = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
DYNAMODB = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
OBSERVED, CHOSEN = "observed", "chosen"
VALIDATION = "ValidationException"


def handle(event: Any, context: Any) -> None:
    """A handler that is never called."""


def refusal(source: str, **settings: Any) -> MappingError:
    with pytest.raises(MappingError) as caught:
        EventSourceMapping(event_source_arn=source, function=handle, **settings)
    return caught.value


ALONE: list[tuple[str, dict[str, Any], str, str]] = [
    (
        OBSERVED,
        {"starting_position": "invalid"},
        "startingPosition",
        "Value 'invalid'|Member must satisfy enum value set: [LATEST, AT_TIMESTAMP, TRIM_HORIZON]",
    ),
    (OBSERVED, {"batch_size": 0}, "batchSize", "Value '0'|Member must have value greater than or equal to 1"),
    (OBSERVED, {"batch_size": 10001}, "batchSize", "Value '10001'|Member must have value less than or equal to 10000"),
    (
        OBSERVED,
        {"maximum_batching_window_in_seconds": -1},
        "maximumBatchingWindowInSeconds",
        "Value '-1'|Member must have value greater than or equal to 0",
    ),
    (
        OBSERVED,
        {"maximum_batching_window_in_seconds": 301},
        "maximumBatchingWindowInSeconds",
        "Value '301'|Member must have value less than or equal to 300",
    ),
    (
        CHOSEN,
        {"parallelization_factor": 11},
        "parallelizationFactor",
        "Value '11'|Member must have value less than or equal to 10",
    ),
    (
        CHOSEN,
        {"parallelization_factor": 0},
        "parallelizationFactor",
        "Value '0'|Member must have value greater than or equal to 1",
    ),
    (
        CHOSEN,
        {"maximum_record_age_in_seconds": -2},
        "maximumRecordAgeInSeconds",
        "Value '-2'|Member must have value greater than or equal to -1",
    ),
    (
        CHOSEN,
        {"maximum_record_age_in_seconds": 604801},
        "maximumRecordAgeInSeconds",
        "Value '604801'|Member must have value less than or equal to 604800",
    ),
    (
        CHOSEN,
        {"maximum_retry_attempts": 10001},
        "maximumRetryAttempts",
        "Value '10001'|Member must have value less than or equal to 10000",
    ),
    (
        CHOSEN,
        {"tumbling_window_in_seconds": 901},
        "tumblingWindowInSeconds",
        "Value '901'|Member must have value less than or equal to 900",
    ),
    (
        CHOSEN,
        {"scaling_config": {"MaximumConcurrency": 1}},
        "scalingConfig.maximumConcurrency",
        "Value '1'|Member must have value greater than or equal to 2",
    ),
    (
        CHOSEN,
        {"scaling_config": {"MaximumConcurrency": 1001}},
        "scalingConfig.maximumConcurrency",
        "Value '1001'|Member must have value less than or equal to 1000",
    ),
    (
        CHOSEN,
        {"provisioned_poller_config": {"MinimumPollers": 201}},
        "provisionedPollerConfig.minimumPollers",
        "Value '201'|Member must have value less than or equal to 200",
    ),
    (
        CHOSEN,
        {"provisioned_poller_config": {"MaximumPollers": 10001}},
        "provisionedPollerConfig.maximumPollers",
        "Value '10001'|Member must have value less than or equal to 10000",
    ),
    (
        CHOSEN,
        {"function_response_types": ["All"]},
        "functionResponseTypes",
        "Value 'All'|Member must satisfy enum value set: [ReportBatchItemFailures]",
    ),
    (
        CHOSEN,
        {"function_response_types": ["ReportBatchItemFailures"] * 2},
        "functionResponseTypes",
        "Value 'list'|Member must have length less than or equal to 1",
    ),
    (
        CHOSEN,
        {"filter_criteria": [{"data": {"n": [1]}}] * 6},
        "filterCriteria",
        "Value 'list'|Member must have length less than or equal to 5",
    ),
    (CHOSEN, {"batch_size": True}, "batchSize", "Value 'true'|Member must be an integer"),
    (CHOSEN, {"batch_size": 100.0}, "batchSize", "Value '100.0'|Member must be an integer"),
    (CHOSEN, {"batch_size": "100"}, "batchSize", "Value '100'|Member must be an integer"),
    (CHOSEN, {"batch_size": float("nan")}, "batchSize", "Value 'nan'|Member must be an integer"),
    (CHOSEN, {"enabled": 1}, "enabled", "Value '1'|Member must be a boolean"),
]


@pytest.mark.parametrize(("mark", "settings", "path", "expected"), ALONE)
def test_values_that_break_their_own_constraint(mark: str, settings: dict[str, Any], path: str, expected: str) -> None:
    """Each has the code `ValidationException`, on every kind of source, before any rule of the source is looked at."""
    shown, constraint = expected.split("|")
    text = f"1 validation error detected: {shown} at '{path}' failed to satisfy constraint: {constraint}"
    for source in (KINESIS, DYNAMODB, QUEUE):
        refused = refusal(source, **settings)
        (field,) = settings
        assert (refused.code, refused.status, refused.message, refused.field) == (VALIDATION, 400, text, field), mark
