"""One HTTP/1.1 connection, and the memory that all of an endpoint read into.

    idle --ask--> waiting --first byte--> reading --last byte--> idle, or closed if the server says so
                     |                       |
                     +--death, deadline, cancellation, nonsense--> closed

No task per request: the transport calls the parser, and the parser ends the caller's wait. All connections of an
endpoint read into one buffer, which is safe because a loop fills and empties it in one go; a large body is read
straight into a buffer of its own, which is used again. An answer is read where it lies, as soon as it is whole: carried
through turns of the loop first, a page is out of the processor's cache when it is decoded.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import httptools

from esm.errors import SourceError
from esm.reply import Reply

__all__ = ["Answer", "Buffers", "Connection", "Headers", "Kept", "StaleError", "header"]

T = TypeVar("T")

SCRATCH_BYTES = 256 * 1024
STRAIGHT_BYTES = 64 * 1024
"""A body with more than this still to come is read straight into place. (chosen)"""
SPARE_BYTES = 32 * 1024 * 1024
"""Body buffers that are kept for the next answers, together: `GetRecords` gives 10 MiB of data, 14 MB as base64."""
ROUND_BYTES = 256 * 1024
"""Body buffers are multiples of this, so that one also fits an answer that is a little larger. (chosen)"""
HEAD_BYTES = 64 * 1024
_CONTENT_LENGTH, _TRANSFER_ENCODING = len(b"content-length"), len(b"transfer-encoding")


class Buffers:
    """What the connections of an endpoint read into. `scratch`: whatever comes; `most`: bytes of an answer.

    As many bodies may be on their way as there are connections; memory that is new to the process costs as much again
    as reading into it.
    """

    __slots__ = ("_spare", "most", "scratch")

    def __init__(self, most: int) -> None:
        self.most = most
        self.scratch = memoryview(bytearray(SCRATCH_BYTES))
        self._spare: list[bytearray] = []  # the smallest first

    def take(self, size: int) -> bytearray:
        """Memory for a body of `size` bytes, or more."""
        for index, spare in enumerate(self._spare):
            if len(spare) >= size:
                return self._spare.pop(index)
        return bytearray(-(-size // ROUND_BYTES) * ROUND_BYTES)

    def give_back(self, buffer: bytearray) -> None:
        """It may hold the next body. Of more than is kept the smallest go."""
        if len(buffer) > SPARE_BYTES:
            return
        insort(self._spare, buffer, key=len)
        while sum(map(len, self._spare)) > SPARE_BYTES:
            del self._spare[0]


Headers: TypeAlias = list[tuple[bytes, bytes]]


def header(headers: Headers, name: bytes) -> str:
    """The value of a header, by its lower-case name; "" when it is not there."""
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), "")


class Kept:
    """An answer's body for as long as it is wanted, and to write to: the first `size` bytes of `memory`."""

    __slots__ = ("_buffers", "memory", "size")

    def __init__(self, memory: bytearray, size: int, buffers: Buffers | None = None) -> None:
        self.memory, self.size, self._buffers = memory, size, buffers

    def release(self) -> None:
        """It is not wanted any more: its memory may take the next one. Once; without it, the memory is just let go."""
        if self._buffers is not None:
            self._buffers.give_back(self.memory)


