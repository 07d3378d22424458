"""Orders from a queue, one of them poison: it ends in the dead-letter queue, the others are done once.

$ python examples/orders_from_a_queue.py
0 s: espresso tea poison cocoa
30 s: poison
60 s: poison
done: espresso tea cocoa
dead letters: poison
"""

from __future__ import annotations

from typing import Any

import esm
from esm.testing import Queue, Send, simulate


async def handle(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Names the messages it could not do: they stay in the queue, the others are deleted."""
    failed = [record["messageId"] for record in event["Records"] if record["body"] == "poison"]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in failed]}


mapping = esm.EventSourceMapping(
    event_source_arn="arn:aws:sqs:eu-west-1:000000000000:orders",
    function=handle,
    function_response_types=["ReportBatchItemFailures"],
)

if __name__ == "__main__":
    orders = [Send(order, at=-1.0) for order in ("espresso", "tea", "poison", "cocoa")]
    trace = simulate(mapping, orders, queue=Queue(visibility_timeout=30, max_receive_count=3))
    for call in trace.invocations:
        print(f"{call.started_at:.0f} s:", *(record["body"] for record in call.event["Records"]))
    print("done:", *trace.queue.deleted)
    print("dead letters:", *trace.queue.dead_letters)
