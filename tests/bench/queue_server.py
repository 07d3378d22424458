"""An SQS of canned answers, in a process of its own: several times faster than any client.

    python -m tests.bench.queue_server --size 200 --total 0 --counter FILE

Writes its port to standard output. Every receive finds as many messages as it asks for, until `total` were given, and
nothing after that; 0: for ever. With `--rate` there is a message so many times a second instead, whose body says when,
in nanoseconds of the monotonic clock; who waits longest gets it. Ends when standard input does, and after ten minutes
at the latest.
"""

from __future__ import annotations

import asyncio
import json
import os
import struct
import time
from collections import deque
from functools import partial
from hashlib import md5
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from tests.bench.canned import Send, arguments, serve
from tests.bench.counter import mapped
from tests.bench.workloads import QUEUE_PATH

__all__ = ["COUNTER_BYTES", "Count", "Counter", "Queue"]

COUNTER_BYTES = 40
RECEIVE_MAX = 10
HANDLE_LENGTH = 410  # about as long as AWS's
NUMBER_DIGITS = 12


class Count(NamedTuple):
    """What the server has seen so far. `most_out`: messages given and not yet deleted, at the most."""

    receives: int
    given: int
    deletes: int
    deleted: int
    most_out: int


class Counter:
    """A `Count` in a file that both processes map."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._map = mapped(path, COUNTER_BYTES)

    def received(self, messages: int) -> None:
        """One more receive, that gave so many."""
        now = self.read()
        given = now.given + messages
        self._write(now.receives + 1, given, now.deletes, now.deleted, max(now.most_out, given - now.deleted))

    def deleted(self, messages: int) -> None:
        """One more call, that deleted so many."""
        now = self.read()
        self._write(now.receives, now.given, now.deletes + 1, now.deleted + messages, now.most_out)

    def read(self) -> Count:
        """The count now."""
        return Count(*struct.unpack_from("<5Q", self._map))

    def _write(self, *figures: int) -> None:
        struct.pack_into("<5Q", self._map, 0, *figures)


class _Receive(msgspec.Struct):
    MaxNumberOfMessages: int = 1
    WaitTimeSeconds: int = 0


class _Entry(msgspec.Struct):
    Id: str
    ReceiptHandle: str


class _Entries(msgspec.Struct):
    Entries: list[_Entry]


_RECEIVE = msgspec.json.Decoder(_Receive)
_ENTRIES = msgspec.json.Decoder(_Entries)


class Queue:
    """Answers the calls that pollers make."""

    def __init__(self, size: int, total: int, counter: Counter) -> None:
        self._total, self._counter = total, counter
        self._next = 0
        self._left: set[int] = set()
        message = _message(size)
        self._pages = [b'{"Messages":[' + b",".join([message] * count) + b"]}" for count in range(RECEIVE_MAX + 1)]

    def answer(self, operation: str, request: bytes, url: str, send: Send) -> None:
        """Sends the body of the answer, at once or in time."""
        if operation == "receivemessage":
            self._receive(_RECEIVE.decode(request), send)
        elif operation == "deletemessagebatch":
            send(self._delete(_ENTRIES.decode(request).Entries))
        elif operation == "getqueueurl":
            send(json.dumps({"QueueUrl": url + QUEUE_PATH}).encode())
        else:
            send(b'{"Attributes":{"VisibilityTimeout":"30"}}')

    def _receive(self, request: _Receive, send: Send) -> None:
        count = request.MaxNumberOfMessages
        if self._total:
            count = min(count, self._total - self._next)
        self._counter.received(count)
        if not count:
            asyncio.get_running_loop().call_later(request.WaitTimeSeconds, send, b"{}")
            return
        numbers = range(self._next, self._next + count)
        self._next += count
        if self._total:
            self._left.update(numbers)
        send(self._pages[count] % tuple(chain.from_iterable(zip(numbers, numbers, strict=True))))

    def _delete(self, entries: list[_Entry]) -> bytes:
        """Messages are named by the number in their handle; with a `total`, each is counted once."""
        count = len(entries)
        if self._total:
            numbers = {int(entry.ReceiptHandle[:NUMBER_DIGITS]) for entry in entries}
            count = len(numbers & self._left)
            self._left -= numbers
        self._counter.deleted(count)
        done = ",".join([f'{{"Id":"{entry.Id}"}}' for entry in entries])
        return f'{{"Successful":[{done}],"Failed":[]}}'.encode()


def _message(size: int) -> bytes:
    """A message with two places for its number; what else a `%` stands for is none."""
    handle = ("0" * NUMBER_DIGITS).ljust(HANDLE_LENGTH, "A")
    message = {"MessageId": "00000000-0000-0000-0000-" + "0" * NUMBER_DIGITS, "ReceiptHandle": handle}
    text = json.dumps(message | _fields("x" * size), separators=(",", ":"))
    number = f"%0{NUMBER_DIGITS}d"
    for before in ('"00000000-0000-0000-0000-', '"ReceiptHandle":"'):
        text = text.replace(before + "0" * NUMBER_DIGITS, before + number)
    return text.encode()


def _fields(body: str) -> dict[str, Any]:
    return {
        "MD5OfBody": md5(body.encode(), usedforsecurity=False).hexdigest(),
        "Body": body,
        "Attributes": {
            "SenderId": "AIDACKCEVSQ6C2EXAMPLE",
            "ApproximateFirstReceiveTimestamp": "1732200000123",
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1732200000100",
        },
    }


class SlowQueue(Queue):
    """A message `rate` times a second, from the first receive on."""

    def __init__(self, rate: float, counter: Counter) -> None:
        super().__init__(0, 0, counter)
        self._every = 1 / rate
        self._here: deque[str] = deque()
        self._waiting: deque[tuple[Send, int]] = deque()
        self._began = False

    def _arrive(self, due: float) -> None:
        self._here.append(str(time.monotonic_ns()))
        if self._waiting:
            self._give(*self._waiting.popleft())
        loop = asyncio.get_running_loop()
        loop.call_at(due + self._every, self._arrive, due + self._every)

    def _receive(self, request: _Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        if not self._began:
            self._began = True
            self._arrive(loop.time())
        waiting = (partial(send), request.MaxNumberOfMessages)  # a connection's next poll is another
        if self._here:
            self._give(*waiting)
            return
        self._waiting.append(waiting)
        loop.call_later(request.WaitTimeSeconds, self._give_up, waiting)

    def _give(self, send: Send, most: int) -> None:
        bodies = [self._here.popleft() for _ in range(min(most, len(self._here)))]
        first = self._counter.read().given
        self._counter.received(len(bodies))
        messages = [_timed(body, number) for number, body in enumerate(bodies, first)]
        send(json.dumps({"Messages": messages}).encode())

    def _give_up(self, waiting: tuple[Send, int]) -> None:
        if waiting in self._waiting:
            self._waiting.remove(waiting)
            waiting[0](b"{}")


def _timed(body: str, number: int) -> dict[str, Any]:
    return _fields(body) | {"MessageId": f"{number:036}", "ReceiptHandle": f"{number:0{HANDLE_LENGTH}}"}


def _main() -> None:
    parser = arguments()
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--total", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0)
    options = parser.parse_args()
    counter = Counter(options.counter)
    queue = SlowQueue(options.rate, counter) if options.rate else Queue(options.size, options.total, counter)
    serve(queue.answer, "application/x-amz-json-1.0", options)


if __name__ == "__main__":
    _main()