class Answer:
    """A whole answer. `body` is valid only while it is read, unless it is kept: its memory takes the next one.

    `straight`: the memory it is in when that has nothing else, with whose it is. `kept`: it is somebody's.
    """

    __slots__ = ("_straight", "body", "headers", "kept", "status")

    def __init__(
        self,
        status: int,
        headers: Headers,
        body: bytes | memoryview,
        straight: tuple[bytearray, Buffers] | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.kept = False
        self._straight = straight

    def keep(self) -> Kept:
        """Its body, which is from now on whoever's reads it."""
        if self._straight is None:
            return Kept(bytearray(self.body), len(self.body))
        self.kept = True
        memory, buffers = self._straight
        return Kept(memory, len(self.body), buffers)

    def header(self, name: bytes) -> str:
        """The value of a header, by its lower-case name; "" when it is not there."""
        return header(self.headers, name)


class StaleError(Exception):
    """A connection that had served before ended without a byte of an answer: the server had given it up."""


class Connection(asyncio.BufferedProtocol):
    """At most one request at a time. Belongs to the loop it is made in.

    `freed`: is called when a request is over, one way or the other, before whoever asked is told; `lost`: when the
    connection has ended.
    """

    __slots__ = (
        "_began",
        "_buffers",
        "_chunked",
        "_freed",
        "_head_bytes",
        "_headers",
        "_keep_alive",
        "_length",
        "_loop",
        "_lost",
        "_parser",
        "_parts",
        "_read",
        "_received",
        "_scratch",
        "_served",
        "_status",
        "_straight",
        "_told",
        "_transport",
        "_view",
        "_waiter",
        "idle_since",
    )

    def __init__(
        self, buffers: Buffers, freed: Callable[[Connection], None], lost: Callable[[Connection], None]
    ) -> None:
        self._buffers, self._freed, self._lost = buffers, freed, lost
        self._loop = asyncio.get_running_loop()
        self._scratch = buffers.scratch
        self._transport: Any = None  # asyncio's, from the time it is made until it is lost
        self._parser = httptools.HttpResponseParser(self)
        self._waiter: Reply[Any] | None = None
        self._told: Reply[Any] | None = None  # has its answer, and is told as soon as we are through
        self._read: Callable[[Answer], Any]
        self._served = 0
        self.idle_since = 0.0
        self._clear()

    def _clear(self) -> None:
        self._began = False
        self._headers: Headers = []
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
        transport = self._transport
        return transport is not None and not transport.is_closing()

    def ask(self, request: bytes, read: Callable[[Answer], T]) -> Reply[T]:
        """Sends a request; gives the reply that is what `read` gives, or raises, of its answer."""
        waiter: Reply[T] = Reply(self._loop, self._give_up)
        self._waiter = waiter
        self._read = read
        self._transport.write(request)
        return waiter

    def abort(self) -> None:
        """Closes at once."""
        if self._transport is not None:
            self._transport.abort()

    def expire(self) -> None:
        """The answer has not come in time."""
        self._fail(SourceError("ReadTimeout", "no whole answer within the time allowed"))

    def _fail(self, error: Exception) -> None:
        """Ends the caller's wait, and the connection."""
        waiter = self._waiter
        if waiter is None:
            self.abort()
            return
        self._give_up()
        waiter.set_exception(error)

    def _give_up(self) -> None:
        """Nobody waits any more: what is still on its way would be in the way of the next answer."""
        self._waiter = None
        self.abort()
        self._freed(self)

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It can be used."""
        self._transport = transport

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002  (the protocol's signature)
        """Where the next bytes go."""
        # Under TLS asyncio fills slices of what it is given: of a bytearray these would be copies, so a memoryview.
        return self._scratch if self._view is None else self._view[self._received :]

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes have come."""
        if self._view is not None:
            self._received += nbytes
            if self._received >= len(self._view) - 1:
                if self._received == len(self._view):
                    self.abort()  # more than was announced: nothing that follows can be trusted
                self._complete()
                self._tell()
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
        self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended; `exc`: not by itself."""
        self._transport = None
        self._lost(self)
        if self._waiter is None:
            return
        if self._served and not self._began:
            self._fail(StaleError())
        elif exc is None and self._status and self._length is None and not self._chunked:
            self._complete()  # an answer without a length ends with its connection
        else:
            self._fail(SourceError("ConnectionClosed", "the connection ended before the whole answer came"))
        self._tell()

    def _tell(self) -> None:
        """Ends the caller's wait, who may ask again at once: nothing that came with the answer is left to be read."""
        told, self._told = self._told, None
        if told is not None:
            self._freed(self)
            told.wake()

    def _go_on(self) -> None:
        """Within an answer: refuses an endless head, and takes a large body out of the parser's hands."""
        if self._waiter is None:
            return
        if not self._status and self._head_bytes > HEAD_BYTES:
            self._fail(SourceError("AnswerTooLarge", f"a head of more than {HEAD_BYTES} bytes"))
        elif self._status and self._length is not None and self._length - self._received > STRAIGHT_BYTES:
            size = self._length + 1  # what comes behind it is seen, or it would be taken for the next answer
            self._straight = self._buffers.take(size)
            self._view = memoryview(self._straight)[:size]
            self._view[: self._received] = b"".join(self._parts)
            self._parser = httptools.HttpResponseParser(self)  # the old one waits for the rest of this body

    def _check_size(self, size: int) -> None:
        limit = self._buffers.most
        if size > limit:
            self._fail(SourceError("AnswerTooLarge", f"an answer of more than {limit} bytes"))

    # What the parser calls.

    def on_message_begin(self) -> None:
        """An answer."""
        if self._waiter is None:
            self.abort()  # a second answer to one question: nothing that follows can be trusted

    def on_header(self, name: bytes, value: bytes) -> None:
        """One of its headers."""
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """All of them."""
        status = self._parser.get_status_code()
        if status < 200:  # noqa: PLR2004  (100 Continue and its like: the answer is still to come)
            self._headers.clear()
            return
        self._status = status
        self._keep_alive = self._parser.should_keep_alive()
        for name, value in self._headers:
            size = len(name)
            if size == _CONTENT_LENGTH and name.lower() == b"content-length":
                self._length = int(value)
            elif size == _TRANSFER_ENCODING and name.lower() == b"transfer-encoding":
                self._chunked = True
        if self._length is not None:
            self._check_size(self._length)

    def on_body(self, body: bytes) -> None:
        """A part of its body."""
        self._parts.append(body)
        self._received += len(body)
        if self._length is None or self._chunked:  # or it was looked at already
            self._check_size(self._received)

    def on_message_complete(self) -> None:
        """Its end."""
        if self._status:
            self._complete()

    def _complete(self) -> None:
        """The whole answer is there."""
        straight = None if self._straight is None else (self._straight, self._buffers)
        answer = Answer(self._status, self._headers, self._body(), straight)
        if not self._keep_alive:
            self.abort()
        self._clear()
        self._served += 1
        self._hand_over(answer)
        if straight is not None and not answer.kept:
            self._buffers.give_back(straight[0])

    def _body(self) -> bytes | memoryview:
        if self._view is not None:
            return self._view[:-1]
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def _hand_over(self, answer: Answer) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            return
        self._told = waiter
        try:
            waiter.set_result(self._read(answer))
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is the caller's: the parser would hide it
            waiter.set_exception(error)
            del waiter  # the error knows this frame: each would hold the other until garbage is looked for
