"""Probes of a worker over HTTP: is it alive, is it well, how far is it, what would more of it help.

    async with esm.Worker(mappings) as worker, serve(worker, "127.0.0.1:8080") as probes:
        await worker.join()

    GET /livez    200 while a restart would not help, 503 when nothing else does
    GET /readyz   200 when all goes as it should, 503 and why not: a shard is halted or silent, it starts or stops
    GET /metrics  for Prometheus; 501 without the metrics
    GET /status   `Worker.status()`: every mapping, shard and lane
    GET /scale    numbers to scale by: work waiting, and the largest lag in seconds

It answers in the worker's own event loop, so a loop that is blocked does not answer at all: to whoever asks, a timeout
is the sign of it. There is nothing to change and no code to name here: every request is a GET, or the HEAD of one, as
some load balancers ask, and none has a body.

What comes in is bounded, for records come first: connections one after the other and at most so many a second, each
for one request and a few seconds, heads of a few kilobytes; answers that cost something are made once a second. When
all connections are taken, the oldest makes room, so that whoever holds them open keeps nobody out.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv6Address
from typing import Any, Protocol

import msgspec
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from esm.clock import Clock, Millis, SystemClock
from esm.errors import ProbeError
from esm.management.address import Address, Door
from esm.management.health import liveness, readiness, scale, shown_status
from esm.runtime.status import WorkerStatus
from esm.runtime.worker import SILENT_AFTER_S

__all__ = ["Exposition", "Probed", "Probes", "serve"]

CONNECTIONS_MAX = 32
"""Open at once (chosen)."""

DOSE = 5
"""Connections taken in each `DOSE_MS`; more of them wait in the system's queue.

Chosen: 25 a second are far more than probes, a scraper and a person need, and a twentieth of a core (measured).
"""

DOSE_MS: Millis = 200

CONNECTION_S = 5.0
"""What a connection has from its beginning to the end of its answer (chosen)."""

HEAD_LINE_BYTES_MAX = 4096
"""A line of a request's head (chosen; a token and a path are far below it)."""

HEAD_LINES_MAX = 32
"""Lines of a request's head (chosen)."""

FRESH_MS: Millis = 1000
"""For how long an answer that costs something is given again (chosen)."""

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'",
    "Server": "esm",
    "X-Content-Type-Options": "nosniff",
}
_JSON = "application/json; charset=utf-8"
_NO_METRICS = "no metrics: pip install 'asyncio-esm[prometheus]', and give the worker and serve() a PrometheusMetrics"

_METHODS = ("GET", "HEAD")
"""The server sends of an answer to HEAD its head alone."""

_Answer = tuple[int, bytes, str]
"""Status, body, content type."""


class Probed(Protocol):
    """What is asked of a worker."""

    @property
    def running(self) -> bool:
        """Whether it was entered and has not ended."""
        ...

    def status(self) -> WorkerStatus:
        """What it looks like now."""
        ...


