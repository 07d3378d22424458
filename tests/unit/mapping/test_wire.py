from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm.errors import MappingError
from esm.mapping.function import Function
from esm.mapping.limits import Limits
from esm.mapping.settings import EventSourceMapping

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
REQUEST = {"EventSourceArn": STREAM, "FunctionName": "orders", "StartingPosition": "LATEST"}


def handle(event: Any, context: Any) -> None:
    """A handler that is never called."""


def read(**given: Any) -> EventSourceMapping:
    return EventSourceMapping.from_api({**REQUEST, **given}, function=handle)


def refusal(**given: Any) -> MappingError:
    with pytest.raises(MappingError) as caught:
        read(**given)
    return caught.value


def test_a_request_to_create_a_mapping() -> None:
    mapping = read(
        Enabled=False,
        BatchSize=500,
        MaximumBatchingWindowInSeconds=5,
        StartingPosition="AT_TIMESTAMP",
        StartingPositionTimestamp=datetime(2026, 1, 1, tzinfo=UTC),
        ParallelizationFactor=2,
        MaximumRecordAgeInSeconds=60,
        MaximumRetryAttempts=3,
        BisectBatchOnFunctionError=True,
        FunctionResponseTypes=["ReportBatchItemFailures"],
        FilterCriteria={"Filters": [{"Pattern": '{"data": {"kind": ["order"]}}'}]},
        DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::failed-records"}},
        MetricsConfig={"Metrics": ["EventCount"]},
        Tags={"team": "shop"},
        KMSKeyArn="arn:aws:kms:eu-west-1:123456789012:key/1",
    )
    assert mapping == EventSourceMapping(
        event_source_arn=STREAM,
        function=Function(handle, name="orders"),
        enabled=False,
        batch_size=500,
        maximum_batching_window_in_seconds=5,
        starting_position="AT_TIMESTAMP",
        starting_position_timestamp=1_767_225_600,
        parallelization_factor=2,
        maximum_record_age_in_seconds=60,
        maximum_retry_attempts=3,
        bisect_batch_on_function_error=True,
        function_response_types=["ReportBatchItemFailures"],
        filter_criteria=['{"data": {"kind": ["order"]}}'],
        destination_config="arn:aws:s3:::failed-records",
        metrics_config={"Metrics": ["EventCount"]},
        tags={"team": "shop"},
        kms_key_arn="arn:aws:kms:eu-west-1:123456789012:key/1",
    )


def test_what_get_event_source_mapping_answers() -> None:
    """A stream's mapping, with every key that an answer always carries (observed)."""
    answer = {
        "ResponseMetadata": {"HTTPStatusCode": 200},
        "UUID": "89ab5863-a191-4ee1-8529-93984bfee847",
        "StartingPosition": "TRIM_HORIZON",
        "BatchSize": 1,
        "MaximumBatchingWindowInSeconds": 0,
        "ParallelizationFactor": 1,
        "EventSourceArn": STREAM,
        "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:orders:live",
        "LastModified": datetime(2026, 1, 1, tzinfo=UTC),
        "LastProcessingResult": "No records processed",
        "State": "Disabled",
        "StateTransitionReason": "User action",
        "DestinationConfig": {"OnFailure": {}},
        "MaximumRecordAgeInSeconds": -1,
        "BisectBatchOnFunctionError": False,
        "MaximumRetryAttempts": -1,
        "TumblingWindowInSeconds": 0,
        "FunctionResponseTypes": [],
        "EventSourceMappingArn": "arn:aws:lambda:eu-west-1:123456789012:event-source-mapping:89ab5863",
        "Topics": [],
    }
    mapping = EventSourceMapping.from_api(answer, function=handle)
    assert mapping.uuid == "89ab5863-a191-4ee1-8529-93984bfee847"
    assert mapping.function == Function(handle, name="orders", version="live")
    assert mapping.on_failure is None
    assert not mapping.enabled


