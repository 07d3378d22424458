"""A proxy in front of a local server that spoils calls of a queue as its generator says, and keeps whom that touched.

async with FaultyProxy(url, Random(7), rate=0.2) as proxy:
    ...  # proxy.url; afterwards proxy.faults, proxy.touched
    proxy.heal()
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Any, Self
from urllib.parse import urlsplit

from tests.servers.scripted import head

__all__ = ["FAULTS", "FaultyProxy"]

SLOW_S = (0.1, 0.8)
"""How long a slow answer takes: shorter than a call's deadline."""

SPOILT = ("ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch")

FAULTS = (
    "reset before its effect",
    "reset after its effect",
    "broken-off answer",
    "slow answer",
    "internal error",
    "throttled",
    "black hole before its effect",
    "black hole after its effect",
    "page of HTML",
    "damaged message",
    "over the limit",
    "failed entry",
)
_OF_RECEIVES = FAULTS[-3:-1]
_OF_BATCHES = FAULTS[-1:]

_ERRORS = {
    "internal error": (500, "InternalFailure"),
    "throttled": (400, "RequestThrottled"),
    "over the limit": (403, "OverLimit"),
}


class _GoneError(Exception):
    """Ends the connection."""


class FaultyProxy:
    """`rate`: how many of the calls are spoilt, by one of `kinds` that can be.

    `faults`: how often which was met, by operation and fault. `touched`: by message id, the deletes and extensions of
    it that were spoilt: what may be why it comes again.
    """

    def __init__(self, upstream: str, rng: Random, *, rate: float, kinds: Sequence[str] = FAULTS) -> None:
        self._host, self._port = urlsplit(upstream).hostname, urlsplit(upstream).port
        self._rng, self._rate, self._kinds = rng, rate, kinds
        self._tasks: set[asyncio.Task[None]] = set()
        self._ids: dict[str, str] = {}
        self.faults: Counter[tuple[str, str]] = Counter()
        self.touched: Counter[str] = Counter()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    def heal(self) -> None:
        """Spoils nothing any more."""
        self._rate = 0.0

    # -- one connection --------------------------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while True:
                headers, body = await _read(reader)
                await self._answer(headers, body, reader, writer)
                await writer.drain()
        except (OSError, EOFError, _GoneError, asyncio.CancelledError):
            pass  # a cancelled task would be reported by the streams that started it
        finally:
            writer.close()

    async def _answer(
        self, headers: bytes, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        operation = _header(headers, "x-amz-target").rpartition(".")[2]
        fault = self._draw(operation, body)
        if fault in _ERRORS:
            status, code = _ERRORS[fault]
            writer.write(_whole(status, json.dumps({"__type": code, "message": "no"}).encode()))
        elif fault == "reset before its effect":
            _reset(writer)
        elif fault == "black hole before its effect":
            await _swallow(reader)
        else:
            spare, body = _without_an_entry(body) if fault == "failed entry" else (None, body)
            status, answer = await self._forward(headers, body) if body else (200, b"{}")
            self._learn(operation, answer)
            await self._spoil(fault, status, _with_failure(answer, spare), reader, writer)

    async def _spoil(
        self, fault: str, status: int, answer: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """What comes after the effect."""
        if fault == "reset after its effect":
            _reset(writer)
        elif fault == "black hole after its effect":
            await _swallow(reader)
        elif fault == "broken-off answer":
            whole = _whole(status, answer)
            writer.write(whole[: len(whole) - 1 - self._rng.randrange(len(answer))])
            await writer.drain()
            raise _GoneError
        elif fault == "page of HTML":
            writer.write(_whole(200, b"<html><body>Bad Gateway</body></html>"))
        elif fault == "damaged message":
            writer.write(_whole(status, answer.replace(b'"Body": "', b'"Body": "?').replace(b'"Body":"', b'"Body":"?')))
        else:
            if fault == "slow answer":
                await asyncio.sleep(self._rng.uniform(*SLOW_S))
            writer.write(_whole(status, answer))

    async def _forward(self, headers: bytes, body: bytes) -> tuple[int, bytes]:
        """What the server says. The call has its effect, whatever becomes of who asked."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            first, _, rest = headers.partition(b"\r\n")
            kept = [line for line in rest.split(b"\r\n") if not line.lower().startswith(b"content-length")]
            length = b"Content-Length: %d" % len(body)
            writer.write(b"\r\n".join([first, *kept, length, b"Connection: close"]) + b"\r\n\r\n" + body)
            answer_head, answer = await _read(reader)
            return int(answer_head.split(b" ", 2)[1]), answer
        finally:
            writer.close()

    # -- what it draws, and whom it touches ------------------------------------------------------------------------

    def _draw(self, operation: str, body: bytes) -> str:
        others = _OF_BATCHES if operation == "ReceiveMessage" else _OF_RECEIVES
        kinds = [kind for kind in self._kinds if kind not in others]
        if operation not in SPOILT or not kinds or self._rng.random() >= self._rate:
            return ""
        fault = self._rng.choice(kinds)
        self.faults[operation, fault] += 1
        if operation != "ReceiveMessage":
            self.touched.update(self._ids[entry["ReceiptHandle"]] for entry in json.loads(body)["Entries"])
        return fault

    def _learn(self, operation: str, answer: bytes) -> None:
        if operation == "ReceiveMessage":
            for message in json.loads(answer).get("Messages") or ():
                self._ids[message["ReceiptHandle"]] = message["MessageId"]


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Head and body of a request or an answer."""
    headers = (await reader.readuntil(b"\r\n\r\n"))[:-4]
    return headers, await reader.readexactly(int(_header(headers, "content-length") or "0"))


def _header(headers: bytes, name: str) -> str:
    for line in headers.decode("latin-1").split("\r\n")[1:]:
        key, _, value = line.partition(":")
        if key.lower() == name:
            return value.strip()
    return ""


def _whole(status: int, body: bytes) -> bytes:
    return head(status, {"Content-Type": "application/x-amz-json-1.0", "Content-Length": str(len(body))}) + body


def _reset(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    raise _GoneError


async def _swallow(reader: asyncio.StreamReader) -> None:
    """Nothing, for as long as the client bears it."""
    await reader.read()
    raise _GoneError


def _without_an_entry(body: bytes) -> tuple[str, bytes]:
    """The id of the last entry, and the request without it; nothing when it was the only one."""
    request: dict[str, Any] = json.loads(body)
    spare = request["Entries"].pop()
    return spare["Id"], json.dumps(request).encode() if request["Entries"] else b""


def _with_failure(answer: bytes, spare: str | None) -> bytes:
    if spare is None:
        return answer
    told: dict[str, Any] = json.loads(answer)
    failed = {"Id": spare, "Code": "InternalError", "SenderFault": False, "Message": "no"}
    told["Successful"], told["Failed"] = told.get("Successful") or [], [*(told.get("Failed") or []), failed]
    return json.dumps(told).encode()
