"""An HTTP endpoint of the library's own, on a server that does as it is told."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from esm.aws.connection import Answer
from esm.aws.http import HttpEndpoint
from esm.errors import SourceError
from tests.servers.scripted import ScriptedServer, Step

REQUEST = b"POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: T.Op\r\nContent-Length: 2\r\n\r\n{}"
BIG = bytes(range(256)) * 5000  # 1.28 MB


@asynccontextmanager
async def serving(
    *steps: Step, connections: int = 4, limit: int = 1 << 24
) -> AsyncIterator[tuple[ScriptedServer, HttpEndpoint]]:
    async with (
        ScriptedServer(steps) as server,
        HttpEndpoint(server.url, max_connections=connections, max_answer_bytes=limit) as endpoint,
    ):
        yield server, endpoint


async def body(endpoint: HttpEndpoint, seconds: float = 5.0) -> bytes:
    status, text = await endpoint.send(REQUEST, seconds, status_and_body)
    assert status == 200
    return text


def status_and_body(got: Answer) -> tuple[int, bytes]:
    return got.status, bytes(got.body)


async def failure(endpoint: HttpEndpoint, seconds: float = 5.0) -> str:
    with pytest.raises(SourceError) as caught:
        await endpoint.send(REQUEST, seconds, status_and_body)
    assert type(caught.value) is SourceError
    return caught.value.code
