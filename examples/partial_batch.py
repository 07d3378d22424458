"""A function that names the record it could not do: what comes before it is done, the rest comes again.

$ python examples/partial_batch.py
1: a b c d e, stopped at c
2: c d e, all done
"""

from __future__ import annotations

import base64
from typing import Any

import esm
from esm.testing import Put, simulate

calls: list[str] = []


async def handle(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Cannot do `c` the first time."""
    names = {r["kinesis"]["sequenceNumber"]: base64.b64decode(r["kinesis"]["data"]).decode() for r in event["Records"]}
    calls.append(" ".join(names.values()))
    for number, name in names.items():
        if name == "c" and len(calls) == 1:
            print(f"{len(calls)}: {calls[-1]}, stopped at {name}")
            return {"batchItemFailures": [{"itemIdentifier": number}]}
    print(f"{len(calls)}: {calls[-1]}, all done")
    return {"batchItemFailures": []}


mapping = esm.EventSourceMapping(
    event_source_arn="arn:aws:kinesis:eu-west-1:000000000000:stream/orders",
    function=handle,
    starting_position="TRIM_HORIZON",
    function_response_types=["ReportBatchItemFailures"],
)

if __name__ == "__main__":
    simulate(mapping, [Put(name, key="one", at=-1.0) for name in "abcde"])
