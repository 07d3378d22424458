"""What Lambda refuses, in its own words.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html for the rules. `observed`: the
text is Lambda's, as it answered; `chosen`: no answer is known, and the text is in its manner.
"""

from __future__ import annotations

from typing import Any

import pytest

from esm.errors import MappingError
from esm.mapping import rules
from esm.mapping.function import Function
from esm.mapping.settings import EventSourceMapping

KINESIS = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
DYNAMODB = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
FIFO = QUEUE + ".fifo"
FILE = "file:///orders.jsonl"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:failed"
OBSERVED, CHOSEN = "observed", "chosen"
INVALID = "InvalidParameterValueException"

LARGE_BATCH = "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10"
DESTINATION = "Unsupported DestinationConfig parameter for given event source mapping type."
BAD_PATTERN = "Invalid filter pattern definition."
AN_OBJECT = "expected an object with at least one key."
NO_LEAF = "expected an array or an object."
AS_JSON = "expected an object, because data is matched as JSON."
RECORD_AGE = "MaximumRecordAgeInSeconds must be either -1 (forever) or between 60 and 604800 (inclusive)"
POLLERS = "MinimumPollers should be between [2, 200] and MaximumPollers should be between [MinimumPollers, 10000]"


def handle(event: Any, context: Any) -> None:
    """A handler that is never called."""


def refusal(source: str, **settings: Any) -> MappingError:
    if source in (KINESIS, DYNAMODB):
        settings.setdefault("starting_position", "LATEST")
    with pytest.raises(MappingError) as caught:
        EventSourceMapping(event_source_arn=source, function=handle, **settings)
    return caught.value


