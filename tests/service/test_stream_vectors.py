"""The vectors of streams, played over HTTP against a local AWS server; failure records are read from a real queue."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import esm
from esm.clock import Clock, Millis, SystemClock
from esm.runtime.ports import Ports
from esm.runtime.real import real_ports
from esm.telemetry import facts
from tests.conformance.stream_vectors import VECTORS, Call, Failure, Vector, check, check_document, raising
from tests.servers.accounts import Account, account_on, mapping_of

pytestmark = [pytest.mark.service]

HURRY = 12
"""How much faster time goes for the vector that takes a minute."""


class Witness:
    """Keeps what the function was called with, and knows when all is settled."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.calls: list[Call] = []
        self.settled = 0
        self.stored = asyncio.Event()
        self._function = function
        self._clock = SystemClock()
        self._lock = threading.Lock()

    def handle(self, event: dict[str, Any], context: Any) -> Any:
        with self._lock:
            self.calls.append(Call(event, context.aws_request_id, self._clock.now() / 1000))
        return self._function(event, context)

    def notice(self, fact: facts.Fact) -> None:
        if isinstance(fact, facts.CheckpointStored) and fact.settled is not None:
            self.settled = int(fact.settled)
            self.stored.set()

    async def until(self, number: str) -> None:
        while self.settled < int(number):
            self.stored.clear()
            await self.stored.wait()


class ShiftedClock:
    """The machine's time, so much later."""

    def __init__(self, later: Millis) -> None:
        self._clock, self._later = SystemClock(), later

    def now(self) -> Millis:
        return self._clock.now() + self._later


class HurriedLoop(asyncio.SelectorEventLoop):
    """A real loop for which time goes faster: it waits a fraction of what it is asked to."""

    def __init__(self) -> None:
        super().__init__(_HurriedSelector())

    def time(self) -> float:
        return super().time() * HURRY


class _HurriedSelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout and timeout / HURRY)


class HurriedClock:
    """The time of that loop, from now on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._anchor = SystemClock().now() - self._loop.time() * 1000

    def now(self) -> Millis:
        return round(self._anchor + self._loop.time() * 1000)


def ports_with(account: Account, clock: Clock) -> Ports:
    """Real ones, but for the time that the worker is told."""
    return replace(real_ports(**account.worker_settings), clock=clock)


async def filled(account: Account, vector: Vector) -> tuple[str, dict[str, str]]:
    """A stream with the records, and the sequence number of each. The first is older than the rest if it has to be."""
    stream = await account.streams.create(shards=1)
    data = [("a", record.encode()) for record in vector.records]
    put = await account.fill(stream, data[:1] if vector.age > 1 else data)
    if len(put) < len(data):
        await asyncio.sleep(4)
        put += await account.fill(stream, data[1:])
    return stream, dict(zip(vector.records, [number for _, number, _ in put], strict=True))


async def play(url: str, number: str, vector: Vector) -> None:
    async with account_on(url, number) as account:
        queue = await account.queue("failed")
        begun = SystemClock().now()
        stream, numbered = await filled(account, vector)
        clock: Clock = SystemClock()
        if isinstance(asyncio.get_running_loop(), HurriedLoop):
            clock = HurriedClock()
        elif vector.age > 1:
            # What was put first is as old as it has to be by now, whatever came in between.
            clock = ShiftedClock(round(vector.age * 1000) - (SystemClock().now() - begun) + 500)
        witness = Witness(vector.function)
        function = esm.Function(witness.handle, timeout=60.0)
        mapping = mapping_of(stream, function, destination_config=queue, **vector.settings)
        async with esm.Worker([mapping], store="memory:", observers=[witness], ports=ports_with(account, clock)):
            await witness.until(numbered[vector.records[-1]])
        check(vector, witness.calls, await account.received(queue), numbered, late=0.8)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.name)
def test_a_vector(vector: Vector, ministack: str, account: str) -> None:
    """T8 lasts a minute: its loop and its clock hurry."""
    loop_factory = HurriedLoop if vector.name.startswith("T8 ") else None
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(play(ministack, account, vector))


@pytest.mark.anyio
@pytest.mark.parametrize(("retries", "count"), [(0, 1), (2, 3)])
async def test_t11_an_event_over_the_limit_uses_up_its_attempts_without_an_invocation(
    ministack: str, account: str, monkeypatch: pytest.MonkeyPatch, retries: int, count: int
) -> None:
    """The local server takes no record over 1 MiB, which makes an event of 1.4 MB at most: so the limit is lowered."""
    monkeypatch.setattr("esm.runtime.stream_rules.INVOCATION_PAYLOAD_BYTES", 600_000)
    async with account_on(ministack, account) as mine:
        queue, stream = await mine.queue("failed"), await mine.streams.create(shards=1)
        put = await mine.fill(stream, [("a", b"x" * 500_000), ("a", b"2")])
        witness = Witness(raising("x"))
        mapping = mapping_of(stream, witness.handle, destination_config=queue, maximum_retry_attempts=retries)
        async with esm.Worker([mapping], store="memory:", observers=[witness], **mine.worker_settings):
            await witness.until(put[1][1])
        (document,) = await mine.received(queue)
        check_document(document, Failure("RetryAttemptsExhausted", (count,), "1", "1", None), {"1": put[0][1]})
        assert [record["kinesis"]["sequenceNumber"] for call in witness.calls for record in call.event["Records"]] == [
            put[1][1]
        ]
