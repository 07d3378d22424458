"""Functions written with Powertools for AWS Lambda run as they are, with the real library.

https://docs.aws.amazon.com/powertools/python/latest/
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

import esm
from esm.testing import DeleteItem, Put, PutItem, Queue, Send, Trace, UpdateItem, simulate

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2024-01-01T00:00:00.000"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"


@pytest.fixture(scope="module")
def loaded() -> ModuleType:
    """The module of functions, imported as outside Lambda, where the tracer switches itself off."""
    from tests.conformance import powertools_functions as functions  # noqa: PLC0415  # with the environment of the test

    return functions


@pytest.fixture
def functions(loaded: ModuleType) -> ModuleType:
    loaded.done.clear()
    return loaded


def mapping(arn: str, function: esm.Function | Callable[..., Any], **settings: Any) -> esm.EventSourceMapping:
    if ":sqs:" not in arn:
        settings = {"starting_position": "TRIM_HORIZON", "maximum_retry_attempts": 2, **settings}
    return esm.EventSourceMapping(event_source_arn=arn, function=function, **settings)


def partial(arn: str, function: Callable[..., Any], **settings: Any) -> esm.EventSourceMapping:
    return mapping(arn, function, function_response_types=["ReportBatchItemFailures"], **settings)


def of_stream(*orders: str) -> list[Put]:
    return [Put(order, key="one", at=-1.0) for order in orders]


def of_table(*orders: str) -> list[PutItem]:
    return [PutItem({"id": {"S": order}, "amount": {"N": "12.50"}, "tags": {"SS": ["a"]}}, at=-1.0) for order in orders]


def outcomes(trace: Trace) -> list[str]:
    return [invocation.outcome for invocation in trace.invocations]


@pytest.mark.parametrize("name", ["handle_kinesis", "handle_kinesis_async"])
def test_a_batch_of_a_stream_goes_on_behind_what_failed(functions: ModuleType, name: str) -> None:
    trace = simulate(partial(STREAM, getattr(functions, name)), of_stream("a", "b", "bad", "c"))

    # What stands behind the first failure comes again with it, and has three tries of its own.
    assert outcomes(trace) == ["partly failed"] * 4
    assert [len(invocation.event["Records"]) for invocation in trace.invocations] == [4, 2, 2, 2]
    assert functions.done == ["a", "b", "c", "c", "c", "c"]


@pytest.mark.parametrize("name", ["handle_dynamodb", "handle_dynamodb_async"])
def test_a_batch_of_a_table_goes_on_behind_what_failed(functions: ModuleType, name: str) -> None:
    trace = simulate(partial(TABLE, getattr(functions, name)), of_table("a", "b", "bad", "c"))

    assert outcomes(trace) == ["partly failed"] * 4
    assert functions.done == ["a", "b", "c", "c", "c", "c"]


@pytest.mark.parametrize("name", ["handle_sqs", "handle_sqs_async"])
def test_of_a_batch_of_a_queue_only_what_failed_comes_again(functions: ModuleType, name: str) -> None:
    queue = Queue(visibility_timeout=30, max_receive_count=2)
    messages = [Send(body, at=-1.0) for body in ("a", "bad", "b")]
    trace = simulate(partial(QUEUE, getattr(functions, name)), messages, queue=queue)

    assert sorted(functions.done) == ["a", "b"]
    assert sorted(trace.queue.deleted) == ["a", "b"]
    assert trace.queue.dead_letters == ["bad"]


def test_a_fifo_batch_stops_at_what_failed(functions: ModuleType) -> None:
    queue = Queue(visibility_timeout=30, fifo=True, max_receive_count=2)
    messages = [Send(body, group="one", at=-1.0) for body in ("a", "bad", "b")]
    trace = simulate(partial(f"{QUEUE}.fifo", functions.handle_fifo), messages, queue=queue)

    # What stands behind the failure was received as often, and goes the same way.
    assert functions.done == ["a"]
    assert trace.queue.deleted == ["a"]
    assert trace.queue.dead_letters == ["bad", "b"]


def test_a_batch_that_failed_as_a_whole_has_failed(functions: ModuleType) -> None:
    trace = simulate(partial(STREAM, functions.handle_kinesis, maximum_retry_attempts=0), of_stream("bad"))

    assert outcomes(trace) == ["failed"]


def test_the_logger_knows_the_call(functions: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    functions.logger.handlers[0].setStream(sys.stdout)  # that of this test
    function = esm.Function(functions.handle_kinesis, memory_size=512)
    trace = simulate(mapping(STREAM, function), of_stream("a"))
    (line,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    assert line["message"] == "order"
    assert line["partition_key"] == "one"
    assert line["function_name"] == "handle_kinesis"
    assert line["function_memory_size"] == "512"
    assert line["function_arn"].endswith(":function:handle_kinesis")
    assert line["function_request_id"] == trace.invocations[0].request_id


@pytest.mark.parametrize("name", ["kinesis_classes", "kinesis_models"])
def test_an_event_of_a_stream_is_read(functions: ModuleType, name: str) -> None:
    trace = simulate(mapping(STREAM, getattr(functions, name)), of_stream("a", "b"))

    assert outcomes(trace) == ["succeeded"]
    assert functions.done == ["a", "b"]


@pytest.mark.parametrize("name", ["dynamodb_classes", "dynamodb_models"])
def test_an_event_of_a_table_is_read(functions: ModuleType, name: str) -> None:
    changes: list[PutItem | UpdateItem | DeleteItem] = [
        *of_table("a"),
        UpdateItem({"id": {"S": "a"}, "amount": {"N": "3"}}, at=-0.8),
        DeleteItem({"id": {"S": "a"}}, at=-0.6),
    ]
    trace = simulate(mapping(TABLE, getattr(functions, name)), changes)

    assert outcomes(trace) == ["succeeded"]
    assert functions.done == ["INSERT a", "MODIFY a", "REMOVE a"]


@pytest.mark.parametrize("name", ["sqs_classes", "sqs_models"])
def test_an_event_of_a_queue_is_read(functions: ModuleType, name: str) -> None:
    messages = [Send("a", at=-1.0), Send('{"b": 1}', at=-1.0)]
    trace = simulate(mapping(QUEUE, getattr(functions, name)), messages, queue=Queue(visibility_timeout=30))

    assert set(outcomes(trace)) == {"succeeded"}
    assert sorted(functions.done) == ["a", '{"b": 1}']


def test_what_was_paid_is_not_paid_again_when_its_batch_is(functions: ModuleType) -> None:
    trace = simulate(mapping(STREAM, functions.handle_once), of_stream("a", "b", "bad"))

    assert outcomes(trace) == ["failed"] * 3
    assert functions.done == ["a", "b"]
