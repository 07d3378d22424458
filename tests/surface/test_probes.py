"""Probes over HTTP: what each path answers."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace

import pytest

from esm.runtime.status import WorkerStatus
from esm.telemetry import facts
from esm.telemetry.prometheus import PrometheusMetrics
from tests.surface.probing import CANARY, PATHS, READING, WELL, Worker, get, of, probed

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize(
    ("status", "running", "live"),
    [
        (WELL, True, True),
        (WELL, False, False),
        (replace(WELL, stopping=True), False, True),
        (replace(WELL, id=""), False, True),
        (of(replace(READING, state="halted")), True, True),
    ],
    ids=["runs", "ended by a fault", "was stopped", "not begun", "a halted shard"],
)
async def test_livez_fails_when_a_restart_is_all_that_helps(status: WorkerStatus, *, running: bool, live: bool) -> None:
    async with probed(Worker(status, running=running)) as probes:
        reply = await get(probes, "/livez")
    assert (reply.status, reply.json["live"]) == ((200, True) if live else (503, False))
    assert [trouble["reason"] for trouble in reply.json["troubles"]] == ([] if live else ["ended"])


@pytest.mark.parametrize(
    ("status", "troubles"),
    [
        (WELL, []),
        (of(READING, replace(READING, state="lost"), replace(READING, state="waiting")), []),
        (of(replace(READING, silent_ms=4_999)), []),
        (of(replace(READING, silent_ms=5_000)), [("silent", "orders", "shardId-0")]),
        (of(READING, replace(READING, shard_id="1", state="halted")), [("halted", "orders", "1")]),
        (of(state="Creating"), [("creating", "orders", None)]),
        (of(last_error="SourceDeniedError: no"), [("failed", "orders", None)]),
        (of(replace(READING, state="stopped"), last_error="KeyError('a bug')"), [("failed", "orders", None)]),
        (of(replace(READING, state="waiting"), last_error="StoreError: no"), [("failed", "orders", None)]),
        (of(replace(READING, state="waiting"), READING, last_error="StoreError: no"), []),
        (of(replace(READING, state="lost"), last_error="SourceThrottledError: no"), []),
        (of(state="Disabled", last_error="SourceDeniedError: no"), []),
        (replace(WELL, stopping=True), [("stopping", None, None)]),
        (replace(WELL, id=""), [("starting", None, None)]),
    ],
)
async def test_readyz_says_why_not(status: WorkerStatus, troubles: list[tuple[str, str | None, str | None]]) -> None:
    async with probed(Worker(status), silent_after=5.0) as probes:
        reply = await get(probes, "/readyz")
    assert (reply.status, reply.json["ready"]) == (503 if troubles else 200, not troubles)
    assert [(each["reason"], each.get("mapping"), each.get("shard")) for each in reply.json["troubles"]] == troubles


@pytest.mark.parametrize("path", [*PATHS, "/nowhere"])
@pytest.mark.parametrize("status", [WELL, replace(WELL, stopping=True)], ids=["well", "stopping"])
async def test_head_is_get_without_the_body(path: str, status: WorkerStatus) -> None:
    """Some load balancers ask so. https://www.rfc-editor.org/rfc/rfc9110#name-head"""
    async with probed(Worker(status), metrics=PrometheusMetrics()) as probes:
        whole, head = await get(probes, path), await get(probes, path, method="HEAD")
    assert (head.status, head.body) == (whole.status, b"")
    same = ("content-type", "content-length", "cache-control")
    assert [head.headers[name] for name in same] == [whole.headers[name] for name in same]


async def test_scale_is_numbers() -> None:
    other = replace(READING, shard_id="1", behind_ms=120_500, oldest_age_ms=None, records_held=2)
    gone = replace(READING, shard_id="2", state="ended", behind_ms=900_000)
    async with probed(Worker(of(READING, other, gone))) as probes:
        assert (await get(probes, "/scale")).json == {"work_waiting": 42, "largest_lag_seconds": 120.5, "shards": 2}
    async with probed(Worker(replace(WELL, mappings=()))) as probes:
        assert (await get(probes, "/scale")).json == {"work_waiting": 0, "largest_lag_seconds": 0, "shards": 0}


async def test_status_is_all_of_it_but_the_words_of_functions() -> None:
    async with probed() as probes:
        reply = await get(probes, "/status")
    (mapping,) = reply.json["mappings"]
    (shard,) = mapping["shards"]
    assert (mapping["uuid"], shard["position"], shard["behind_ms"]) == ("orders", "4951", 2_500)
    assert shard["last_error"] == "ValueError"
    assert [(lane["lane"], lane["last_error"]) for lane in shard["lanes"]] == [(0, "KeyError")]
    assert reply.headers["content-type"].startswith("application/json")


@pytest.mark.parametrize("said", [f"{CANARY}: x", f"{CANARY} refused", "two words: x", "\x1b[2J", ""])
async def test_no_answer_holds_what_a_record_may_have_said(said: str) -> None:
    lane = replace(READING.lanes[0], last_error=said)
    worker = Worker(of(replace(READING, last_error=said, lanes=(lane,)), last_error=said))
    async with probed(worker, metrics=PrometheusMetrics()) as probes:
        for path in PATHS:
            reply = await get(probes, path)
            assert CANARY.encode() not in reply.body
            assert b"\\u001b" not in reply.body


async def test_metrics_are_what_prometheus_reads() -> None:
    metrics = PrometheusMetrics()
    metrics.notice(
        facts.MappingStateChanged(at=0, mapping="orders", state="Enabled", function="handle", event_source_arn="arn")
    )
    async with probed(metrics=metrics) as probes:
        plain = await get(probes, "/metrics")
        openly = await get(probes, "/metrics", "Accept: application/openmetrics-text; version=1.0.0")
    assert plain.status == openly.status == 200
    assert plain.headers["content-type"].startswith("text/plain")
    assert openly.headers["content-type"].startswith("application/openmetrics-text")
    assert b'esm_polled_events_total{function="handle",mapping="orders"} 0.0' in plain.body


async def test_without_metrics_it_says_what_to_install() -> None:
    async with probed() as probes:
        reply = await get(probes, "/metrics")
    assert reply.status == 501
    assert "pip install 'asyncio-esm[prometheus]'" in reply.json["error"]


async def test_an_answer_is_made_once_a_second_for_all_who_ask() -> None:
    worker, clock = Worker(), Standing()
    async with probed(worker, clock=clock) as probes:
        for _ in range(5):
            assert (await get(probes, "/status")).status == 200
        assert worker.asked == 1
        clock.at += 1_000
        await get(probes, "/status")
    assert worker.asked == 2


class Standing:
    """A clock that is put forward by hand."""

    at = 5_000

    def now(self) -> int:
        return self.at


async def test_a_fault_of_ours_is_an_answer_and_no_traceback() -> None:
    class Broken(Worker):
        def status(self) -> WorkerStatus:
            raise RuntimeError(CANARY)

    async with probed(Broken()) as probes:
        reply = await get(probes, "/status")
    assert (reply.status, reply.json) == (500, {"error": "RuntimeError"})


async def test_a_blocked_loop_does_not_answer_which_is_the_sign_of_it() -> None:
    async with probed() as probes:
        answered = threading.Event()

        def ask() -> None:
            with socket.create_connection((str(probes.address.ip), probes.address.port)) as connection:
                connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                connection.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    connection.recv(1)
                answered.set()

        thread = threading.Thread(target=ask)
        thread.start()
        assert answered.wait(10)  # blocks the loop for as long as it is asked
        thread.join()
        assert (await get(probes, "/livez")).status == 200