class Exposition(Protocol):
    """What is asked of metrics; `esm.telemetry.prometheus.PrometheusMetrics` is one."""

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All series as text, and its content type."""
        ...


@asynccontextmanager
async def serve(
    worker: Probed,
    address: str,
    *,
    token: str | None = None,
    hosts: Iterable[str] = (),
    metrics: Exposition | None = None,
    silent_after: float = SILENT_AFTER_S,
    clock: Clock | None = None,
) -> AsyncIterator[Probes]:
    """Answers probes of a worker for the time of the `async with`.

    `address`: as `127.0.0.1:8080`; with port 0, `Probes.address` says which it is. `token`: what a request must bear
    (`Authorization: Bearer`); needed where the address is not loopback. `hosts`: further names that the address may be
    called by. `metrics`: an observer of the worker's; `None`: `/metrics` says how to have them. `silent_after`: seconds
    until a shard from which nothing comes makes `/readyz` fail. Raises `ProbeError`.
    """
    at = Address.parse(address)
    answers = _Answers(worker, metrics, round(silent_after * 1000), SystemClock() if clock is None else clock)
    probes = Probes(at, Door(at, token=token, hosts=hosts), answers.of)
    await probes.start()
    try:
        yield probes
    finally:
        await probes.stop()


class Probes:
    """A listener. `address`: where; its port is known once it was started."""

    def __init__(self, address: Address, door: Door, answer: Callable[[str, str], _Answer | None]) -> None:
        self.address = address
        self._door, self._answer = door, answer
        self._server = _Server(self._handle, self._closed)
        self._listener: socket.socket | None = None
        self._task: asyncio.Task[None] | None = None
        self._open: dict[RequestHandler, asyncio.TimerHandle] = {}  # the oldest first

    async def start(self) -> None:
        """Listens. Raises `ProbeError` when the address is taken, or none of this machine's."""
        family = socket.AF_INET6 if isinstance(self.address.ip, IPv6Address) else socket.AF_INET
        try:
            self._listener = socket.create_server(
                (str(self.address.ip), self.address.port), family=family, backlog=CONNECTIONS_MAX
            )
        except OSError as error:
            what = os.strerror(error.errno) if error.errno else str(error)
            raise ProbeError(f"cannot listen on {self.address}: {what}") from error
        self._listener.setblocking(False)
        self.address = Address(self.address.ip, self._listener.getsockname()[1])
        self._task = asyncio.create_task(self._accept(self._listener), name=f"esm probes {self.address}")

    async def stop(self) -> None:
        """Listens no more, and ends every connection."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if self._listener is not None:
            self._listener.close()
        await self._server.shutdown(0.0)
        for timer in self._open.values():
            timer.cancel()
        self._open.clear()

    async def _accept(self, listener: socket.socket) -> None:
        loop, clock = asyncio.get_running_loop(), SystemClock()
        taken, until = 0, 0
        while True:
            now = clock.now()
            if now >= until:
                taken, until = 0, now + DOSE_MS
            if taken >= DOSE:
                await asyncio.sleep((until - now) / 1000)
                continue
            taken += 1
            with suppress(OSError):  # it went away again, or there is no descriptor for it now
                connection, _ = await loop.sock_accept(listener)
                self._make_room()
                transport, handler = await loop.connect_accepted_socket(self._server, connection)
                if not transport.is_closing():
                    self._open[handler] = loop.call_later(CONNECTION_S, self._cut_off, handler)

    def _make_room(self) -> None:
        if len(self._open) >= CONNECTIONS_MAX:
            self._cut_off(next(iter(self._open)))

    def _cut_off(self, handler: RequestHandler) -> None:
        """At once, also of who does not read what was written."""
        self._closed(handler)
        if handler.transport is not None:
            handler.transport.abort()  # first: a transport that is closing would wait for its reader
        handler.force_close()

    def _closed(self, handler: RequestHandler) -> None:
        timer = self._open.pop(handler, None)
        if timer is not None:
            timer.cancel()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return _response(self._judge(request))

    def _judge(self, request: web.BaseRequest) -> _Answer:
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1 or not self._door.knows(hosts[0]):
            return _error(421, "this is not the host you asked for")
        if not self._door.admits(request.headers.get("Authorization", "")):
            return _error(401, "bear the token: Authorization: Bearer ...")
        if request.method not in _METHODS:
            return _error(405, "there is nothing to change here: GET and HEAD alone")
        if request.body_exists:
            return _error(413, "a probe has no body")
        answer = self._answer(request.path, request.headers.get("Accept", ""))
        return _error(404, "there are /livez, /readyz, /metrics, /status and /scale") if answer is None else answer


class _Server(web.Server):
    """Makes the protocol of each connection, and tells of its end."""

    def __init__(
        self,
        handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        closed: Callable[[RequestHandler], None],
    ) -> None:
        super().__init__(handle)
        self._tell = closed
        # What a stranger sends is no log line.
        self._silent = logging.Logger(__name__, logging.CRITICAL + 1)  # noqa: LOG001  # the host's loggers are left alone

    def __call__(self) -> RequestHandler:
        return _Connection(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # as its own server is given
            logger=self._silent,
            max_line_size=HEAD_LINE_BYTES_MAX,
            max_field_size=HEAD_LINE_BYTES_MAX,
            max_headers=HEAD_LINES_MAX,
            read_bufsize=HEAD_LINE_BYTES_MAX,
            lingering_time=0.0,
        )

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._tell(handler)


class _Connection(RequestHandler):
    """Answers what is no request without its words, which may be a token, and without those of the server's parser."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        del request, exc, message
        return _response(_error(status, "this is no request that is understood here"))


class _Answers:
    """What each path answers, made once for all who ask within a second."""

    def __init__(self, worker: Probed, metrics: Exposition | None, silent_after: Millis, clock: Clock) -> None:
        self._worker, self._metrics, self._silent_after, self._clock = worker, metrics, silent_after, clock
        self._made: dict[str, tuple[Millis, str, _Answer]] = {}
        self._paths: dict[str, Callable[[str], _Answer]] = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._metrics_text,
            "/status": lambda _accept: _json(200, shown_status(worker.status())),
            "/scale": lambda _accept: _json(200, scale(worker.status())),
        }

    def of(self, path: str, accept: str) -> _Answer | None:
        """The answer; `None` where there is no such path. A fault of ours is an answer too."""
        make = self._paths.get(path)
        if make is None:
            return None
        now = self._clock.now()
        at, of, answer = self._made.get(path, (0, "", None))
        if answer is not None and of == accept and now - at < FRESH_MS:
            return answer
        try:
            answer = make(accept)
        except Exception as error:  # noqa: BLE001  # whoever asks is told its kind, and the worker goes on
            answer = _error(500, type(error).__name__)
        self._made[path] = (now, accept, answer)
        return answer

    def _livez(self, _accept: str) -> _Answer:
        troubles = liveness(self._worker.status(), running=self._worker.running)
        return _json(503 if troubles else 200, {"live": not troubles, "troubles": troubles})

    def _readyz(self, _accept: str) -> _Answer:
        troubles = readiness(self._worker.status(), silent_after=self._silent_after)
        return _json(503 if troubles else 200, {"ready": not troubles, "troubles": troubles})

    def _metrics_text(self, accept: str) -> _Answer:
        if self._metrics is None:
            return _error(501, _NO_METRICS)
        body, content_type = self._metrics.exposition(accept)
        return 200, body, content_type


def _response(answer: _Answer) -> web.Response:
    status, body, content_type = answer
    headers = _HEADERS | {"Content-Type": content_type}
    if status == 401:  # noqa: PLR2004  # Unauthorized
        headers["WWW-Authenticate"] = 'Bearer realm="esm"'
    if status == 405:  # noqa: PLR2004  # Method Not Allowed
        headers["Allow"] = ", ".join(_METHODS)
    response = web.Response(status=status, body=body, headers=headers)
    response.force_close()
    return response


def _json(status: int, document: Any) -> _Answer:
    return status, msgspec.json.encode(document) + b"\n", _JSON


def _error(status: int, text: str) -> _Answer:
    return _json(status, {"error": text})
