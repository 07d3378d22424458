"""A Kinesis of canned answers, in a process of its own: several times faster than any client.

    python -m tests.bench.server --records 100 --size 200 --pages 1000 --counter FILE

Writes its port to standard output. A stream named `shards-N` has N shards. Ends when standard input does, and after ten
minutes, or `--lifetime` seconds, at the latest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import mmap
import os
import struct
import sys
from pathlib import Path
from typing import Any, cast

from tests.bench.pages import Pages, iterator, place

__all__ = ["COUNTER_BYTES", "Counter"]

LIFETIME_S = 600.0
COUNTER_BYTES = 16
BEHIND_MS = 60_000


class Counter:
    """Polls and records that the server has answered so far, in a file that both processes map."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        descriptor = os.open(path, os.O_RDWR)
        self._map = mmap.mmap(descriptor, COUNTER_BYTES)
        os.close(descriptor)

    def add(self, records: int) -> None:
        """One more poll."""
        polls, before = self.read()
        struct.pack_into("<QQ", self._map, 0, polls + 1, before + records)

    def read(self) -> tuple[int, int]:
        """Polls and records."""
        return cast("tuple[int, int]", struct.unpack_from("<QQ", self._map))


class Stream:
    """Answers the calls that pollers make. After `pages` pages a shard has nothing more."""

    def __init__(self, records: int, size: int, pages: int, counter: Counter) -> None:
        self._records, self._last = records, pages
        self._pages = Pages(records, size)
        self._counter = counter

    def answer(self, operation: str, request: dict[str, Any]) -> bytes:
        """The body of an answer."""
        if operation == "GetRecords":
            return self._get_records(*place(request["ShardIterator"]), request.get("Limit", self._records))
        if operation == "GetShardIterator":
            shard = int(request["ShardId"].rpartition("-")[2])
            return json.dumps({"ShardIterator": iterator(shard, 0)}).encode()
        if operation == "ListShards":
            return json.dumps({"Shards": _shards(_name(request))}).encode()
        summary = {
            "StreamName": _name(request),
            "StreamARN": request.get("StreamARN", ""),
            "StreamStatus": "ACTIVE",
            "RetentionPeriodHours": 24,
            "StreamCreationTimestamp": 1700000000.0,
            "EnhancedMonitoring": [],
            "OpenShardCount": len(_shards(_name(request))),
        }
        return json.dumps({"StreamDescriptionSummary": summary}).encode()

    def _get_records(self, shard: int, page: int, limit: int) -> bytes:
        if page >= self._last:
            self._counter.add(0)
            return self._pages.empty(shard, page)
        self._counter.add(min(limit, self._records))
        return self._pages.body(shard, page, limit, behind_ms=BEHIND_MS)


class Connection(asyncio.Protocol):
    """One client's connection, kept alive."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            total = end + 4 + int(_header(head, b"content-length"))
            if len(self._received) < total:
                return
            request, self._received = self._received[end + 4 : total], self._received[total:]
            operation = _operation(_header(head, b"x-amz-target"))
            body = self._stream.answer(operation, json.loads(request))
            self._transport.write(
                b"HTTP/1.1 200 OK\r\nx-amzn-RequestId: 00000000-0000-0000-0000-000000000000\r\n"
                b"Content-Type: application/x-amz-json-1.1\r\nContent-Length: %d\r\n\r\n" % len(body)
            )
            self._transport.write(body)


_OPERATIONS = {name.lower(): name for name in ("GetRecords", "GetShardIterator", "ListShards", "DescribeStreamSummary")}


def _operation(target: bytes) -> str:
    return _OPERATIONS[target.decode().rpartition(".")[2]]


def _header(head: bytes, name: bytes) -> bytes:
    _, _, rest = head.partition(b"\r\n" + name + b":")
    return rest.partition(b"\r\n")[0].strip()


def _name(request: dict[str, Any]) -> str:
    name: str = request.get("StreamName") or request["StreamARN"].rpartition("/")[2]
    return name


def _shards(stream: str) -> list[dict[str, Any]]:
    count = int(stream.rpartition("-")[2])
    step = (1 << 128) // count
    return [
        {
            "ShardId": f"shardId-{index:012}",
            "HashKeyRange": {"StartingHashKey": str(index * step), "EndingHashKey": str((index + 1) * step - 1)},
            "SequenceNumberRange": {"StartingSequenceNumber": "0"},
        }
        for index in range(count)
    ]


async def _serve(stream: Stream, lifetime_s: float) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)  # readable when the other end is gone
    server = await loop.create_server(lambda: Connection(stream), "127.0.0.1", 0, backlog=4096)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    try:
        async with asyncio.timeout(lifetime_s):
            await ended.wait()
    finally:
        server.close()


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    parser.add_argument("--pages", type=int, required=True)
    parser.add_argument("--counter", type=Path, required=True)
    parser.add_argument("--core", type=int)
    parser.add_argument("--lifetime", type=float, default=LIFETIME_S)
    options = parser.parse_args()
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    asyncio.run(
        _serve(Stream(options.records, options.size, options.pages, Counter(options.counter)), options.lifetime)
    )


if __name__ == "__main__":
    _main()
