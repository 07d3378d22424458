"""A user asks what Lambda would do, in a unit test."""

from typing import reveal_type

import esm
from esm.testing import DeleteItem, Merge, Put, PutItem, Split, UpdateItem, simulate

mapping = esm.EventSourceMapping(
    event_source_arn="arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
    function="orders:handle",
    starting_position="TRIM_HORIZON",
)
trace = simulate(
    mapping,
    [Put(b"one", key="a", at=0.0), Put("two", shard=0), Split(0, at=60.0), Merge(1, 2, at=90.0)],
    shards=1,
    until=3600.0,
    seed=0,
)
reveal_type(trace.invocations[0].event)  # R: dict[str, Any]
reveal_type(trace.invocations[0].started_at)  # R: float
reveal_type(trace.failure_documents)  # R: list[dict[str, Any]]
reveal_type(trace.positions)  # R: dict[str, str | None]
simulate(mapping, [b"one"])  # E: list-item
simulate(mapping, [Put(1)])  # E: arg-type

table = esm.EventSourceMapping(
    event_source_arn="arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000",
    function="orders:handle",
    starting_position="TRIM_HORIZON",
)
item = {"id": {"S": "1"}}
simulate(
    table,
    [
        PutItem(item),
        UpdateItem(item, {"n": {"N": "1"}}, at=1.0),
        UpdateItem(item, remove=["n"]),
        DeleteItem(item, at=2.0),
    ],
    keys=["id"],
    view_type="NEW_IMAGE",
)
simulate(table, [PutItem("one")])  # E: arg-type
