"""Whatever is given, there is a mapping or a `MappingError`, and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from esm.errors import MappingError
from esm.mapping.limits import Limits
from esm.mapping.settings import EventSourceMapping

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"
NAMES = [field.name for field in dataclasses.fields(EventSourceMapping)]
KEYS = [
    "EventSourceArn",
    "FunctionName",
    "FunctionArn",
    "Enabled",
    "State",
    "BatchSize",
    "StartingPosition",
    "StartingPositionTimestamp",
    "FilterCriteria",
    "DestinationConfig",
    "ScalingConfig",
    "ProvisionedPollerConfig",
    "MetricsConfig",
    "Tags",
    "Topics",
    "UUID",
]
WORDS = st.sampled_from(
    [
        "LATEST",
        "AT_TIMESTAMP",
        "TRIM_HORIZON",
        "ReportBatchItemFailures",
        "EventCount",
        "retry",
        "drop",
        STREAM,
        QUEUE,
        QUEUE + ".fifo",
        "arn:aws:dynamodb:ddblocal:000000000000:table/t/stream/1",
        "arn:aws:s3:::bucket",
        "arn:aws:::::",
        "file:///x",
        "memory:",
        "shop:handle",
        '{"a": [1]}',
        "{",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-2, 12)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=4)
    | WORDS
    | st.builds(pow, st.just(10), st.just(5000))
    | st.just(datetime(2026, 1, 1, tzinfo=UTC))
    | st.just(Limits())
    | st.just(print)
)
PLACES = st.sampled_from(
    ["Filters", "Pattern", "OnFailure", "OnSuccess", "Destination", "MaximumConcurrency", "MinimumPollers", "Metrics"]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(PLACES | st.text(max_size=3) | st.integers(), inner),
    max_leaves=8,
)


def made(make: Callable[..., EventSourceMapping], *args: Any, **keywords: Any) -> EventSourceMapping | MappingError:
    try:
        return make(*args, **keywords)
    except MappingError as refused:
        return refused


def survives(**keywords: Any) -> None:
    found = made(EventSourceMapping, **keywords)
    if isinstance(found, MappingError):
        is_clear(found)
    else:
        assert type(found.batch_size) is int
        assert found.uuid
        assert EventSourceMapping(**{name: getattr(found, name) for name in NAMES}) == found
        again = EventSourceMapping.from_api(found.to_api(), function=found.function, limits=found.limits)
        assert again.to_api() == found.to_api()


def is_clear(refused: MappingError) -> None:
    assert refused.code in {"InvalidParameterValueException", "ValidationException"}
    assert refused.status == 400
    assert str(refused).isprintable()


@settings(max_examples=40)
@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=8), VALUES, max_size=6))
def test_any_keywords(keywords: dict[str, Any]) -> None:
    survives(**keywords)


@given(st.sampled_from(NAMES), VALUES)
@example("starting_position_timestamp", float("inf"))
@example("tags", {"\ud800": "\ud800"})
@example("destination_config", "file:///\ud800\n")
@example("filter_criteria", ["[" * 4000])
@example("event_source_arn", 10**5000)  # which Python does not write
def test_one_hostile_setting_in_a_stream(name: str, value: Any) -> None:
    survives(**{"event_source_arn": STREAM, "function": print, "starting_position": "LATEST", name: value})


@given(st.sampled_from(NAMES), VALUES)
@example("filter_criteria", [{"\x7f": None}])
@example("filter_criteria", [{"\x9b2J": [{"\x85": 1}]}])
def test_one_hostile_setting_in_a_queue(name: str, value: Any) -> None:
    survives(**{"event_source_arn": QUEUE, "function": "shop:handle", name: value})


@settings(max_examples=60)
@given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=8), VALUES, max_size=6), st.booleans())
def test_any_dict_of_the_api(config: dict[str, Any], whole: bool) -> None:
    base = {"EventSourceArn": STREAM, "FunctionName": "orders", "StartingPosition": "LATEST"} if whole else {}
    found = made(EventSourceMapping.from_api, {**base, **config}, function=print)
    if isinstance(found, MappingError):
        is_clear(found)
    else:
        assert found.function.handler is print