@pytest.mark.parametrize(
    ("state", "enabled"),
    [("Creating", True), ("Enabled", True), ("Updating", True), ("Disabling", False), ("Disabled", False)],
)
def test_a_state_says_whether_it_is_on(state: str, enabled: bool) -> None:
    assert read(State=state).enabled is enabled
    assert read(State=state, Enabled=True).enabled


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("orders", ("orders", "$LATEST")),
        ("orders:live", ("orders", "live")),
        ("orders:7", ("orders", "7")),
        ("orders:$LATEST", ("orders", "$LATEST")),
        ("function:orders", ("orders", "$LATEST")),
        ("123456789012:function:orders", ("orders", "$LATEST")),
        ("123456789012:function:orders:live", ("orders", "live")),
        ("arn:aws:lambda:eu-west-1:123456789012:function:orders", ("orders", "$LATEST")),
        ("arn:aws-us-gov:lambda:us-gov-west-1:123456789012:function:orders:$LATEST", ("orders", "$LATEST")),
    ],
)
def test_every_way_to_name_a_function(name: str, expected: tuple[str, str]) -> None:
    function = read(FunctionName=name).function
    assert (function.name, function.version) == expected


def test_the_function_keeps_what_the_dict_does_not_say() -> None:
    function = Function(handle, timeout=60, version="3")
    named = EventSourceMapping.from_api(REQUEST, function=function).function
    assert (named.name, named.timeout, named.version) == ("orders", 60, "3")
    unnamed = {**REQUEST, "FunctionName": None}
    assert EventSourceMapping.from_api(unnamed, function=function).function is function
    assert EventSourceMapping.from_api(unnamed, function="shop:handle").function.name == "handle"


def test_what_is_the_librarys_own_comes_beside_the_dict() -> None:
    mapping = EventSourceMapping.from_api(
        {**REQUEST, "ParallelizationFactor": 50},
        function=handle,
        on_destination_failure="drop",
        limits=Limits(parallelization_factor=50),
    )
    assert (mapping.parallelization_factor, mapping.on_destination_failure) == (50, "drop")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"BatchSise": 5}, "Unknown parameter in input: 'BatchSise', must be one of: EventSourceArn, Enabled, "),
        ({"batch_size": 5}, "Unknown parameter in input: 'batch_size', must be one of: "),
        (
            {"ScalingConfig": {"Maximum": 5}},
            "Unknown parameter in ScalingConfig: 'Maximum', must be one of: MaximumConcurrency",
        ),
        (
            {"BatchSize": "5"},
            (
                "1 validation error detected: Value '5' at 'batchSize' failed to satisfy constraint: "
                "Member must be an integer"
            ),
        ),
        (
            {"DestinationConfig": "arn:aws:s3:::failed"},
            (
                "1 validation error detected: Value 'arn:aws:s3:::failed' at 'destinationConfig' failed to satisfy "
                "constraint: Member must be a structure"
            ),
        ),
        (
            {"FilterCriteria": [{"data": {"n": [1]}}]},
            (
                "1 validation error detected: Value 'list' at 'filterCriteria' failed to satisfy constraint: "
                "Member must be a structure"
            ),
        ),
        (
            {"FunctionName": 5},
            (
                "1 validation error detected: Value '5' at 'functionName' failed to satisfy constraint: "
                "Member must be a string"
            ),
        ),
        (
            {"FunctionName": "shop.orders:handle:x"},
            (
                "1 validation error detected: Value 'shop.orders:handle:x' at 'functionName' failed to satisfy "
                "constraint: Member must satisfy regular expression pattern: "
            ),
        ),
        ({"Topics": ["orders"]}, "Unsupported Topics parameter for given event source mapping type."),
        (
            {"LoggingConfig": {"SystemLogLevel": "DEBUG"}},
            "Unsupported LoggingConfig parameter for given event source mapping type.",
        ),
    ],
)
def test_what_is_refused(settings: dict[str, Any], message: str) -> None:
    assert refusal(**settings).message.startswith(message)


@pytest.mark.parametrize("config", [None, [], "x", 5])
def test_no_dict(config: Any) -> None:
    with pytest.raises(MappingError, match="at 'input' failed to satisfy constraint: Member must be a structure"):
        EventSourceMapping.from_api(config, function=handle)


