"""What both servers of canned answers have in common: HTTP, and their options."""

from __future__ import annotations

import argparse
import asyncio
import os
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import uvloop

from tests.servers.certificate import Certificate

__all__ = ["Answering", "Send", "arguments", "serve"]

LIFETIME_S = 600.0
Send = Callable[[bytes], None]
Answering = Callable[[str, bytes, str, Send], None]
"""Is told an operation in lower case, the body of the request and the server's URL, and sends the body of an answer."""


def arguments() -> argparse.ArgumentParser:
    """What both can be told."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--counter", type=Path, required=True)
    parser.add_argument("--core", type=int)
    parser.add_argument("--lifetime", type=float, default=LIFETIME_S)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    return parser


def serve(answer: Answering, content_type: str, options: argparse.Namespace) -> None:
    """Writes the port to standard output, and answers until standard input ends, or for `options.lifetime` seconds."""
    if options.core is not None:
        os.sched_setaffinity(0, {options.core})
    tls = Certificate(options.certificate, options.key).server() if options.certificate else None
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(lambda: _Connection(answer, content_type), options.lifetime, tls))


class _Connection(asyncio.Protocol):
    """One client's connection, kept alive."""

    def __init__(self, answer: Answering, content_type: str) -> None:
        self._answer = answer
        self._head = (
            "HTTP/1.1 200 OK\r\nx-amzn-RequestId: 00000000-0000-0000-0000-000000000000\r\n"
            f"Content-Type: {content_type}\r\nContent-Length: "
        ).encode() + b"%d\r\n\r\n"
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        host, port = transport.get_extra_info("sockname")[:2]
        scheme = "https" if transport.get_extra_info("sslcontext") else "http"
        self._url = f"{scheme}://{host}:{port}"

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            total = end + 4 + int(_header(head, b"content-length"))
            if len(self._received) < total:
                return
            request, self._received = self._received[end + 4 : total], self._received[total:]
            operation = _header(head, b"x-amz-target").rpartition(b".")[2].decode()
            self._answer(operation, request, self._url, self._send)

    def _send(self, body: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.writelines((self._head % len(body), body))


def _header(head: bytes, name: bytes) -> bytes:
    _, _, rest = head.partition(b"\r\n" + name + b":")
    return rest.partition(b"\r\n")[0].strip()


async def _serve(made: Callable[[], asyncio.Protocol], lifetime_s: float, tls: ssl.SSLContext | None) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(sys.stdin, ended.set)  # readable when the other end is gone
    server = await loop.create_server(made, "127.0.0.1", 0, backlog=4096, ssl=tls)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    try:
        async with asyncio.timeout(lifetime_s):
            await ended.wait()
    finally:
        server.close()
