"""Connections of the HTTP client: how they are made, and how they end."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator

import pytest

from esm.aws.http import HttpEndpoint
from tests.servers.certificate import Certificate
from tests.servers.plugin import free_port
from tests.servers.scripted import ScriptedServer, answer, hang, head, raw
from tests.service.exchanges import BIG, REQUEST, body, failure, serving, status_and_body

pytestmark = [pytest.mark.anyio, pytest.mark.service]
on_both_loops = pytest.mark.parametrize(
    "anyio_backend", [("asyncio", {}), ("asyncio", {"use_uvloop": True})], ids=["asyncio", "uvloop"]
)


async def test_closing_while_connecting_leaves_no_connection() -> None:
    async with serving(answer(b"1")) as (_, endpoint):
        task = asyncio.create_task(failure(endpoint))
        await asyncio.sleep(0)
        await endpoint.close()
        assert await task == "ConnectionClosed"
        assert not endpoint.pool.connections


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
        assert not endpoint.pool.connections


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
        assert not endpoint.pool.connections
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


@on_both_loops
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("size", [5, 200_000, len(BIG)])
async def test_what_comes_behind_an_answer_is_not_taken_for_the_next_one(
    certificate: Certificate, size: int, encrypted: bool
) -> None:
    """A large body is read straight into place, and what is more than was announced may be left in the socket."""
    announced = head(200, {"Content-Length": str(size)})
    excess = raw(announced + BIG[:size] + announced + b"!" * size)
    tls = certificate.server() if encrypted else None
    trusted = ssl.create_default_context(cafile=str(certificate.authority)) if encrypted else None
    async with ScriptedServer([excess], tls=tls) as server, HttpEndpoint(server.url, tls=trusted) as endpoint:
        for number in range(1, 11):
            assert await body(endpoint) == BIG[:size]
            assert server.connections == number


@on_both_loops
async def test_a_deadline_that_is_next_to_nothing_keeps_no_other_request_from_its_answer() -> None:
    async with serving(answer(b"1")) as (_, endpoint):
        await asyncio.gather(body(endpoint), body(endpoint))
        for _ in range(5):
            soon = endpoint.send(REQUEST, 0.0003, status_and_body)
            _, answered = await asyncio.gather(soon, body(endpoint), return_exceptions=True)
            assert answered == b"1"
