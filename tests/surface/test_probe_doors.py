"""Probes over HTTP: who is answered, and what strangers cannot do."""

from __future__ import annotations

import asyncio
import json
import socket
from dataclasses import replace

import pytest

from esm.errors import ProbeError
from esm.management import http
from tests.surface.probing import PATHS, READING, TOKEN, Worker, get, of, probed, send

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# To whom


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:8080", "[2001:db8::1]:80"])
async def test_an_address_that_others_reach_needs_a_token(address: str) -> None:
    with pytest.raises(ProbeError, match="it needs a token"):
        async with probed(address=address):
            pass


@pytest.mark.parametrize("token", ["", "short", "a token with spaces in it", "tökens-are-plain-text", "x" * 5_000])
async def test_a_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(ProbeError, match="at least 16 printable ASCII characters") as refused:
        async with probed(token=token):
            pass
    assert not token or token not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "8080",
        ":8080",
        "127.0.0.1",
        "example.com:80",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "::1:80",
        "[127.0.0.1]:80",
        "[::ffff:127.0.0.1]:0",
        "[::ffff:192.0.2.1]:80",
        "127.0.0.1:80/x",
        "http://127.0.0.1:80",
        "127.0.0.1:8\u0660",
    ],
)
async def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ProbeError, match="write an IP address and a port"):
        async with probed(address=address):
            pass


async def test_an_address_that_is_taken() -> None:
    async with probed() as probes:
        with pytest.raises(ProbeError, match=f"cannot listen on {probes.address}"):
            async with probed(address=str(probes.address)):
                pass


@pytest.mark.parametrize("path", [*PATHS, "/", "/no-such-path"])
async def test_with_a_token_nothing_is_told_without_it(path: str) -> None:
    async with probed(token=TOKEN, address="0.0.0.0:0") as probes:
        for said in ("", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \xff\xfe"):
            reply = await get(probes, path, f"Authorization: {said}")
            assert (reply.status, reply.headers["www-authenticate"]) == (401, 'Bearer realm="esm"')
            assert TOKEN.encode() not in reply.body
        reply = await get(probes, path, f"Authorization: Bearer {TOKEN}", host="127.0.0.1:80")
        assert reply.status == (404 if path not in PATHS else 501 if path == "/metrics" else 200)


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("localhost", True),
        ("LOCALHOST:9000", True),
        ("127.0.0.1:8080", True),
        ("127.0.0.2", True),
        ("[::1]:8080", True),
        ("[::ffff:127.0.0.1]:8080", True),
        ("[::ffff:192.0.2.1]:8080", False),
        ("worker.internal:8080", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.nip.io", False),
        ("192.0.2.1", False),
        ("user@localhost", False),
        ("localhost, evil.example", False),
        ("localhost:123456", False),
        ("", False),
    ],
)
async def test_a_name_that_is_not_on_the_list_is_another_hosts(host: str, *, known: bool) -> None:
    """DNS rebinding: a page of evil.example whose name leads here now; its browser still says evil.example."""
    async with probed(hosts=["Worker.internal"]) as probes:
        assert (await get(probes, "/livez", host=host)).status == (200 if known else 421)


async def test_everywhere_is_called_by_numbers_and_by_the_names_on_the_list() -> None:
    bearing = f"Authorization: Bearer {TOKEN}"
    async with probed(address="0.0.0.0:0", token=TOKEN, hosts=["worker.default.svc"]) as probes:
        for host, status in (
            ("10.1.2.3:8080", 200),
            ("worker.default.svc", 200),
            ("evil.example", 421),
            ("localhost", 200),
        ):
            assert (await get(probes, "/livez", bearing, host=host)).status == status


async def test_a_host_twice_or_never_is_refused() -> None:
    async with probed() as probes:
        assert (await get(probes, "/livez", "Host: evil.example")).status in (400, 421)
        assert (await send(probes, b"GET /livez HTTP/1.0\r\n\r\n")).status in (400, 421)


@pytest.mark.parametrize("host", ["", "http://worker", "worker:80", "a b", "*"])
async def test_what_is_no_name_for_the_list(host: str) -> None:
    with pytest.raises(ProbeError, match="is no host name"):
        async with probed(hosts=[host]):
            pass


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"])
async def test_there_is_nothing_to_change(method: str) -> None:
    async with probed() as probes:
        reply = await get(probes, "localhost:80" if method == "CONNECT" else "/status", method=method)
    assert reply.status in (400, 405)
    assert b"mappings" not in reply.body


