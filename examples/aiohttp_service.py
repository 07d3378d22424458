"""A worker inside an aiohttp service: it runs as long as the service does, and the service shows what it did.

$ python examples/aiohttp_service.py
{"tea": 2, "cocoa": 1}
stopped clean: True
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

import esm
from esm.clock import SystemClock
from esm.runtime.real import kinesis_source, real_ports
from esm.testing.kinesis import SimulatedKinesis

ARN, CLOCK, SOLD = "arn:aws:kinesis:eu-west-1:000000000000:stream/drinks", SystemClock(), Counter[str]()
KINESIS = SimulatedKinesis(CLOCK)  # a stream in memory, in real time; leave `ports` out to read a real one
WORKER = web.AppKey("worker", esm.Worker)


async def handle(event: dict[str, Any], _context: Any) -> None:
    """Sells what is put under a drink's name."""
    SOLD.update(record["kinesis"]["partitionKey"] for record in event["Records"])


async def run_worker(app: web.Application) -> AsyncIterator[None]:
    """From the start of the service to its end, in its loop; what is out then is finished and stored."""
    mapping = esm.EventSourceMapping(event_source_arn=ARN, function=handle, starting_position="TRIM_HORIZON")
    ports = real_ports(endpoint_url=None, region_name="eu-west-1", session=None)
    ports = replace(ports, open_source=lambda mapping: kinesis_source(KINESIS, mapping, CLOCK))
    async with esm.Worker([mapping], store="memory:", ports=ports) as app[WORKER]:
        yield


async def sold(_request: web.Request) -> web.Response:  # noqa: D103  # what the service is for
    return web.json_response(SOLD)


async def main() -> None:
    """Serves, and is its own client."""
    app, stream = web.Application(), KINESIS.create_stream(ARN)
    app.cleanup_ctx.append(run_worker)
    app.router.add_get("/sold", sold)
    async with TestClient(TestServer(app)) as client:
        _ = [stream.put(b"", drink) for drink in ("tea", "tea", "cocoa")]
        await asyncio.sleep(1.5)
        print(await (await client.get("/sold")).text())
    print("stopped clean:", app[WORKER].clean)


if __name__ == "__main__":
    asyncio.run(main())
