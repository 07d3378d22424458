"""A simulation of what there cannot be is the caller's mistake, and is told so in words. (the words are chosen)"""

from __future__ import annotations

from typing import Any, Literal

import pytest

import esm
from esm.testing import Put, Queue, simulate

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
TABLE = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:orders"


async def nothing(event: Any, context: Any) -> None:
    pass


def mapping(arn: str) -> esm.EventSourceMapping:
    start: Literal["TRIM_HORIZON"] | None = None if arn == QUEUE else "TRIM_HORIZON"
    return esm.EventSourceMapping(event_source_arn=arn, function=nothing, starting_position=start)


@pytest.mark.parametrize(
    ("arn", "settings", "complaint"),
    [
        (QUEUE, {"shards": 2}, f"shards= is not for sqs, as {QUEUE} is"),
        (QUEUE, {"keys": ["id"]}, f"keys= is not for sqs, as {QUEUE} is"),
        (STREAM, {"keys": ["id"]}, f"keys= is not for kinesis, as {STREAM} is"),
        (STREAM, {"queue": Queue()}, f"queue= is not for kinesis, as {STREAM} is"),
        (TABLE, {"queue": Queue()}, f"queue= is not for dynamodb, as {TABLE} is"),
        (STREAM, {"shards": 0}, "a stream has at least 1 shard, not 0"),
    ],
)
def test_a_setting_of_another_source(arn: str, settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=f"^{complaint}$"):
        simulate(mapping(arn), [], **settings)


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        (Put(b"x", key=""), "a partition key has 1 to 256 characters, not 0"),
        (Put(b"x", key="x" * 257), "a partition key has 1 to 256 characters, not 257"),
        (Put(bytes(10_485_761)), "a record has at most 10,485,760 bytes, not 10,485,761"),
    ],
    ids=["no key", "a long key", "too large"],
)
def test_a_record_that_no_stream_takes(event: Put, complaint: str) -> None:
    """https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecord.html"""
    with pytest.raises(ValueError, match=f"^{complaint}$"):
        simulate(mapping(STREAM), [event])


def test_the_longest_partition_key_is_taken() -> None:
    trace = simulate(mapping(STREAM), [Put("ä", key="ä" * 256, at=-1.0)], shards=2)
    assert [call.outcome for call in trace.invocations] == ["succeeded"]


def test_one_mapping_is_simulated() -> None:
    given: Any = [mapping(STREAM)]
    with pytest.raises(esm.MappingError, match=r"Value 'list' at 'mapping' .* one esm.EventSourceMapping"):
        simulate(given, [Put(b"1", key="a")])
