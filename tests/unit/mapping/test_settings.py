from __future__ import annotations

import ast
import copy
import dataclasses
import inspect
import itertools
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from esm.arn import Arn
from esm.errors import MappingError
from esm.mapping import rules, settings
from esm.mapping.function import Function
from esm.mapping.limits import Limits
from esm.mapping.settings import EventSourceMapping, check_distinct, mappings_of

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
TABLE = "arn:aws:dynamodb:ddblocal:000000000000:table/orders/stream/2026-01-01T00:00:00.000"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"


def handle(event: Any, context: Any) -> None:
    """A handler that is never called."""


def stream(**given: Any) -> EventSourceMapping:
    return EventSourceMapping(
        **{"event_source_arn": STREAM, "function": handle, "starting_position": "LATEST", **given}
    )


def queue(**given: Any) -> EventSourceMapping:
    return EventSourceMapping(**{"event_source_arn": QUEUE, "function": handle, **given})


def refusal(**given: Any) -> MappingError:
    with pytest.raises(MappingError) as caught:
        stream(**given)
    return caught.value


def test_every_field_has_its_docstring_and_its_input() -> None:
    tree = ast.parse(inspect.getsource(settings))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef)).body
    documented = [
        node.target.id
        for node, after in itertools.pairwise(body)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    ]
    fields = [field.name for field in dataclasses.fields(EventSourceMapping)]
    assert documented == fields
    assert set(fields) == set(settings.Settings.__annotations__)
    assert set(fields) == {"event_source_arn", "function", *rules.DEFAULTS}


def test_it_is_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        stream().batch_size = 5  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    ("source", "kind", "stream_arn"),
    [
        (STREAM, "kinesis", STREAM),
        (STREAM + "/consumer/fast:1767225600", "kinesis", STREAM),
        (TABLE, "dynamodb", TABLE),
    ],
)
def test_the_source_taken_apart(source: str, kind: str, stream_arn: str) -> None:
    mapping = stream(event_source_arn=source)
    assert mapping.source_kind == kind
    assert mapping.stream_arn == stream_arn
    assert mapping.arn == Arn.parse(source)


def test_a_queue_needs_nothing_but_source_and_function() -> None:
    mapping = queue()
    assert mapping.source_kind == "sqs"
    assert mapping.stream_arn == QUEUE
    assert mapping.starting_position is None
    assert mapping.starting_position_timestamp_ms is None
    assert mapping.maximum_concurrency is None
    assert queue(scaling_config={"MaximumConcurrency": 8}).maximum_concurrency == 8


def test_a_queue_takes_what_says_nothing_about_streams() -> None:
    """So that a mapping can be copied with a change."""
    assert dataclasses.replace(queue(), batch_size=5) == queue(batch_size=5)


def test_the_function_is_always_a_function() -> None:
    assert stream().function == Function(handle)
    assert stream(function="shop.orders:handle").function == Function("shop.orders:handle")
    function = Function(handle, name="orders", timeout=60)
    assert stream(function=function).function is function
    assert refusal(function=5).field == "function"
    assert refusal(function="nodots").field == "handler"


def test_what_is_required() -> None:
    assert refusal(event_source_arn=None).message == "Unrecognized event source."
    assert refusal(event_source_arn="orders").message.startswith(
        "1 validation error detected: Value 'orders' at 'eventSourceArn' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: arn:"
    )
    assert refusal(function=None).message == (
        "1 validation error detected: Value null at 'functionName' failed to satisfy constraint: "
        "Member must not be null."
    )


def test_a_keyword_that_there_is_not() -> None:
    refused = refusal(batch_sise=5)
    assert refused.code == "ValidationException"
    assert refused.field == "batch_sise"
    assert refused.message.startswith("Unknown parameter in input: 'batch_sise', must be one of: event_source_arn, ")


@pytest.mark.parametrize(
    ("timestamp", "seconds"),
    [
        (0, 0.0),
        (1_767_225_600, 1_767_225_600.0),
        (1_767_225_600.1234, 1_767_225_600.123),
        (datetime(2026, 1, 1, tzinfo=UTC), 1_767_225_600.0),
        (datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 1_767_225_600.0),
    ],
)
def test_a_time_to_start(timestamp: Any, seconds: float) -> None:
    mapping = stream(starting_position="AT_TIMESTAMP", starting_position_timestamp=timestamp)
    assert mapping.starting_position_timestamp == seconds
    assert mapping.starting_position_timestamp_ms == round(seconds * 1000)


@pytest.mark.parametrize(
    ("timestamp", "constraint"),
    [
        (-1, "Member must have value between 0 and 253402300799"),
        (10**400, "Member must have value between 0 and 253402300799"),
        (float("nan"), "Member must have value between 0 and 253402300799"),
        (datetime(2026, 1, 1), "Member must have a time zone"),  # noqa: DTZ001 - the point of the test
        (datetime(1969, 1, 1, tzinfo=UTC), "Member must have value between 0 and 253402300799"),
        ("2026-01-01", "Member must be a timestamp: epoch seconds or a datetime with a time zone"),
        (True, "Member must be a timestamp: epoch seconds or a datetime with a time zone"),
    ],
)
def test_no_time_to_start(timestamp: Any, constraint: str) -> None:
    refused = refusal(starting_position="AT_TIMESTAMP", starting_position_timestamp=timestamp)
    assert refused.message.endswith(f" at 'startingPositionTimestamp' failed to satisfy constraint: {constraint}")


def test_answers() -> None:
    assert not stream().reports_batch_item_failures
    assert stream(function_response_types=["ReportBatchItemFailures"]).reports_batch_item_failures
    assert refusal(function_response_types="ReportBatchItemFailures").message.endswith("Member must be a list")


