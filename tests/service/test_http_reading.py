"""How the HTTP client reads an answer: where it lies, as soon as it is whole."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import suppress

import pytest

from esm.aws.connection import Answer
from esm.aws.http import HttpEndpoint
from esm.errors import SourceError
from tests.servers.scripted import ScriptedServer, Step, answer, head

pytestmark = [pytest.mark.anyio, pytest.mark.service]

REQUEST = b"POST / HTTP/1.1\r\nHost: h\r\nX-Amz-Target: T.Op\r\nContent-Length: 2\r\n\r\n{}"
BIG = bytes(range(256)) * 5000  # 1.28 MB


async def body(endpoint: HttpEndpoint) -> bytes:
    return await endpoint.send(REQUEST, 5, lambda got: bytes(got.body))


@pytest.mark.parametrize("text", [b"no", BIG])
async def test_what_cannot_be_read_is_told_and_the_connection_kept(text: bytes) -> None:
    def refuse(got: Answer) -> None:
        raise SourceError("Unreadable", f"{len(got.body)} bytes")

    async with ScriptedServer([answer(text)]) as server, HttpEndpoint(server.url) as endpoint:
        for _ in range(2):
            with pytest.raises(SourceError, match=f"{len(text)} bytes"):
                await endpoint.send(REQUEST, 5, refuse)
        assert await body(endpoint) == text
        assert server.connections == 1


async def test_what_could_not_be_read_is_gone_without_a_look_for_garbage() -> None:
    told: list[weakref.ref[SourceError]] = []

    def unreadable() -> SourceError:
        error = SourceError("Unreadable", "no")
        told.append(weakref.ref(error))
        return error

    def refuse(_: Answer) -> None:
        raise unreadable()

    async with ScriptedServer([answer(b"no")]) as server, HttpEndpoint(server.url) as endpoint:
        gc.disable()
        try:
            with suppress(SourceError):
                await endpoint.send(REQUEST, 5, refuse)
            await asyncio.sleep(0)
            assert [error() for error in told] == [None]
        finally:
            gc.enable()


async def test_large_answers_that_come_at_once_do_not_mix() -> None:
    parts = [bytes([number]) * (len(BIG) + number) for number in range(4)]
    async with ScriptedServer(map(in_two, parts * 2)) as server, HttpEndpoint(server.url) as endpoint:
        for _ in range(2):
            assert sorted(await asyncio.gather(*(body(endpoint) for _ in parts))) == parts


def in_two(text: bytes) -> Step:
    async def step(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head(200, {"Content-Length": str(len(text))}) + text[: len(text) // 2])
        await writer.drain()
        await asyncio.sleep(0.02)
        writer.write(text[len(text) // 2 :])
        await writer.drain()

    return step


async def test_what_was_asked_for_is_gone_on_with_before_anything_else() -> None:
    """Or what was decoded would leave the processor's cache first."""
    seen: list[str] = []

    def read(got: Answer) -> bytes:
        asyncio.get_running_loop().call_soon(seen.append, "the next turn")
        return bytes(got.body)

    async with ScriptedServer([answer(b"first")]) as server, HttpEndpoint(server.url) as endpoint:
        for number in range(2):
            assert await endpoint.send(REQUEST, 5, read) == b"first"
            assert seen == ["the next turn"] * number
            await asyncio.sleep(0)


async def test_what_was_read_goes_when_whoever_asked_lets_it_go() -> None:
    """Also in the turn in which it came: a page's records are let go as they are handled."""

    class Decoded:
        """What a body was decoded to."""

    async with ScriptedServer([answer(BIG)]) as server, HttpEndpoint(server.url) as endpoint:
        for _ in range(2):
            decoded = await endpoint.send(REQUEST, 5, lambda _: Decoded())
            kept = weakref.ref(decoded)
            del decoded
            assert kept() is None
