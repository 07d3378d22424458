"""Three calls at once for one shard, and still every key in order.

$ python examples/order_per_key.py
most calls at once: 3
ana: 1 2 3 4 5 6
bob: 1 2 3 4 5 6
cleo: 1 2 3 4 5 6
dora: 1 2 3 4 5 6
"""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import esm
from esm.testing import Put, simulate

seen: dict[str, list[str]] = {}
running: list[int] = [0, 0]


async def handle(event: dict[str, Any], _context: Any) -> None:
    """Takes a while, in the simulation's time."""
    running[0] += 1
    running[1] = max(running)
    await asyncio.sleep(0.5)
    for record in event["Records"]:
        value = base64.b64decode(record["kinesis"]["data"]).decode()
        seen.setdefault(record["kinesis"]["partitionKey"], []).append(value)
    running[0] -= 1


mapping = esm.EventSourceMapping(
    event_source_arn="arn:aws:kinesis:eu-west-1:000000000000:stream/steps",
    function=handle,
    starting_position="TRIM_HORIZON",
    batch_size=2,
    parallelization_factor=4,
)

if __name__ == "__main__":
    people = ("ana", "bob", "cleo", "dora")
    simulate(mapping, [Put(str(step), key=name, at=-1.0) for step in range(1, 7) for name in people])
    print("most calls at once:", running[1])
    for name in people:
        print(f"{name}: {' '.join(seen[name])}")
