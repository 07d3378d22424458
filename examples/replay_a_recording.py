"""What was recorded is replayed: once as it was, once beside a new version of the function.

    $ python examples/replay_a_recording.py
    3 orders, 2 calls
    2 of 2 calls differ
    table 7 owes 4.5

A recording is made by `esm record`; here it is written by hand, to show what is in it.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import esm

SHARD = "shardId-000000000000"
SOURCE = "arn:aws:kinesis:eu-west-1:000000000000:stream/orders"
HEADER = {"esm_recording": 1, "kind": "kinesis", "source": SOURCE, "id": "an-example"}


def line(number: int, table: str, price: float) -> dict[str, Any]:
    """One record: what its event needs, under AWS's own names."""
    data = b64encode(json.dumps({"price": price}).encode()).decode()
    place = {"shard_id": SHARD, "sequence_number": f"{number}", "partition_key": table}
    return {**place, "approximate_arrival_timestamp": 1767607200.0 + number, "data": data}


def total(event: dict[str, Any], _context: object) -> float:
    """The function as it runs today."""
    return sum(float(json.loads(b64decode(record["kinesis"]["data"]))["price"]) for record in event["Records"])


def with_service(event: dict[str, Any], context: object) -> float:
    """Its new version."""
    return total(event, context) * 1.1


async def main(file: Path) -> None:
    """Replays the file twice: all of it, and one table alone."""
    summary = await esm.replay(file, function=total, batch_size=2, against=with_service)
    print(f"{summary.records} orders, {summary.invocations} calls")
    print(f"{summary.different} of {summary.compared} calls differ")
    await esm.replay(file, function=lambda event, _: print("table 7 owes", total(event, None)), keys=["table 7"])


if __name__ == "__main__":
    lines = [HEADER, line(1, "table 4", 2.5), line(2, "table 4", 1.5), line(3, "table 7", 4.5)]
    with tempfile.TemporaryDirectory() as folder:
        orders = Path(folder, "orders.jsonl")
        orders.write_text("".join(json.dumps(each) + "\n" for each in lines))
        asyncio.run(main(orders))
