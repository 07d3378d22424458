"""A worker that looks as it is told to, the probes beside it, and requests as they go over the wire."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from esm.management.http import Probes, serve
from esm.runtime.status import LaneStatus, MappingStatus, ShardStatus, WorkerStatus

__all__ = ["CANARY", "MAPPING", "PATHS", "READING", "TOKEN", "WELL", "Reply", "Worker", "get", "of", "probed", "send"]

TOKEN = "a-token-of-some-length"
PATHS = ("/livez", "/readyz", "/metrics", "/status", "/scale")
CANARY = "4929-1234-5678"

READING = ShardStatus(
    shard_id="shardId-0",
    state="reading",
    position="4951",
    behind_ms=2_500,
    oldest_age_ms=61_000,
    records_held=40,
    last_error=f"ValueError: card {CANARY} refused",
    lanes=(
        LaneStatus(lane=0, state="retrying", records=40, invoke_count=3, retry_at=5, last_error=f"KeyError: {CANARY}"),
        LaneStatus(lane=1, state="idle", records=0, invoke_count=0, retry_at=None),
    ),
)
MAPPING = MappingStatus(
    uuid="orders",
    event_source_arn="arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
    function_name="handle",
    state="Enabled",
    state_transition_reason="USER_INITIATED",
    last_processing_result="PROBLEM: Function call failed",
    shards=(READING,),
)
WELL = WorkerStatus(id="host-1", stopping=False, mappings=(MAPPING,))


class Worker:
    """Looks as it is told to."""

    def __init__(self, status: WorkerStatus = WELL, *, running: bool = True) -> None:
        self.looks, self.running, self.asked = status, running, 0

    def status(self) -> WorkerStatus:
        self.asked += 1
        return self.looks


def of(*shards: ShardStatus, **changes: Any) -> WorkerStatus:
    return replace(WELL, mappings=(replace(MAPPING, shards=shards, **changes),))


class Reply:
    """A response, read to the end of its connection."""

    def __init__(self, data: bytes) -> None:
        head, _, self.body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1]) if data else 0
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def send(probes: Probes, data: bytes) -> Reply:
    """Sends it as it is; what comes back."""
    reader, writer = await asyncio.open_connection(probes.address.ip.exploded, probes.address.port)
    try:
        writer.write(data)
        await writer.drain()
        return Reply(await reader.read())
    except ConnectionError:
        return Reply(b"")
    finally:
        writer.close()


async def get(probes: Probes, path: str, *lines: str, host: str = "localhost", method: str = "GET") -> Reply:
    head = "\r\n".join([f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""])
    return await send(probes, head.encode("latin-1"))


@asynccontextmanager
async def probed(worker: Worker | None = None, address: str = "127.0.0.1:0", **given: Any) -> AsyncIterator[Probes]:
    async with serve(Worker() if worker is None else worker, address, **given) as probes:
        yield probes
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("esm probes")]