TOGETHER: list[tuple[str, str, dict[str, Any], str, str]] = [
    (OBSERVED, QUEUE, {"batch_size": 11}, "batch_size", LARGE_BATCH),
    (OBSERVED, FIFO, {"batch_size": 11}, "batch_size", "Batch size must not exceed 10 for FIFO queues"),
    (
        OBSERVED,
        FIFO,
        {"maximum_batching_window_in_seconds": 1},
        "maximum_batching_window_in_seconds",
        "Batching window is not supported for FIFO queues",
    ),
    (
        OBSERVED,
        KINESIS,
        {"starting_position": None},
        "starting_position",
        (
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
            "Member must not be null."
        ),
    ),
    (
        OBSERVED,
        DYNAMODB,
        {"starting_position": None},
        "starting_position",
        (
            "1 validation error detected: Value null at 'startingPosition' failed to satisfy constraint: "
            "Member must not be null."
        ),
    ),
    (
        OBSERVED,
        DYNAMODB,
        {"starting_position": "AT_TIMESTAMP", "starting_position_timestamp": 1},
        "starting_position",
        f"Unsupported starting position for arn type: {DYNAMODB}",
    ),
    (
        OBSERVED,
        KINESIS,
        {"starting_position": "AT_TIMESTAMP"},
        "starting_position_timestamp",
        "Need to specify a timestamp",
    ),
    (
        CHOSEN,
        KINESIS,
        {"starting_position": "TRIM_HORIZON", "starting_position_timestamp": 1},
        "starting_position_timestamp",
        "StartingPositionTimestamp is valid only with StartingPosition AT_TIMESTAMP.",
    ),
    (OBSERVED, KINESIS, {"maximum_record_age_in_seconds": 0}, "maximum_record_age_in_seconds", RECORD_AGE),
    (OBSERVED, DYNAMODB, {"maximum_record_age_in_seconds": 59}, "maximum_record_age_in_seconds", RECORD_AGE),
    (
        CHOSEN,
        KINESIS,
        {"parallelization_factor": 2, "tumbling_window_in_seconds": 10},
        "parallelization_factor",
        "ParallelizationFactor must be 1 when TumblingWindowInSeconds is set.",
    ),
    (
        CHOSEN,
        DYNAMODB,
        {"filter_criteria": [{"eventName": ["INSERT"]}], "tumbling_window_in_seconds": 10},
        "filter_criteria",
        "FilterCriteria isn't supported when TumblingWindowInSeconds is set.",
    ),
    (OBSERVED, KINESIS, {"filter_criteria": ["null"]}, "filter_criteria", BAD_PATTERN),
    (OBSERVED, KINESIS, {"filter_criteria": ['"x"']}, "filter_criteria", BAD_PATTERN),
    (OBSERVED, QUEUE, {"filter_criteria": ['{"body":']}, "filter_criteria", BAD_PATTERN),
    (CHOSEN, QUEUE, {"filter_criteria": [{"body": {}}]}, "filter_criteria", BAD_PATTERN + " At $.body: " + AN_OBJECT),
    (CHOSEN, QUEUE, {"filter_criteria": [{"body": "x"}]}, "filter_criteria", BAD_PATTERN + " At $.body: " + NO_LEAF),
    (
        CHOSEN,
        KINESIS,
        {"filter_criteria": [{"data": ["x"]}]},
        "filter_criteria",
        BAD_PATTERN + " At $.data: " + AS_JSON,
    ),
    (CHOSEN, FILE, {"filter_criteria": ['{"data": 5}']}, "filter_criteria", BAD_PATTERN + " At $.data: " + NO_LEAF),
    (
        OBSERVED,
        KINESIS,
        {"destination_config": {"OnSuccess": {"Destination": TOPIC}}},
        "destination_config",
        DESTINATION,
    ),
    (OBSERVED, QUEUE, {"destination_config": TOPIC}, "destination_config", DESTINATION),
    (CHOSEN, KINESIS, {"destination_config": FIFO}, "destination_config", DESTINATION),
    (CHOSEN, KINESIS, {"destination_config": TOPIC + ".fifo"}, "destination_config", DESTINATION),
    (
        CHOSEN,
        KINESIS,
        {"destination_config": "arn:aws:lambda:eu-west-1:123456789012:function:f"},
        "destination_config",
        DESTINATION,
    ),
    (
        OBSERVED,
        QUEUE,
        {"starting_position": "LATEST"},
        "starting_position",
        "StartingPosition is not valid for SQS event sources.",
    ),
    (
        CHOSEN,
        QUEUE,
        {"starting_position_timestamp": 1},
        "starting_position_timestamp",
        "StartingPositionTimestamp is not valid for SQS event sources.",
    ),
    (
        OBSERVED,
        QUEUE,
        {"maximum_retry_attempts": 3},
        "maximum_retry_attempts",
        "MaximumRetryAttempts isn't supported for this event source type",
    ),
    (
        CHOSEN,
        QUEUE,
        {"maximum_record_age_in_seconds": 60},
        "maximum_record_age_in_seconds",
        "MaximumRecordAgeInSeconds isn't supported for this event source type",
    ),
    (
        CHOSEN,
        QUEUE,
        {"parallelization_factor": 2},
        "parallelization_factor",
        "ParallelizationFactor isn't supported for this event source type",
    ),
    (
        CHOSEN,
        QUEUE,
        {"bisect_batch_on_function_error": True},
        "bisect_batch_on_function_error",
        "BisectBatchOnFunctionError isn't supported for this event source type",
    ),
    (
        CHOSEN,
        QUEUE,
        {"tumbling_window_in_seconds": 1},
        "tumbling_window_in_seconds",
        "TumblingWindowInSeconds isn't supported for this event source type",
    ),
    (
        OBSERVED,
        QUEUE,
        {"provisioned_poller_config": {"MinimumPollers": 2}, "scaling_config": {"MaximumConcurrency": 2}},
        "scaling_config",
        (
            "Provisioned mode for SQS ESM does not support maximum concurrency feature. "
            "Use MaximumPollers as the control mechanism and remove maximum concurrency."
        ),
    ),
    (
        OBSERVED,
        QUEUE,
        {"provisioned_poller_config": {"MinimumPollers": 1}},
        "provisioned_poller_config",
        POLLERS,
    ),
    (
        OBSERVED,
        QUEUE,
        {"provisioned_poller_config": {"MinimumPollers": 5, "MaximumPollers": 4}},
        "provisioned_poller_config",
        POLLERS,
    ),
    (
        OBSERVED,
        QUEUE,
        {"provisioned_poller_config": {}},
        "provisioned_poller_config",
        "Either MinimumPollers or MaximumPollers are required if ProvisionedPollerConfig is provided.",
    ),
    (
        CHOSEN,
        KINESIS,
        {"scaling_config": {"MaximumConcurrency": 2}},
        "scaling_config",
        "Unsupported ScalingConfig parameter for given event source mapping type.",
    ),
    (
        CHOSEN,
        DYNAMODB,
        {"provisioned_poller_config": {"MinimumPollers": 2}},
        "provisioned_poller_config",
        "Unsupported ProvisionedPollerConfig parameter for given event source mapping type.",
    ),
    (
        CHOSEN,
        KINESIS,
        {"metrics_config": {"Metrics": ["KafkaMetrics"]}},
        "metrics_config",
        "Unsupported KafkaMetrics metrics for given event source mapping type.",
    ),
]


@pytest.mark.parametrize(("mark", "source", "settings", "field", "text"), TOGETHER)
def test_settings_that_do_not_go_together(
    mark: str, source: str, settings: dict[str, Any], field: str, text: str
) -> None:
    refused = refusal(source, **settings)
    assert (refused.code, refused.status, refused.message, refused.field) == (INVALID, 400, text, field), mark


