"""A first worker: a function, a mapping, and what becomes of three records.

    $ python examples/first_worker.py
    called with 3 records: espresso, tea, cocoa
    invocations: succeeded

`esm plan examples.first_worker:mappings` shows what it would read. With a local AWS that has the stream, this reads it:
`esm run examples.first_worker:mappings --endpoint-url http://127.0.0.1:4566`
"""

from __future__ import annotations

import base64
from typing import Any

import esm
from esm.testing import Put, simulate


async def handle(event: dict[str, Any], _context: Any) -> None:
    """Is called as Lambda would call it: with a batch of records, whose data is base64 text."""
    drinks = [base64.b64decode(record["kinesis"]["data"]).decode() for record in event["Records"]]
    print(f"called with {len(drinks)} records: {', '.join(drinks)}")


mappings = [
    esm.EventSourceMapping(
        event_source_arn="arn:aws:kinesis:eu-west-1:000000000000:stream/orders",
        function=handle,
        starting_position="TRIM_HORIZON",
    )
]

if __name__ == "__main__":
    records = [Put(drink, key="table 4", at=-1.0) for drink in ("espresso", "tea", "cocoa")]
    trace = simulate(mappings[0], records)
    print("invocations:", ", ".join(invocation.outcome for invocation in trace.invocations))
