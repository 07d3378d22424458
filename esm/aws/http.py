"""One HTTP/1.1 endpoint: kept-alive connections, one deadline for each request, answers whole or not at all.

    idle --send--> waiting --first byte--> reading --last byte--> idle, or closed if the server says so
                      |                       |
                      +--death, deadline, cancellation, nonsense--> closed

No task per request: the transport calls the parser, and the parser ends the caller's wait. All connections of an
endpoint read into one buffer, which is safe because a loop fills and empties it in one go; a large body is read
straight into a buffer of its own, which is used again.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Self, cast
from urllib.parse import urlsplit

import httptools

from esm.errors import SourceError

__all__ = ["Answer", "HttpEndpoint"]

SCRATCH_BYTES = 256 * 1024
STRAIGHT_BYTES = 64 * 1024
"""A body with more than this still to come is read straight into place. (chosen)"""
SPARE_BYTES = 16 * 1024 * 1024
"""The largest body buffer that is kept for the next answer: `GetRecords` gives 10 MiB of data, 14 MB as base64."""
HEAD_BYTES = 64 * 1024
IDLE_SECONDS = 60.0
"""An idle connection older than this is not used again: what lies between may have forgotten it. (chosen)"""


class Answer:
    """A whole answer. `body` is valid until `release()`, which hands its memory to the next answer."""

    __slots__ = ("_buffer", "_endpoint", "body", "headers", "status")

    def __init__(
        self,
        status: int,
        headers: list[tuple[bytes, bytes]],
        body: bytes | memoryview,
        endpoint: HttpEndpoint | None = None,
        buffer: bytearray | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self._endpoint = endpoint
        self._buffer = buffer

    def header(self, name: bytes) -> str:
        """The value of a header, by its lower-case name; "" when it is not there."""
        return next((value.decode("latin-1") for key, value in self.headers if key.lower() == name), "")

    def release(self) -> None:
        """Says that the body has been read."""
        if self._endpoint is not None and self._buffer is not None:
            self.body = b""
            self._endpoint.recycle(self._buffer)
            self._buffer = None


class _StaleError(Exception):
    """A connection that had served before ended without a byte of an answer: the server had given it up."""


class _Connection(asyncio.BufferedProtocol):
    """One connection; at most one request at a time."""

    def __init__(self, endpoint: HttpEndpoint) -> None:
        self._endpoint = endpoint
        self._loop = asyncio.get_running_loop()
        self._scratch = endpoint.scratch
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: asyncio.Future[Answer] | None = None
        self._served = 0
        self.idle_since = 0.0
        self._clear()

    def _clear(self) -> None:
        self._began = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._status = 0  # set once the headers are complete
        self._length: int | None = None
        self._chunked = False
        self._keep_alive = False
        self._parts: list[bytes] = []
        self._received = 0
        self._straight: bytearray | None = None
        self._view: memoryview | None = None

    # What callers do.

    @property
    def usable(self) -> bool:
        """Whether a request may be sent."""
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, request: bytes, seconds: float) -> Answer:
        """The answer to `request`. The connection is closed unless it came whole and in time."""
        waiter: asyncio.Future[Answer] = self._loop.create_future()
        self._waiter = waiter
        timer = self._loop.call_later(seconds, self._expire)
        try:
            cast("asyncio.Transport", self._transport).write(request)
            return await waiter
        except BaseException:
            self._waiter = None
            self.abort()
            raise
        finally:
            timer.cancel()

    def abort(self) -> None:
        """Closes at once."""
        if self._transport is not None:
            self._transport.abort()

    def _expire(self) -> None:
        self._fail(SourceError("ReadTimeout", "no whole answer within the time allowed"))

    def _fail(self, error: Exception) -> None:
        """Ends the caller's wait, which closes the connection."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)
        else:
            self.abort()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._endpoint.connections.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  (the protocol's signature)
        # Under TLS asyncio fills slices of what it is given: of a bytearray these would be copies, so a memoryview.
        return self._scratch if self._view is None else self._view[self._received :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._view is not None:
            self._received += nbytes
            if self._received == self._length:
                self._complete()
            return
        if self._waiter is None:
            self.abort()  # nobody asked: what the next answer would be read from is unknown
            return
        self._began = True
        if not self._status:
            self._head_bytes += nbytes
        try:
            self._parser.feed_data(self._scratch[:nbytes])
        except httptools.HttpParserError:
            self._fail(SourceError("MalformedAnswer", "what came is not HTTP/1.1"))
        except httptools.HttpParserUpgrade:
            self._fail(SourceError("MalformedAnswer", "the server changed the protocol"))
        else:
            self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self._endpoint.forget(self)
        if self._waiter is None:
            return
        if self._served and not self._began:
            self._fail(_StaleError())
        elif exc is None and self._status and self._length is None and not self._chunked:
            self._complete()  # an answer without a length ends with its connection
        else:
            self._fail(SourceError("ConnectionClosed", "the connection ended before the whole answer came"))
        self._transport = None

    def _go_on(self) -> None:
        """Within an answer: refuses an endless head, and takes a large body out of the parser's hands."""
        if self._waiter is None:
            return
        if not self._status and self._head_bytes > HEAD_BYTES:
            self._fail(SourceError("AnswerTooLarge", f"a head of more than {HEAD_BYTES} bytes"))
        elif self._status and self._length is not None and self._length - self._received > STRAIGHT_BYTES:
            self._straight = self._endpoint.buffer(self._length)
            self._view = memoryview(self._straight)[: self._length]
            self._view[: self._received] = b"".join(self._parts)
            self._parser = httptools.HttpResponseParser(self)  # the old one waits for the rest of this body

    def _check_size(self, size: int) -> None:
        limit = self._endpoint.max_answer_bytes
        if size > limit:
            self._fail(SourceError("AnswerTooLarge", f"an answer of more than {limit} bytes"))

    # What the parser calls.

    def on_message_begin(self) -> None:
        if self._waiter is None:
            self.abort()  # a second answer to one question: nothing that follows can be trusted

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # noqa: PLR2004  (100 Continue and its like: the answer is still to come)
            self._headers.clear()
            return
        self._status = status
        self._keep_alive = self._parser.should_keep_alive()
        for name, value in self._headers:
            lower = name.lower()
            if lower == b"content-length":
                self._length = int(value)
            elif lower == b"transfer-encoding":
                self._chunked = True
        self._check_size(self._length or 0)

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)
        self._received += len(body)
        self._check_size(self._received)

    def on_message_complete(self) -> None:
        if self._status:
            self._complete()

    def _complete(self) -> None:
        """The whole answer is there."""
        waiter, self._waiter = self._waiter, None
        if self._view is not None:
            answer = Answer(self._status, self._headers, self._view, self._endpoint, self._straight)
        else:
            body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            answer = Answer(self._status, self._headers, body)
        if not self._keep_alive:
            self.abort()
        self._clear()
        self._served += 1
        if waiter is not None and not waiter.done():
            waiter.set_result(answer)


class HttpEndpoint:
    """A pool of connections to one host. Belongs to the loop it is made in."""

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | None = None,
        connect_timeout: float = 5.0,
        max_connections: int = 128,
        max_answer_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        self._tls = tls if parts.scheme == "https" else None
        self._connect_timeout = connect_timeout
        self._slots = asyncio.Semaphore(max_connections)
        self._idle: list[_Connection] = []
        self._spare: bytearray | None = None
        self._closed = False
        self.connections: set[_Connection] = set()
        self.max_answer_bytes = max_answer_bytes
        self.scratch = memoryview(bytearray(SCRATCH_BYTES))

    async def __aenter__(self) -> Self:
        """The endpoint; it connects when it is first used."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes all connections."""
        await self.close()

    async def send(self, request: bytes, seconds: float) -> Answer:
        """The answer to a whole request, at most `seconds` from now; connecting has its own limit within that.

        Sent again, once and at once, when a kept-alive connection turns out to be dead. Raises `SourceError`.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        await self._acquire(seconds)
        connection = None
        try:
            connection = self._take(loop.time()) or await self._connect(deadline - loop.time())
            try:
                return await connection.exchange(request, deadline - loop.time())
            except _StaleError:
                connection = await self._connect(deadline - loop.time())
                return await connection.exchange(request, deadline - loop.time())
        finally:
            self._slots.release()
            if connection is not None and connection.usable:
                connection.idle_since = loop.time()
                self._idle.append(connection)

    async def close(self) -> None:
        """Closes all connections; what is still waited for ends with `ConnectionClosed`."""
        self._closed = True
        self._idle.clear()
        for connection in list(self.connections):
            connection.abort()
        for _ in range(10):  # a TLS connection takes three turns of the loop to go (observed)
            if not self.connections:
                return
            await asyncio.sleep(0)

    def buffer(self, size: int) -> bytearray:
        """Memory for a body of `size` bytes, or more."""
        spare, self._spare = self._spare, None
        return spare if spare is not None and len(spare) >= size else bytearray(size)

    def recycle(self, buffer: bytearray) -> None:
        """Takes the memory back."""
        if len(buffer) <= SPARE_BYTES and (self._spare is None or len(self._spare) < len(buffer)):
            self._spare = buffer

    def forget(self, connection: _Connection) -> None:
        """Takes note that a connection has ended."""
        self.connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    async def _acquire(self, seconds: float) -> None:
        if not self._slots.locked():
            await self._slots.acquire()
            return
        try:
            async with asyncio.timeout(seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise SourceError("PoolTimeout", "all connections are in use") from None

    def _take(self, now: float) -> _Connection | None:
        """The connection that was used last, as the others then grow old and close."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and now - connection.idle_since < IDLE_SECONDS:
                return connection
            connection.abort()
        return None

    async def _connect(self, seconds: float) -> _Connection:
        if self._closed:
            raise SourceError("ConnectionClosed", "this client is closed")
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(min(self._connect_timeout, seconds)):
                made = await loop.create_connection(lambda: _Connection(self), self._host, self._port, ssl=self._tls)
        except TimeoutError:
            raise SourceError("ConnectTimeout", "no connection within the time allowed") from None
        except ssl.SSLError as error:
            raise SourceError("TlsError", f"the TLS handshake failed: {error.reason}") from None
        except OSError as error:
            raise SourceError("ConnectionFailed", f"{self._host}:{self._port}: {error.strerror or error}") from None
        return made[1]
