"""Stopped half-way, and started again: positions are in a SQLite file, and nothing comes twice.

$ python examples/stop_and_restart.py
first worker: 20 records
second worker: 30 records, the first of them is number 20
twice: none
"""

from __future__ import annotations

import asyncio
import base64
import tempfile
from dataclasses import replace
from typing import Any

import esm
from esm.clock import SystemClock
from esm.runtime.real import kinesis_source, real_ports
from esm.testing.kinesis import SimulatedKinesis

ARN = "arn:aws:kinesis:eu-west-1:000000000000:stream/orders"
CLOCK = SystemClock()
KINESIS = SimulatedKinesis(CLOCK)  # a stream in memory, in real time; leave `ports` out to read a real one


async def work(store: str, enough: int) -> list[int]:
    """Runs a worker until it has had so many records; gives what it had."""
    had: list[int] = []

    async def handle(event: dict[str, Any], _context: Any) -> None:
        had.extend(int(base64.b64decode(record["kinesis"]["data"])) for record in event["Records"])
        if len(had) >= enough:
            worker.stop()

    mapping = esm.EventSourceMapping(
        event_source_arn=ARN, function=handle, starting_position="TRIM_HORIZON", batch_size=10
    )
    ports = real_ports(endpoint_url=None, region_name="eu-west-1", session=None)
    ports = replace(ports, open_source=lambda mapping: kinesis_source(KINESIS, mapping, CLOCK))
    async with esm.Worker([mapping], store=store, ports=ports) as worker:
        await worker.join()
    return had


async def main() -> None:
    """Fifty records, two workers."""
    stream = KINESIS.create_stream(ARN)
    for number in range(50):
        stream.put(str(number).encode(), "one")
    with tempfile.TemporaryDirectory() as folder:
        first = await work(f"sqlite:///{folder}/positions.db", enough=20)
        second = await work(f"sqlite:///{folder}/positions.db", enough=30)
    print(f"first worker: {len(first)} records")
    print(f"second worker: {len(second)} records, the first of them is number {second[0]}")
    print("twice:", set(first) & set(second) or "none")


if __name__ == "__main__":
    asyncio.run(main())
