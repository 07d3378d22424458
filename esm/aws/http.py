"""One HTTP/1.1 endpoint: kept-alive connections, one deadline for each request, answers whole or not at all.

What need not wait is its pool's; here is what does: for a slot, and for a new connection.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Self, TypeVar
from urllib.parse import urlsplit

from esm.aws.connection import Answer, Connection, StaleError
from esm.aws.pool import Pool, Slots
from esm.errors import SourceError
from esm.reply import Reply

__all__ = ["HttpEndpoint"]

T = TypeVar("T")


class HttpEndpoint:
    """A pool of connections to one host. Belongs to the loop it is made in. `time`: that loop's."""

    def __init__(
        self,
        url: str,
        *,
        tls: ssl.SSLContext | None = None,
        connect_timeout: float = 5.0,
        max_connections: int = 128,
        max_answer_bytes: int = 64 * 1024 * 1024,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.time = self._loop.time
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        self._tls = tls if parts.scheme == "https" else None
        self._connect_timeout = connect_timeout
        self._closed = False
        self.pool = Pool(max_connections, max_answer_bytes)

    async def __aenter__(self) -> Self:
        """The endpoint; it connects when it is first used."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Closes all connections."""
        await self.close()

    async def send(self, request: bytes, seconds: float, read: Callable[[Answer], T], *, anew: bool = False) -> T:
        """What `read` makes of the answer to a whole request, which is there at most `seconds` from now.

        Connecting has its own limit within that. Sent again, once and at once, when a kept-alive connection turns out
        to be dead. `anew`: it did, so the request goes to one that is new. Raises `SourceError`, and what `read`
        raises.
        """
        deadline = self._loop.time() + seconds
        if not anew:
            try:
                return await (self.pool.ask(request, deadline, read) or await self._ask_later(request, deadline, read))
            except StaleError:
                pass
        return await (await self._ask_later(request, deadline, read, anew=True))

    async def close(self) -> None:
        """Closes all connections; what is still waited for ends with `ConnectionClosed`."""
        self._closed = True
        self.pool.close()
        for _ in range(10):  # a TLS connection takes three turns of the loop to go (observed)
            if not self.pool.connections:
                return
            await asyncio.sleep(0)

    async def _ask_later(
        self, request: bytes, deadline: float, read: Callable[[Answer], T], *, anew: bool = False
    ) -> Reply[T]:
        """When there is a connection for it. `anew`: one that has not served before."""
        pool, time = self.pool, self._loop.time
        if not pool.slots.enter() and not await _turn(pool.slots, deadline - time(), first=anew):
            raise SourceError("PoolTimeout", "all connections are in use")
        try:
            connection = None if anew else pool.take()
            if connection is None:
                if anew:
                    pool.make_room()
                connection = await self._connect(deadline - time())
        except BaseException:
            pool.slots.leave()
            raise
        return pool.ask_on(connection, request, deadline, read)

    async def _connect(self, seconds: float) -> Connection:
        self._check_open()
        try:
            async with asyncio.timeout(min(self._connect_timeout, seconds)):
                _, connection = await self._loop.create_connection(
                    self.pool.connection, self._host, self._port, ssl=self._tls
                )
        except TimeoutError:
            raise SourceError("ConnectTimeout", "no connection within the time allowed") from None
        except ssl.SSLError as error:
            raise SourceError("TlsError", f"the TLS handshake failed: {error.reason}") from None
        except OSError as error:
            raise SourceError("ConnectionFailed", f"{self._host}:{self._port}: {error.strerror or error}") from None
        if not connection.usable:
            raise SourceError("ConnectionClosed", "the connection ended before it could be used")
        self.pool.connections.add(connection)
        self._check_open()
        return connection

    def _check_open(self) -> None:
        if self._closed:
            self.pool.close()
            raise SourceError("ConnectionClosed", "this client is closed")


async def _turn(slots: Slots, seconds: float, *, first: bool = False) -> bool:
    """Takes a slot when it is this caller's turn; `False` when that is not in time. `first`: as `Slots.line_up`."""
    turn = slots.line_up(first=first)
    timer = asyncio.get_running_loop().call_later(seconds, _answer_no, turn)
    try:
        return await turn
    except asyncio.CancelledError:
        if turn.done() and not turn.cancelled() and turn.result():
            slots.leave()
        raise
    finally:
        timer.cancel()


def _answer_no(turn: asyncio.Future[bool]) -> None:
    if not turn.done():
        turn.set_result(False)
