"""A function that computes, in processes of its own: on every core, and a crash costs its batch and nothing else.

    $ python examples/every_core.py
    primes below 20000: 2262
    primes below 30000: 3245
    primes below 40000: 4203
    given up: RetryAttemptsExhausted

Each process imports this file, so what begins the program stands under `if __name__ == "__main__"`.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import esm

# What `esm record` writes, as short as it may be: the number is in the partition key, and there are no data.
HEAD = '{"esm_recording":1,"kind":"kinesis","source":"arn:aws:kinesis:eu-west-1:000000000000:stream/limits","id":"1"}\n'
LINE = '{"shard_id":"0","sequence_number":"%d","partition_key":"%d","approximate_arrival_timestamp":1.0,"data":""}\n'


def count_primes(event: dict[str, Any], _context: Any) -> None:
    """Computes. The limit 0 ends its process, as a fault in a library written in C does."""
    for record in event["Records"]:
        limit = int(record["kinesis"]["partitionKey"])
        if limit == 0:
            os.abort()
        primes = sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, limit))
        Path(os.environ["RESULTS"], str(limit)).write_text(str(primes))


async def main(folder: Path) -> None:
    """Runs a recording to its end, in as many processes as there are cores."""
    records = [LINE % (number, limit) for number, limit in enumerate([40_000, 20_000, 0, 30_000], 1)]
    (folder / "limits.jsonl").write_text(HEAD + "".join(records))
    mapping = esm.EventSourceMapping(
        event_source_arn=f"file://{folder}/limits.jsonl",
        function=esm.Function(count_primes, isolation="process", timeout=30, environment={"RESULTS": str(folder)}),
        batch_size=1,
        parallelization_factor=4,
        maximum_retry_attempts=0,
        destination_config=f"file://{folder}/failed.jsonl",
    )
    async with esm.Worker([mapping], store="memory:") as worker:
        await worker.join()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        asyncio.run(main(Path(name)))
        for result in sorted(Path(name).glob("*0000")):
            print(f"primes below {result.name}: {result.read_text()}")
        print("given up:", json.loads(Path(name, "failed.jsonl").read_text())["requestContext"]["condition"])
