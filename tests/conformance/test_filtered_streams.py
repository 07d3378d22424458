"""Filters on a stream: before batching, with positions that move past what they drop.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventfiltering.html
"""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest

from esm.errors import MappingError
from esm.mapping.settings import EventSourceMapping
from esm.telemetry.facts import Polled
from esm.testing import Put, simulate

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
ORDERS_ONLY: list[str | dict[str, Any]] = [{"data": {"kind": ["order"]}}]


def kinds(events: str) -> list[Put]:
    """`o`: an order, `x`: something else, `!`: no JSON."""
    texts = {"o": json.dumps({"kind": "order"}), "x": json.dumps({"kind": "other"}), "!": "{"}
    return [Put(texts[event], key="a", at=-1.0) for event in events]


def handle(_event: dict[str, Any], _context: Any) -> None:
    return None


def mapping(**settings: Any) -> EventSourceMapping:
    settings = {"filter_criteria": ORDERS_ONLY, "starting_position": "TRIM_HORIZON", "function": handle, **settings}
    return EventSourceMapping(event_source_arn=ARN, **settings)


def test_filtered_records_do_not_count_against_the_batch_size() -> None:
    trace = simulate(mapping(batch_size=2), kinds("oxxo!xo"))
    assert [len(invocation.event["Records"]) for invocation in trace.invocations] == [2, 1]


def test_records_that_pass_are_delivered_with_their_bytes_untouched() -> None:
    put = Put(b'{ "kind" :\t"order" }', key="a", at=-1.0)
    trace = simulate(mapping(), [put])
    (record,) = trace.invocations[0].event["Records"]
    assert b64decode(record["kinesis"]["data"]) == put.data


def test_nothing_that_passes_means_no_invocation_and_the_position_moves_all_the_same() -> None:
    trace = simulate(mapping(), kinds("xxx"))
    assert trace.invocations == []
    assert list(trace.positions.values()) != [None]


def test_filtered_records_are_counted() -> None:
    trace = simulate(mapping(), kinds("oxx"))
    polls = [fact for fact in trace.facts if isinstance(fact, Polled)]
    assert (sum(poll.records for poll in polls), sum(poll.filtered for poll in polls)) == (3, 2)


def test_a_pattern_that_is_none_is_refused_before_anything_starts() -> None:
    with pytest.raises(MappingError, match=r"Invalid filter pattern definition\."):
        simulate(mapping(filter_criteria=[{"data": {"kind": []}}]), kinds("o"))
