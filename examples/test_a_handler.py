"""A unit test that asks what Lambda would do with a handler: no server, no waiting.

$ pytest examples/test_a_handler.py
"""

from __future__ import annotations

import base64
import json
from typing import Any

import esm
from esm.testing import Put, simulate

paid: list[str] = []


async def charge(event: dict[str, Any], _context: Any) -> None:
    """What is tested: refuses a negative amount."""
    for record in event["Records"]:
        order = json.loads(base64.b64decode(record["kinesis"]["data"]))
        if order["amount"] < 0:
            raise ValueError("negative amount")
        paid.append(order["id"])


mapping = esm.EventSourceMapping(
    event_source_arn="arn:aws:kinesis:eu-west-1:000000000000:stream/orders",
    function=charge,
    starting_position="TRIM_HORIZON",
    bisect_batch_on_function_error=True,
    maximum_retry_attempts=1,
    destination_config="arn:aws:sqs:eu-west-1:000000000000:refused",
)


def order(name: str, amount: int) -> Put:
    """A record that was on the stream before the mapping began."""
    return Put(json.dumps({"id": name, "amount": amount}), key=name, at=-1.0)


def test_one_bad_order_holds_up_no_other() -> None:
    """The batch is halved until the bad order stands alone; it goes to the queue."""
    paid.clear()
    trace = simulate(mapping, [order("a", 5), order("b", -5), order("c", 7), order("d", 2)])

    assert set(paid) == {"a", "c", "d"}
    assert [document["KinesisBatchInfo"]["batchSize"] for document in trace.failure_documents] == [1]
    assert sum(invocation.outcome == "failed" for invocation in trace.invocations) == 4


def test_good_orders_take_one_call() -> None:
    """And nothing is told to anybody."""
    trace = simulate(mapping, [order("a", 5), order("b", 6)])

    assert [invocation.outcome for invocation in trace.invocations] == ["succeeded"]
    assert trace.failure_documents == []
