"""`esm run --http`: a worker that answers probes while it runs."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from esm.cli.exits import Exit
from tests.surface.streams import Stream
from tests.surface.typed import Esm

APP = """
import esm
async def handle(event, context): pass
orders = esm.EventSourceMapping(event_source_arn="{arn}", function=handle, starting_position="TRIM_HORIZON")
"""
TOKEN = "a-token-of-some-length"


def use(esm_: Esm, arn: str = "arn:aws:kinesis:eu-west-1:000000000000:stream/orders") -> None:
    esm_.app(APP.replace("{arn}", arn))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def ask(port: int, path: str, **headers: str) -> tuple[int, bytes]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)  # http it is
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  # as above
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.service
def test_a_worker_answers_while_it_runs(esm_: Esm, stream: Stream) -> None:
    *_, last = stream.put(*"abc")
    use(esm_, stream.arn)
    (esm_.folder / "token").write_text(f"{TOKEN}\n")
    port, bearing = free_port(), {"Authorization": f"Bearer {TOKEN}"}
    typed = ("--http", f"0.0.0.0:{port}", "--http-token-file", "token", "--http-host", "worker.test")
    log = ("--endpoint-url", stream.url, "--json", "--log-level", "debug")
    with esm_.running("run", "app:orders", *typed, *log) as running:
        running.until("checkpoint_stored", settled=last)
        assert ask(port, "/livez")[0] == 401
        assert ask(port, "/livez", **bearing)[0] == 200
        assert ask(port, "/readyz", **bearing)[0] == 200
        assert ask(port, "/readyz", Host="worker.test", **bearing)[0] == 200
        assert ask(port, "/readyz", Host="evil.example", **bearing)[0] == 421
        status: dict[str, Any] = json.loads(ask(port, "/status", **bearing)[1])
        assert status["mappings"][0]["shards"][0]["position"] == last
        assert json.loads(ask(port, "/scale", **bearing)[1])["shards"] == 1
        code, text = ask(port, "/metrics", **bearing)
        assert code == 200
        assert b"esm_polled_events_total{" in text
        assert running.end()[0] == 0
    assert TOKEN not in running.said + running.out


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (("--http", "8080"), "'8080' is no address; write an IP address and a port, as 127.0.0.1:8080"),
        (("--http", "0.0.0.0:8080"), "0.0.0.0:8080 is reached by others: it needs a token"),
        (("--http", "127.0.0.1:0", "--http-host", "a b"), "'a b' is no host name"),
        (("--http", "127.0.0.1:0", "--http-token-file", "none"), "--http-token-file='none': No such file or directory"),
        (("--http", "127.0.0.1:0", "--http-token-file", "short"), "the token has 6 characters"),
        (("--http-host", "worker.test"), "--http-token-file and --http-host go with --http"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_begun(esm_: Esm, typed: tuple[str, ...], said: str) -> None:
    use(esm_)
    (esm_.folder / "short").write_text("secret")
    ended = esm_("run", "app:orders", "--endpoint-url", "http://127.0.0.1:9", *typed)
    assert ended.code == Exit.INVALID
    assert said in ended.line
    assert "secret" not in ended.line
    assert not (esm_.folder / "esm.db").exists()


def test_an_address_that_is_taken(esm_: Esm) -> None:
    use(esm_)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = esm_("run", "app:orders", "--endpoint-url", "http://127.0.0.1:9", "--http", where)
    assert (ended.code, ended.line) == (Exit.INVALID, f"esm: --http: cannot listen on {where}: Address already in use")


def test_the_token_of_the_environment(esm_: Esm, tmp_path: Path) -> None:
    use(esm_)
    with_token = Esm(tmp_path, {**esm_.settings, "ESM_HTTP_TOKEN": "short"})
    ended = with_token("run", "app:orders", "--endpoint-url", "http://127.0.0.1:9", "--http", "0.0.0.0:0")
    assert "the token has 5 characters" in ended.line


CURIOUS = """
import os, esm
async def handle(event, context): print("the token is", os.environ.get("ESM_HTTP_TOKEN"), flush=True)
orders = esm.EventSourceMapping(
    event_source_arn="{arn}",
    function=esm.Function(handle, isolation="{isolation}"),
    starting_position="TRIM_HORIZON",
)
"""


@pytest.mark.service
@pytest.mark.parametrize("isolation", ["auto", "process"])
def test_no_function_has_the_token_of_the_environment(
    esm_: Esm, tmp_path: Path, stream: Stream, isolation: str
) -> None:
    *_, last = stream.put("a")
    with_token, port = Esm(tmp_path, {**esm_.settings, "ESM_HTTP_TOKEN": TOKEN}), free_port()
    with_token.app(CURIOUS.replace("{arn}", stream.arn).replace("{isolation}", isolation))
    log = ("--endpoint-url", stream.url, "--json", "--log-level", "debug")
    with with_token.running("run", "app:orders", "--http", f"127.0.0.1:{port}", *log) as running:
        running.until("checkpoint_stored", settled=last)
        assert ask(port, "/livez")[0] == 401
        assert running.end()[0] == 0
    assert "the token is None" in running.said + running.out


BLOCKING = """
import time, esm
async def charge(event, context): time.sleep(1.8)
orders = esm.EventSourceMapping(
    event_source_arn="{arn}", function=charge, starting_position="TRIM_HORIZON", uuid="orders"
)
"""


@pytest.mark.service
def test_what_blocks_the_loop_is_in_the_log_with_its_call_and_its_stack(esm_: Esm, stream: Stream) -> None:
    stream.put("a")
    esm_.app(BLOCKING.replace("{arn}", stream.arn))
    with esm_.running("run", "app:orders", "--endpoint-url", stream.url, "--json", "--log-level", "debug") as running:
        started = running.until("invocation_started")
        blocked = running.until("loop_blocked")
        freed = running.until("loop_freed")
        assert running.end()[0] == 0
    named = {"mapping": "orders", "function": "charge", "request_id": started["request_id"], "level": "error"}
    assert {name: blocked[name] for name in named} == named
    assert blocked["stack"][0] == "app.py:3 in charge"
    assert not [place for place in blocked["stack"] if "events.py" in place]
    assert 1_000 <= blocked["blocked_ms"] < freed["blocked_ms"]
