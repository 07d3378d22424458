"""One HTTP/1.1 endpoint: kept-alive connections, one deadline for each request, answers whole or not at all.

No task and no timer per request: one timer an endpoint looks for answers that are overdue.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import Self, TypeVar
from urllib.parse import urlsplit

from esm.aws.connection import Answer, Buffers, Connection, StaleError
from esm.errors import SourceError
from esm.reply import Reply

__all__ = ["HttpEndpoint"]

T = TypeVar("T")

IDLE_SECONDS = 60.0
"""An idle connection older than this is not used again: what lies between may have forgotten it. (chosen)"""


class _Slots:
    """So many at once; those who wait get theirs in the order of asking."""

    __slots__ = ("_free", "_waiting")

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: deque[asyncio.Future[bool]] = deque()

    @property
    def any_free(self) -> bool:
        """Whether `enter` takes one."""
        return self._free > 0

    def enter(self) -> bool:
        """Takes one, if there is one at once."""
        if not self._free:
            return False
        self._free -= 1
        return True

    async def wait(self, seconds: float) -> bool:
        """Takes one when it is this caller's turn; `False` when that is not in time."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[bool] = loop.create_future()
        self._waiting.append(turn)
        timer = loop.call_later(seconds, _answer_no, turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.result():
                self.leave()
            raise
        finally:
            timer.cancel()

    def leave(self) -> None:
        """Gives it back, or on to who has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self._free += 1


def _answer_no(turn: asyncio.Future[bool]) -> None:
    if not turn.done():
        turn.set_result(False)


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
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        self._tls = tls if parts.scheme == "https" else None
        self._connect_timeout = connect_timeout
        self._slots = _Slots(max_connections)
        self._due: dict[Connection, float] = {}  # when the answers are that are waited for
        self._sweep: asyncio.TimerHandle | None = None
        self._sweep_due = 0.0  # uvloop's handle of what is due very soon does not say
        self._idle: list[Connection] = []
        self._closed = False
        self._buffers = Buffers(max_answer_bytes)
        self.connections: set[Connection] = set()

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
        deadline = self._time() + seconds
        if not anew:
            try:
                return await (self.ask(request, seconds, read) or await self._ask_later(request, read, deadline))
            except StaleError:
                pass
        return await (await self._ask_later(request, read, deadline, anew=True))

    @property
    def ready(self) -> bool:
        """Whether `ask` is worth a signature."""
        return bool(self._idle) and self._slots.any_free

    def ask(self, request: bytes, seconds: float, read: Callable[[Answer], T]) -> Reply[T] | None:
        """As `send`, begun at once and sent once; `None`: there is no connection for it.

        Its error is `StaleError` when the connection turns out to be dead.
        """
        if not self._slots.enter():
            return None
        now = self._time()
        connection = self._take(now)
        if connection is None:
            self._slots.leave()
            return None
        return self._ask(connection, request, read, now + seconds)

    async def close(self) -> None:
        """Closes all connections; what is still waited for ends with `ConnectionClosed`."""
        self._closed = True
        self._idle.clear()
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self.connections):
            connection.abort()
        for _ in range(10):  # a TLS connection takes three turns of the loop to go (observed)
            if not self.connections:
                return
            await asyncio.sleep(0)

    async def _ask_later(
        self, request: bytes, read: Callable[[Answer], T], deadline: float, *, anew: bool = False
    ) -> Reply[T]:
        """When there is a connection for it. `anew`: one that has not served before."""
        if not self._slots.enter() and not await self._slots.wait(deadline - self._time()):
            raise SourceError("PoolTimeout", "all connections are in use")
        try:
            connection = None if anew else self._take(self._time())
            if connection is None:
                connection = await self._connect(deadline - self._time())
        except BaseException:
            self._slots.leave()
            raise
        return self._ask(connection, request, read, deadline)

    def _ask(self, connection: Connection, request: bytes, read: Callable[[Answer], T], deadline: float) -> Reply[T]:
        """Is done in time, one way or the other. Has a slot, which is free again then, as the connection is."""
        self._due[connection] = deadline
        if self._sweep is None or deadline < self._sweep_due:
            self._sweep_at(deadline)
        return connection.ask(request, read)

    def _free(self, connection: Connection) -> None:
        """It is closed, unless its answer came whole and in time: then it waits for the next request."""
        del self._due[connection]
        if connection.usable:
            connection.idle_since = self._time()
            self._idle.append(connection)
        self._slots.leave()

    def _sweep_at(self, deadline: float) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._sweep, self._sweep_due = self._loop.call_at(deadline, self._look), deadline

    def _look(self) -> None:
        """Ends the waits that are over; looks again when the next one is. Nothing is waited for: no timer."""
        self._sweep, now = None, self._time()
        left = []
        for connection, deadline in list(self._due.items()):
            if deadline <= now:
                connection.expire()
            else:
                left.append(deadline)
        if left:
            self._sweep_at(min(left))

    def _forget(self, connection: Connection) -> None:
        """It has ended."""
        self.connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _take(self, now: float) -> Connection | None:
        """The connection that was used last, as the others then grow old and close."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and now - connection.idle_since < IDLE_SECONDS:
                return connection
            connection.abort()
        return None

    async def _connect(self, seconds: float) -> Connection:
        self._check_open()
        try:
            async with asyncio.timeout(min(self._connect_timeout, seconds)):
                _, connection = await self._loop.create_connection(
                    lambda: Connection(self._buffers, self._free, self._forget), self._host, self._port, ssl=self._tls
                )
        except TimeoutError:
            raise SourceError("ConnectTimeout", "no connection within the time allowed") from None
        except ssl.SSLError as error:
            raise SourceError("TlsError", f"the TLS handshake failed: {error.reason}") from None
        except OSError as error:
            raise SourceError("ConnectionFailed", f"{self._host}:{self._port}: {error.strerror or error}") from None
        if not connection.usable:
            raise SourceError("ConnectionClosed", "the connection ended before it could be used")
        self.connections.add(connection)
        self._check_open()
        return connection

    def _check_open(self) -> None:
        if self._closed:
            for connection in self.connections:
                connection.abort()
            raise SourceError("ConnectionClosed", "this client is closed")
