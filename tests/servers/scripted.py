"""An HTTP server on loopback that answers as it is told, request by request: whatever a real one never does on demand.

async with ScriptedServer([answer({"Records": []}), reset()]) as server:
    ...  # server.url; afterwards server.requests
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

__all__ = [
    "Request",
    "ScriptedServer",
    "Step",
    "answer",
    "chunked",
    "error",
    "hang",
    "head",
    "raw",
    "reset",
    "then_hang",
    "trickle",
]


@dataclass(frozen=True)
class Request:
    """`connection`: 1 for the first connection the server got. Header names in lower case."""

    connection: int
    headers: dict[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        return self.headers["x-amz-target"].rpartition(".")[2]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class ClosingError(Exception):
    """Ends the connection after a step."""


Step = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def raw(data: bytes, *, then_close: bool = False) -> Step:
    """These bytes."""

    async def step(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if then_close:
            raise ClosingError

    return step


def answer(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None, *, then_close: bool = False
) -> Step:
    """A whole answer; `value`: bytes as they are, anything else as JSON."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return raw(head(status, {"Content-Length": str(len(body)), **(headers or {})}) + body, then_close=then_close)


def error(code: str, message: str = "no", status: int = 400, headers: Mapping[str, str] | None = None) -> Step:
    """An error as AWS's JSON services write it."""
    return answer({"__type": code, "message": message}, status, headers)


def chunked(parts: Iterable[bytes], *, finished: bool = True) -> Step:
    """A body in pieces of no announced length."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    data = head(200, {"Transfer-Encoding": "chunked"}) + body
    return raw(data + b"0\r\n\r\n" if finished else data, then_close=not finished)


def trickle(data: bytes, seconds_between: float) -> Step:
    """These bytes, one at a time."""

    async def step(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in data:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(seconds_between)

    return step


def hang() -> Step:
    """Nothing, for as long as the client bears it."""
    return then_hang(b"")


def then_hang(data: bytes) -> Step:
    """These bytes, and then nothing, for as long as the client bears it."""

    async def step(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        await reader.read()
        raise ClosingError

    return step


def reset(after: bytes = b"") -> Step:
    """These bytes, and then the connection is torn down."""

    async def step(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(after)
        await writer.drain()
        writer.transport.abort()
        raise ClosingError

    return step


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Status line and headers."""
    lines = [f"HTTP/1.1 {status} X", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class ScriptedServer:
    """Plays its steps in order, over all connections; the last one goes on for ever."""

    def __init__(self, steps: Iterable[Step], *, tls: ssl.SSLContext | None = None) -> None:
        self.steps = deque(steps)
        self.requests: list[Request] = []
        self.connections = 0
        self.closed = 0
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Condition()

    @property
    def url(self) -> str:
        scheme, host = ("https", "localhost") if self._tls else ("http", "127.0.0.1")
        return f"{scheme}://{host}:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def arrived(self, requests: int) -> None:
        """Waits until so many requests came."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) >= requests)

    async def left(self, connections: int) -> None:
        """Waits until so many connections have ended."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: self.closed >= connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        number = self.connections
        try:
            while True:
                request = await self._read(reader, number)
                step = self.steps.popleft() if len(self.steps) > 1 else self.steps[0]
                async with self._arrived:
                    self.requests.append(request)
                    self._arrived.notify_all()
                await step(reader, writer)
        except (OSError, EOFError, ClosingError, asyncio.CancelledError):
            pass  # a cancelled task would be reported by the streams that started it
        finally:
            writer.close()
            self.closed += 1
            async with self._arrived:
                self._arrived.notify_all()

    @staticmethod
    async def _read(reader: asyncio.StreamReader, number: int) -> Request:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        assert first.startswith("POST ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines if line)}
        return Request(number, headers, await reader.readexactly(int(headers["content-length"])))
