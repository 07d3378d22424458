"""Connections of the HTTP client: how they are made, and how they end."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest

from esm.aws.http import HttpEndpoint
from tests.servers.certificate import Certificate
from tests.servers.plugin import free_port
from tests.servers.scripted import ScriptedServer, answer, hang
from tests.service.exchanges import BIG, REQUEST, body, failure, serving, status_and_body

pytestmark = [pytest.mark.anyio, pytest.mark.service]


async def test_closing_while_connecting_leaves_no_connection() -> None:
    async with serving(answer(b"1")) as (_, endpoint):
        task = asyncio.create_task(failure(endpoint))
        await asyncio.sleep(0)
        await endpoint.close()
        assert await task == "ConnectionClosed"
        assert not endpoint.connections


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """Takes connections and says nothing: a TLS handshake with it hangs."""

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(ignore, "127.0.0.1", 0)
    yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_cancelling_while_connecting(silent: str) -> None:
    async with HttpEndpoint(silent, tls=ssl.create_default_context(), max_connections=1) as endpoint:
        task = asyncio.create_task(endpoint.send(REQUEST, 5, status_and_body))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not endpoint.connections


async def test_connecting_has_a_limit_of_its_own(silent: str) -> None:
    async with HttpEndpoint(silent, tls=ssl.create_default_context(), connect_timeout=0.1) as endpoint:
        assert await failure(endpoint) == "ConnectTimeout"


async def test_nobody_listens() -> None:
    async with HttpEndpoint(f"http://127.0.0.1:{free_port()}") as endpoint:
        assert await failure(endpoint) == "ConnectionFailed"


async def test_a_name_that_is_none() -> None:
    async with HttpEndpoint("http://no-such-host.invalid") as endpoint:
        assert await failure(endpoint) == "ConnectionFailed"


async def test_closing_ends_what_is_waited_for() -> None:
    async with serving(answer(b"1"), hang()) as (server, endpoint):
        assert await body(endpoint) == b"1"
        task = asyncio.create_task(failure(endpoint))
        await server.arrived(2)
        await endpoint.close()
        assert await task == "ConnectionClosed"
        assert not endpoint.connections
        assert await failure(endpoint) == "ConnectionClosed"


@pytest.mark.parametrize("size", [5, len(BIG)])
async def test_tls_with_the_right_authority(certificate: Certificate, size: int) -> None:
    text = BIG[:size]
    async with (
        ScriptedServer([answer(text)], tls=certificate.server()) as server,
        HttpEndpoint(server.url, tls=ssl.create_default_context(cafile=str(certificate.authority))) as endpoint,
    ):
        for _ in range(3):
            assert await body(endpoint) == text
        assert server.connections == 1
        task = asyncio.create_task(endpoint.send(REQUEST, 5, status_and_body))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_tls_with_a_foreign_authority(certificate: Certificate) -> None:
    async with (
        ScriptedServer([answer(b"secret")], tls=certificate.server()) as server,
        HttpEndpoint(server.url, tls=ssl.create_default_context()) as endpoint,
    ):
        assert await failure(endpoint) == "TlsError"
        assert not server.requests
