"""The connections of one HTTP/1.1 endpoint that are open, and those who wait for one.

    idle --ask--> waited for, due by its deadline --answered--> idle
                                  |--over, cancelled, lost--> gone

No task and no timer per request: one timer looks for answers that are overdue. What has to be waited for (a slot, a
new connection) is `esm.aws.http`'s.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from esm.aws.connection import Answer, Buffers, Connection
from esm.reply import Reply

__all__ = ["Pool", "Slots"]

T = TypeVar("T")

IDLE_SECONDS = 60.0
"""An idle connection older than this is not used again: what lies between may have forgotten it. (chosen)"""


class Slots:
    """So many at once; those who wait get theirs in the order of asking."""

    __slots__ = ("_free", "_line")

    def __init__(self, count: int) -> None:
        self._free = count
        self._line: deque[asyncio.Future[bool]] = deque()

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

    def line_up(self, *, first: bool = False) -> asyncio.Future[bool]:
        """Is done with `True` when it is this caller's turn, who has one then. Done before that, it gets none.

        `first`: before all others, for who had one already.
        """
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if first:
            self._line.appendleft(turn)
        else:
            self._line.append(turn)
        return turn

    def leave(self) -> None:
        """Gives it back, or on to who has waited longest."""
        while self._line:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self._free += 1


class Pool:
    """Open connections, each with at most one request. Belongs to the loop it is made in.

    `slots`: what each request has, from before it has a connection; `connections`: all of them, never more than slots,
    as a new one is made where none is idle, or for one that is.
    """

    def __init__(self, max_connections: int, max_answer_bytes: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self.slots = Slots(max_connections)
        self.connections: set[Connection] = set()
        self._due: dict[Connection, float] = {}  # when the answers are that are waited for
        self._sweep: asyncio.TimerHandle | None = None
        self._sweep_due = 0.0  # uvloop's handle of what is due very soon does not say
        self._idle: list[Connection] = []
        self._buffers = Buffers(max_answer_bytes)

    def connection(self) -> Connection:
        """A new one, for a transport; it belongs here once it is in `connections`."""
        return Connection(self._buffers, self._free, self._forget)

    @property
    def ready(self) -> bool:
        """Whether `ask` is worth a signature."""
        return bool(self._idle) and self.slots.any_free

    def ask(self, request: bytes, deadline: float, read: Callable[[Answer], T]) -> Reply[T] | None:
        """What `read` makes of the answer to a whole request, which is there by the loop's time `deadline`.

        Sent at once, and once: the error is `StaleError` when the connection turns out to be dead. `None`: there is
        none for it.
        """
        if not self.slots.enter():
            return None
        connection = self.take()
        if connection is None:
            self.slots.leave()
            return None
        return self.ask_on(connection, request, deadline, read)

    def ask_on(self, connection: Connection, request: bytes, deadline: float, read: Callable[[Answer], T]) -> Reply[T]:
        """The same over this connection. The caller has a slot for it: both are free again when the reply is there."""
        self._due[connection] = deadline
        if self._sweep is None or deadline < self._sweep_due:
            self._sweep_at(deadline)
        return connection.ask(request, read)

    def take(self) -> Connection | None:
        """The idle connection that was used last: the others grow old, and are not used again."""
        oldest = self._time() - IDLE_SECONDS
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and connection.idle_since > oldest:
                return connection
            connection.abort()
        return None

    def make_room(self) -> None:
        """For a new connection, in spite of those that are idle: the one that was used first is closed."""
        if self._idle:
            self._idle.pop(0).abort()

    def close(self) -> None:
        """Ends all of them; what is still waited for ends with `ConnectionClosed`."""
        self._idle.clear()
        if self._sweep is not None:
            self._sweep.cancel()
        for connection in list(self.connections):
            connection.abort()

    def _free(self, connection: Connection) -> None:
        """It is closed, unless its answer came whole and in time: then it waits for the next request."""
        del self._due[connection]
        if connection.usable:
            connection.idle_since = self._time()
            self._idle.append(connection)
        self.slots.leave()

    def _forget(self, connection: Connection) -> None:
        """It has ended."""
        self.connections.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

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