def test_a_stream_as_the_api_takes_it() -> None:
    mapping = EventSourceMapping(
        event_source_arn=STREAM,
        function=Function(handle, name="orders", version="live"),
        starting_position="AT_TIMESTAMP",
        starting_position_timestamp=1_767_225_600.5,
        filter_criteria=[{"data": {"kind": ["order"]}}],
        function_response_types=["ReportBatchItemFailures"],
        destination_config="file:///tmp/failed.jsonl",
        uuid="orders",
    )
    assert mapping.to_api() == {
        "FunctionName": "orders:live",
        "EventSourceArn": STREAM,
        "Enabled": True,
        "BatchSize": 100,
        "MaximumBatchingWindowInSeconds": 0,
        "StartingPosition": "AT_TIMESTAMP",
        "StartingPositionTimestamp": 1_767_225_600.5,
        "ParallelizationFactor": 1,
        "MaximumRecordAgeInSeconds": -1,
        "MaximumRetryAttempts": -1,
        "BisectBatchOnFunctionError": False,
        "TumblingWindowInSeconds": 0,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "FilterCriteria": {"Filters": [{"Pattern": '{"data": {"kind": ["order"]}}'}]},
        "DestinationConfig": {"OnFailure": {"Destination": "file:///tmp/failed.jsonl"}},
        "UUID": "orders",
    }


def test_a_queue_as_the_api_takes_it() -> None:
    mapping = EventSourceMapping(
        event_source_arn=QUEUE, function=handle, provisioned_poller_config={"MinimumPollers": 5}, tags={"team": "shop"}
    )
    assert mapping.to_api() == {
        "FunctionName": "handle",
        "EventSourceArn": QUEUE,
        "Enabled": True,
        "BatchSize": 10,
        "MaximumBatchingWindowInSeconds": 0,
        "ProvisionedPollerConfig": {"MinimumPollers": 5, "MaximumPollers": 200},
        "Tags": {"team": "shop"},
    }


def test_what_is_written_is_a_copy() -> None:
    mapping = EventSourceMapping(event_source_arn=QUEUE, function=handle, tags={"team": "shop"})
    mapping.to_api()["Tags"].clear()
    assert mapping.tags == {"team": "shop"}


TEXT = st.text("abcxyz-_019", min_size=1, max_size=20)
COMMON = {
    "function": st.builds(Function, st.just(handle), name=TEXT, version=st.one_of(st.just("$LATEST"), TEXT)),
    "enabled": st.booleans(),
    "filter_criteria": st.lists(st.sampled_from(['{"data": {"a": [1]}}', '{"eventName": ["INSERT"]}']), max_size=5),
    "function_response_types": st.sampled_from([(), ("ReportBatchItemFailures",)]),
    "metrics_config": st.sampled_from([None, {"Metrics": ["EventCount"]}]),
    "tags": st.dictionaries(TEXT, st.text(max_size=10), max_size=3),
    "kms_key_arn": st.sampled_from([None, "arn:aws:kms:eu-west-1:123456789012:key/1"]),
    "uuid": st.one_of(st.none(), TEXT),
}
STREAMS = st.fixed_dictionaries(
    {
        **COMMON,
        "event_source_arn": st.sampled_from([STREAM, STREAM + "/consumer/fast:1767225600"]),
        "starting_position": st.just("AT_TIMESTAMP"),
        "starting_position_timestamp": st.floats(0, 253_402_300_799) | st.integers(0, 253_402_300_799),
        "batch_size": st.integers(1, 10_000),
        "maximum_batching_window_in_seconds": st.integers(0, 300),
        "parallelization_factor": st.integers(1, 10),
        "maximum_record_age_in_seconds": st.just(-1) | st.integers(60, 604_800),
        "maximum_retry_attempts": st.integers(-1, 10_000),
        "bisect_batch_on_function_error": st.booleans(),
        "destination_config": st.sampled_from([None, "memory:", "arn:aws:s3:::failed-records"]),
    }
)
QUEUES = st.fixed_dictionaries(
    {
        **COMMON,
        "event_source_arn": st.just(QUEUE),
        "batch_size": st.integers(1, 10_000),
        "maximum_batching_window_in_seconds": st.integers(1, 300),
        "scaling_config": st.none() | st.fixed_dictionaries({"MaximumConcurrency": st.integers(2, 1000)}),
    }
)


@given(STREAMS | QUEUES)
def test_what_is_written_reads_back_as_it_was(settings: dict[str, Any]) -> None:
    mapping = EventSourceMapping(**settings)
    again = EventSourceMapping.from_api(mapping.to_api(), function=mapping.function)
    assert again == mapping
    assert again.to_api() == mapping.to_api()
    assert again.starting_position_timestamp_ms == mapping.starting_position_timestamp_ms