def test_limits_are_lifted_on_purpose() -> None:
    assert stream(parallelization_factor=50, limits=Limits(parallelization_factor=50)).parallelization_factor == 50
    assert "less than or equal to 10" in refusal(parallelization_factor=50).message
    assert (
        "less than or equal to 2" in refusal(parallelization_factor=3, limits=Limits(parallelization_factor=2)).message
    )
    assert refusal(limits={"batch_size": 5}).message.endswith("Member must be esm.Limits")


def test_lifted_limits_hold_for_a_queue_too() -> None:
    lifted = Limits(fifo_batch_size=100, minimum_pollers=300, maximum_concurrency=5000)
    assert queue(event_source_arn=QUEUE + ".fifo", batch_size=100, limits=lifted).batch_size == 100
    assert queue(scaling_config={"MaximumConcurrency": 5000}, limits=lifted).maximum_concurrency == 5000
    with pytest.raises(MappingError, match="Batch size must not exceed 100 for FIFO queues"):
        queue(event_source_arn=QUEUE + ".fifo", batch_size=101, limits=lifted)
    with pytest.raises(MappingError, match=r"between \[2, 300\]"):
        queue(provisioned_poller_config={"MinimumPollers": 1}, limits=lifted)


def test_what_esm_adds() -> None:
    assert stream().on_destination_failure == "retry"
    assert stream(on_destination_failure="drop").on_destination_failure == "drop"
    assert refusal(on_destination_failure="halt").message.endswith("enum value set: [retry, drop]")


def test_a_key_for_the_filters() -> None:
    key = "arn:aws:kms:eu-west-1:123456789012:key/1"
    assert stream(kms_key_arn=key).kms_key_arn == key
    assert " at 'kMSKeyArn' failed" in refusal(kms_key_arn="key").message


def test_the_uuid_is_the_same_in_every_process() -> None:
    expected = str(rules.derived_uuid(STREAM, Function("shop:handle")))
    program = (
        "from esm.mapping.rules import derived_uuid; from esm.mapping.function import Function; "
        f"print(derived_uuid({STREAM!r}, Function('shop:handle')))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert said.strip() == expected == "15c9432b-c9ae-5874-ade2-e613dd3a97df"


def test_the_uuid_tells_mappings_apart() -> None:
    ids = {
        stream().uuid,
        stream(event_source_arn=TABLE).uuid,
        stream(function=Function(handle, name="other")).uuid,
        stream(function=Function(handle, version="live")).uuid,
        stream(uuid="orders").uuid,
    }
    assert len(ids) == 5
    assert "orders" in ids
    assert " at 'uUID' failed" in refusal(uuid="a/b").message


def test_equality_and_hash_follow_the_settings() -> None:
    assert stream() == stream()
    assert hash(stream()) == hash(stream())
    assert stream() != stream(batch_size=5)
    assert len({stream(), stream(), queue()}) == 2


def test_it_travels() -> None:
    mapping = stream(function="shop:handle", filter_criteria=[{"data": {"kind": ["order"]}}], tags={"team": "shop"})
    assert copy.deepcopy(mapping) == mapping
    assert pickle.loads(pickle.dumps(mapping)) == mapping  # noqa: S301, TID251 - its own bytes


def test_what_was_given_is_not_held() -> None:
    pattern: dict[str, Any] = {"data": {"kind": ["order"]}}
    tags = {"team": "shop"}
    mapping = stream(filter_criteria=[pattern], tags=tags)
    pattern["data"]["kind"].append("refund")
    tags["team"] = "other"
    mapping.filters.clear()
    assert mapping.filters == [{"data": {"kind": ["order"]}}]
    assert mapping.tags == {"team": "shop"}


def test_no_value_of_the_environment_is_shown() -> None:
    assert "secret" not in repr(stream(function=Function(handle, environment={"TOKEN": "secret"})))


def test_mappings_are_told_apart() -> None:
    check_distinct([])
    check_distinct([stream(), queue(), stream(function=Function(handle, version="live"))])


@pytest.mark.parametrize(
    ("source", "begins"),
    [
        (STREAM, f'The event source arn (" {STREAM} ") and function (" handle ") provided mapping already exists.'),
        (QUEUE, f'An event source mapping with SQS arn (" {QUEUE} ") and function (" handle ") already exists.'),
    ],
)
def test_the_same_mapping_twice(source: str, begins: str) -> None:
    """Lambda's texts, with the blanks inside the quotes (observed)."""
    position = "LATEST" if source == STREAM else None
    first = stream(event_source_arn=source, starting_position=position, uuid="first")
    with pytest.raises(MappingError) as caught:
        check_distinct([first, stream(event_source_arn=source, starting_position=position)])
    assert (caught.value.code, caught.value.status) == ("ResourceConflictException", 409)
    assert caught.value.message == f"{begins} Please update or delete the existing mapping with UUID first"


def test_one_uuid_for_two_sources() -> None:
    with pytest.raises(MappingError, match="ResourceConflictException: Two event source mappings have the UUID orders"):
        check_distinct([stream(uuid="orders"), queue(uuid="orders")])


@pytest.mark.parametrize(
    ("given", "what"),
    [(stream(), "EventSourceMapping"), ([stream(), "app:handle"], "str"), ("app:mappings", "str"), (3, "int")],
)
def test_what_is_no_list_of_mappings(given: Any, what: str) -> None:
    with pytest.raises(
        MappingError, match=f"Value '{what}' at 'mappings' .* a list of esm.EventSourceMapping"
    ) as caught:
        mappings_of(given)
    assert caught.value.field == "mappings"


def test_mappings_are_those_that_were_given() -> None:
    assert mappings_of(iter(())) == ()
    assert mappings_of([stream()]) == (stream(),)