@pytest.mark.parametrize(
    "source",
    [
        "",
        "arn:aws:dynamodb:eu-west-1:123456789012:table/orders",
        "arn:aws:kinesis:eu-west-1:123456789012:stream/",
        "arn:aws:s3:::orders",
        "arn:aws:sqs:eu-west-1:123456789012:orders.txt",
    ],
)
def test_a_source_that_is_none(source: str) -> None:
    """The text for a request without a source (observed); for an ARN of another kind it is chosen."""
    refused = refusal(source)
    assert refused.code == INVALID
    assert refused.message.startswith("Unrecognized event source.")
    assert (refused.field, refused.value) == ("event_source_arn", source or None)
    assert ("table/NAME/stream/TIME" in refused.message) == bool(source)


def test_streams_need_no_window_for_large_batches() -> None:
    """Documented, and not enforced: a stream's default is 100 with no window (observed)."""
    mapping = EventSourceMapping(event_source_arn=DYNAMODB, function=handle, starting_position="LATEST", batch_size=101)
    assert (mapping.batch_size, mapping.maximum_batching_window_in_seconds) == (101, 0)


def test_a_window_that_says_nothing_goes_with_filters() -> None:
    """An empty list of filters goes with a tumbling window (observed)."""
    mapping = EventSourceMapping(
        event_source_arn=KINESIS,
        function=handle,
        starting_position="LATEST",
        tumbling_window_in_seconds=10,
        filter_criteria={"Filters": []},
    )
    assert mapping.filters == []


def test_a_concurrency_above_what_is_reserved_is_accepted() -> None:
    """Lambda only advises against it (observed)."""
    mapping = EventSourceMapping(
        event_source_arn=QUEUE,
        function=Function(handle, reserved_concurrency=1),
        scaling_config={"MaximumConcurrency": 1000},
    )
    assert mapping.maximum_concurrency == 1000


def test_a_queue_that_hides_messages_for_too_short() -> None:
    """Observed. https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"""
    rules.check_visibility_timeout(60, Function(handle, timeout=60), QUEUE)
    with pytest.raises(MappingError) as caught:
        rules.check_visibility_timeout(30, Function(handle, timeout=60), QUEUE)
    assert (caught.value.code, caught.value.message) == (
        INVALID,
        "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds",
    )


def test_a_start_in_the_future() -> None:
    """The rule is documented; the words are chosen."""
    rules.check_starting_time(None, 0)
    rules.check_starting_time(1_000, 1_000)
    with pytest.raises(MappingError) as caught:
        rules.check_starting_time(1_001, 1_000)
    assert (caught.value.code, caught.value.message) == (
        INVALID,
        "StartingPositionTimestamp cannot be in the future.",
    )


@pytest.mark.parametrize(
    ("source", "size"),
    [(KINESIS, 100), (KINESIS + "/consumer/fast:1767225600", 100), (DYNAMODB, 100), (QUEUE, 10), (FIFO, 10)],
)
def test_defaults(source: str, size: int) -> None:
    """Every default is AWS's: an answer to a request that named nothing else showed these (observed)."""
    position: Any = "LATEST" if source.partition(":sqs:")[1] == "" else None
    mapping = EventSourceMapping(event_source_arn=source, function=handle, starting_position=position)
    assert mapping.batch_size == size
    assert mapping.enabled
    assert mapping.maximum_batching_window_in_seconds == 0
    assert mapping.parallelization_factor == 1
    assert mapping.maximum_record_age_in_seconds == -1
    assert mapping.maximum_retry_attempts == -1
    assert not mapping.bisect_batch_on_function_error
    assert mapping.tumbling_window_in_seconds == 0
    assert mapping.function_response_types == ()
    assert mapping.filters == []
    assert mapping.on_failure is None
    assert mapping.tags == {}


@pytest.mark.parametrize(
    "settings",
    [
        {"filter_criteria": {}},
        {"filter_criteria": {"Filters": []}},
        {"destination_config": {"OnFailure": {"Destination": ""}}},
        {"destination_config": ""},
        {"scaling_config": {}},
        {"kms_key_arn": ""},
        {"function_response_types": []},
    ],
)
def test_empty_values_clear_a_setting(settings: dict[str, Any]) -> None:
    """Observed with `UpdateEventSourceMapping`."""
    plain = EventSourceMapping(event_source_arn=KINESIS, function=handle, starting_position="LATEST")
    assert (
        EventSourceMapping(event_source_arn=KINESIS, function=handle, starting_position="LATEST", **settings) == plain
    )