@pytest.mark.parametrize(
    "path", ["/2015-03-31/functions", "/invoke?handler=os:system", "/../etc/passwd", "/status/", "//livez"]
)
async def test_no_code_and_no_file_is_named_by_a_request(path: str) -> None:
    async with probed() as probes:
        assert (await get(probes, path)).status in (400, 404)


async def test_another_sites_page_may_not_read_the_answer() -> None:
    async with probed() as probes:
        reply = await get(probes, "/status", "Origin: https://evil.example", "Sec-Fetch-Site: cross-site")
    assert not [name for name in reply.headers if name.startswith("access-control-")]
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["cache-control"] == "no-store"
    assert reply.headers["server"] == "esm"


# What strangers cannot do


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"\r\n" * 10_000,
        b"GET\r\n\r\n",
        b"{}\r\n\r\n",
    ],
    ids=["path", "line", "lines", "body", "chunks", "smuggled", "tls", "nothing", "no path", "no request"],
)
async def test_what_is_too_much_or_no_request_is_refused(
    data: bytes, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "CONNECTION_S", 0.3)
    async with probed() as probes:
        reply = await send(probes, data)
        assert reply.status in (0, 400, 413)
        assert b"Traceback" not in reply.body
        assert (await get(probes, "/livez")).status == 200
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "data",
    [
        b"GET /livez HTTP/1.1\r\nAuthorization: Bearer %s\x00\r\nHost: localhost\r\n\r\n",
        b"GET /livez?%s HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nAuthorization Bearer %s\r\n\r\n",
        b"%s\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nAuthorization: Bearer %s\r\n\r\n",
    ],
    ids=["header", "version", "colon", "no request", "no host"],
)
async def test_what_is_no_request_is_refused_without_its_own_words_or_the_servers(data: bytes) -> None:
    async with probed(token=TOKEN) as probes:
        reply = await send(probes, data % TOKEN.encode())
    assert reply.status == 400
    assert json.loads(reply.body) == {"error": "this is no request that is understood here"}
    assert reply.headers["server"] == "esm"
    assert reply.headers["cache-control"] == "no-store"


async def test_one_connection_is_for_one_request() -> None:
    async with probed() as probes:
        request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
        reply = await send(probes, request * 20)
    assert reply.headers["connection"] == "close"
    assert reply.body.count(b"HTTP/1.1 200") == 0
    assert json.loads(reply.body)["live"] is True


async def test_a_head_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CONNECTION_S", 0.2)
    async with probed() as probes:
        reader, writer = await asyncio.open_connection("127.0.0.1", probes.address.port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: loc")
        async with asyncio.timeout(10):
            assert await read_to_the_end(reader) == b""
        writer.close()


async def test_who_does_not_read_the_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CONNECTION_S", 0.2)
    shards = [replace(READING, shard_id=f"shardId-{number}") for number in range(10_000)]
    worker = Worker(of(*shards))
    async with probed(worker) as probes:
        with socket.create_connection(("127.0.0.1", probes.address.port)) as deaf:
            deaf.sendall(b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n")
            async with asyncio.timeout(10):
                while not worker.asked or probes._server.connections:  # noqa: ASYNC110  # it is not told of
                    await asyncio.sleep(0.01)
            assert not probes._open


async def read_to_the_end(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except ConnectionError:
        return b""


async def test_who_holds_all_connections_open_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "CONNECTIONS_MAX", 4)
    monkeypatch.setattr(http, "DOSE", 1_000)
    async with probed() as probes:
        held = [await asyncio.open_connection("127.0.0.1", probes.address.port) for _ in range(12)]
        for _, writer in held:
            writer.write(b"GET /livez HTTP/1.1\r\n")
        assert (await get(probes, "/livez")).status == 200
        assert len(probes._open) <= 4
        for _, writer in held:
            writer.close()


async def test_a_flood_is_taken_in_small_doses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "DOSE", 2)
    worker = Worker()
    async with probed(worker) as probes:
        began = asyncio.get_running_loop().time()
        replies = await asyncio.gather(*(get(probes, "/livez") for _ in range(10)))
        took = asyncio.get_running_loop().time() - began
    assert [reply.status for reply in replies] == [200] * 10
    assert took >= 4 * http.DOSE_MS / 1000 - 0.01
