"""A worker is stopped or killed in the middle of a window: its state goes on, and nothing is counted twice.

The state is what was settled, and is stored in one write with the position it belongs to. So a batch that comes again
after a crash meets the state of its first try; only a final call may come again, and then with the same state.
"""

from __future__ import annotations

import asyncio
import random
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest

from esm.handlers.invoke import FunctionInvoker
from esm.handlers.invoker import Invoker
from esm.leasing.lease import Lease, LeaseKey
from esm.mapping.settings import EventSourceMapping
from esm.runtime.ports import Ports
from esm.runtime.real import function_arn
from esm.runtime.worker import Worker
from esm.stores.memory import MemoryStore
from esm.testing.events import Put
from esm.testing.loop import SimClock
from esm.testing.process import Process
from esm.testing.run import run
from esm.testing.stage import KinesisStage

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
SIZE_S = 10
SECONDS = 65
EVERY_S = 0.5


class Scene:
    """One stream of a record each half second; lives of a worker over the same positions, one after the other.

    `truth`: the records of each window, as they were put. `final`: the states that were handed out for each.
    `settings`: more of the mapping's.
    """

    def __init__(self, seed: int, **settings: Any) -> None:
        self.rng = random.Random(seed)
        self.settings = settings
        self.truth: dict[str, list[int]] = {}
        self.final: dict[str, list[list[int]]] = {}
        self.rows: dict[LeaseKey, Lease] = {}
        self.calls = 0

    async def play(self, end: Callable[[Process, asyncio.Event], None]) -> None:
        """`end`: how each life but the last ends."""
        self.clock = SimClock(asyncio.get_running_loop())  # type: ignore[arg-type]  # `run` gives a SimLoop
        self.stage = KinesisStage(self.clock, ARN, 1, seed=0)
        feeding = asyncio.create_task(self.feed())
        for _ in range(6):
            process, stop = self.begin()
            await asyncio.sleep(self.rng.uniform(1, 9))
            end(process, stop)
            await process.wait()
        process, stop = self.begin()
        await feeding
        await asyncio.sleep(SIZE_S + 125)
        stop.set()
        await process.wait()

    async def feed(self) -> None:
        for number in range(int(SECONDS / EVERY_S)):
            start = self.clock.now() // 1000 // SIZE_S * SIZE_S
            self.truth.setdefault(str(start), []).append(number)
            self.stage.play(Put(str(number)))
            await asyncio.sleep(EVERY_S)

    def begin(self) -> tuple[Process, asyncio.Event]:
        process = Process("life", asyncio.get_running_loop())  # type: ignore[arg-type]  # a SimLoop
        stop = asyncio.Event()
        process.start(self.live(stop))
        return process, stop

    async def live(self, stop: asyncio.Event) -> None:
        mapping = EventSourceMapping(
            event_source_arn=ARN,
            function=self.handle,
            starting_position="TRIM_HORIZON",
            tumbling_window_in_seconds=SIZE_S,
            batch_size=7,
            **self.settings,
        )
        async with Worker([mapping], store=MemoryStore(self.rows), ports=self.ports()):
            await stop.wait()

    async def handle(self, event: dict[str, Any], _context: Any) -> dict[str, Any]:
        """Takes its time, fails now and then, and hands out its state when the window is over."""
        self.calls += 1
        await asyncio.sleep(self.rng.choice([0, 0.3, 1]))
        if self.rng.random() < 0.2:
            raise ValueError
        if event["isFinalInvokeForWindow"]:
            assert not event["isWindowTerminatedEarly"]
            self.final.setdefault(self.second(event), []).append(event["state"]["seen"])
        done = self.part(event["Records"]) if self.settings else event["Records"]
        numbers = [int(b64decode(record["kinesis"]["data"])) for record in done]
        failed = [record["kinesis"]["sequenceNumber"] for record in event["Records"][len(done) :]]
        return {
            "state": {"seen": [*event["state"].get("seen", []), *numbers]},
            "batchItemFailures": [{"itemIdentifier": number} for number in failed],
        }

    def part(self, records: list[Any]) -> list[Any]:
        """Often enough, not all of them."""
        return records[: self.rng.randrange(len(records) + 1)] if self.rng.random() < 0.4 else records

    def second(self, event: dict[str, Any]) -> str:
        for start in self.truth:
            if event["window"]["start"].endswith(f"{int(start) // 60 % 60:02}:{int(start) % 60:02}Z"):
                return start
        raise AssertionError(event["window"])

    def ports(self) -> Ports:
        def open_invoker(mapping: EventSourceMapping, on_abandoned: Any) -> Invoker:
            arn = function_arn(mapping)
            return FunctionInvoker(mapping.function, arn=arn, clock=self.clock, on_abandoned=on_abandoned)

        async def open_destination(_text: str) -> Any:
            raise AssertionError("there is none")

        async def close() -> None:
            return None

        return Ports(
            clock=self.clock,
            rng=self.rng,
            open_source=self.stage.open_source,
            open_destination=open_destination,
            open_invoker=open_invoker,
            close=close,
        )


PARTS: dict[str, Any] = {
    "bisect_batch_on_function_error": True,
    "function_response_types": ["ReportBatchItemFailures"],
    "maximum_batching_window_in_seconds": 2,
}


@pytest.mark.parametrize("settings", [{}, PARTS], ids=["whole batches", "halves and suffixes"])
@pytest.mark.parametrize("seed", range(10))
def test_a_worker_that_is_stopped_hands_out_each_window_once(seed: int, settings: dict[str, Any]) -> None:
    scene = Scene(seed, **settings)
    run(scene.play(lambda _process, stop: stop.set()), seed=seed)
    assert scene.final == {start: [numbers] for start, numbers in scene.truth.items()}


@pytest.mark.parametrize("settings", [{}, PARTS], ids=["whole batches", "halves and suffixes"])
@pytest.mark.parametrize("seed", range(30))
def test_a_worker_that_is_killed_counts_nothing_twice(seed: int, settings: dict[str, Any]) -> None:
    scene = Scene(seed, **settings)
    run(scene.play(lambda process, _stop: process.kill()), seed=seed)
    assert scene.final.keys() == scene.truth.keys()
    for start, states in scene.final.items():
        assert all(state == scene.truth[start] for state in states)
