"""What would Lambda do with this handler? The answer in milliseconds, under virtual time, with no server.

    trace = simulate(mapping, [Put(b"1", key="a"), Put(b"2", key="a", at=5.0)], shards=1)
    assert [invocation.outcome for invocation in trace.invocations] == ["succeeded", "succeeded"]

The production worker, machine and reader run unchanged, on a simulated stream and a loop whose time is its own.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from esm.destinations.destination import Destination
from esm.destinations.memory import MemoryDestination
from esm.handlers.invoke import FunctionInvoker
from esm.handlers.invoker import Event, Invoker
from esm.handlers.invoker import Invocation as Answer
from esm.mapping.constraints import violated
from esm.mapping.settings import EventSourceMapping
from esm.runtime.ports import Ports
from esm.runtime.real import function_arn
from esm.runtime.status import ShardStatus
from esm.runtime.worker import Worker
from esm.stores.memory import MemoryStore
from esm.telemetry.facts import Fact, InvocationEnded, InvocationStarted
from esm.testing.events import PutConcurrency, Queue, SourceEvent
from esm.testing.loop import SimClock
from esm.testing.queue_stage import QueueStage, QueueTrace
from esm.testing.run import run
from esm.testing.stage import Stage, stage_of

__all__ = ["Invocation", "Trace", "simulate"]

QUIET_S = 3.0
"""How long nothing may happen before a simulation counts as over: longer than the poller's second between reads."""

LOOK_S = 0.5
_DRAIN_S = 60.0


@dataclass(slots=True)
class Invocation:
    """One call of the function. `event`: as it was given. Times: seconds from the start of the mapping.

    `attempt`: 1 on the first try of a batch. `outcome`: `succeeded`, `failed`, `partly failed`; `cut off` if the
    simulation ended first.
    """

    event: dict[str, Any]
    request_id: str
    started_at: float
    ended_at: float
    attempt: int
    outcome: str = "cut off"


@dataclass(slots=True)
class Trace:
    """What happened.

    `invocations`: in order of start. `failure_documents`: what the on-failure destination received, parsed, in order.
    `positions`: for each shard, the last settled sequence number; `None` where nothing is settled. `facts`: all that
    the worker told its observers. `queue`: what became of a queue's messages; empty for a stream.
    """

    invocations: list[Invocation] = field(default_factory=list)
    failure_documents: list[dict[str, Any]] = field(default_factory=list)
    positions: dict[str, str | None] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    queue: QueueTrace = field(default_factory=QueueTrace)


def simulate(
    mapping: EventSourceMapping,
    events: Iterable[SourceEvent],
    *,
    shards: int = 1,
    until: float = 3600.0,
    seed: int = 0,
    keys: Sequence[str] | None = None,
    view_type: str = "NEW_AND_OLD_IMAGES",
    queue: Queue | None = None,
    keep_events: bool = True,
) -> Trace:
    """What Lambda would do: every invocation, failure document and position.

    `events`: what happens to the stream, table or queue, in any order of time. `until`: seconds after the start of the
    mapping at which it ends at the latest; it ends earlier once everything is settled. `seed`: another one gives other
    latencies, backoffs and request ids. `keys`: the attributes of the table's key; `None`: those that a deletion names,
    else the first attribute of the first item. `view_type`: what the table's stream shows of an item. `queue`: the
    queue's own settings; `None`: SQS's defaults. `keep_events`: whether each invocation has a copy of its event; a long
    simulation takes far less memory without. A message that fails for ever is tried until the end. An `async def`
    handler that sleeps takes virtual time; a plain `def` takes none.
    A plain function; may be called inside a running event loop. Raises `MappingError` for a source that cannot be
    simulated, and what is wrong with the events (`ValueError`: a closed shard, a record that Kinesis would not take, a
    setting of another kind of source; `KeyError`: no such shard).
    """
    if not isinstance(mapping, EventSourceMapping):
        raise violated("mapping", type(mapping).__name__, "Member must be one esm.EventSourceMapping")
    ordered = sorted(events, key=lambda event: event.at)
    build = partial(stage_of, mapping, ordered, shards=shards, seed=seed, keys=keys, view_type=view_type, queue=queue)
    scene = _Scene(mapping, ordered, build, until, seed, keep_events=keep_events)
    return run(scene.play(), seed=seed)


class _Scene:
    """One mapping, one stream, and what happens to it."""

    def __init__(
        self,
        mapping: EventSourceMapping,
        events: list[SourceEvent],
        build: Callable[[SimClock], Stage | QueueStage],
        until: float,
        seed: int,
        *,
        keep_events: bool,
    ) -> None:
        self._keep_events = keep_events
        self._mapping = mapping
        self._events = events
        self._build = build
        self._until = until
        self._seed = seed
        self._trace = Trace()
        self._started: dict[tuple[str, int], Invocation] = {}
        self._begun_at = 0

    async def play(self) -> Trace:
        clock = SimClock(asyncio.get_running_loop())  # type: ignore[arg-type]  # `run` gives a SimLoop
        self._stage = stage = self._build(clock)
        lead = -min((event.at for event in self._events), default=0.0)
        self._begun_at = clock.now() + max(0, round(lead * 1000))
        self._clock = clock
        before = [event for event in self._events if event.at < 0]
        await self._feed(stage, before)
        await self._sleep_until(0.0)
        store = MemoryStore()
        worker = Worker(
            [self._mapping], store=store, ports=self._ports(stage, clock), drain_timeout=_DRAIN_S, observers=[self]
        )
        async with worker:
            feed = asyncio.create_task(self._feed(stage, self._events[len(before) :], worker))
            try:
                await self._until_quiet(worker, feed)
            finally:
                feed.cancel()
            worker.stop(now=not self._quiet(worker, feed))
        self._trace.positions = {shard.shard_id: shard.position for shard in _shards(worker)}
        if isinstance(stage, QueueStage):
            self._trace.queue = stage.trace()
        return self._trace

    def _ports(self, stage: Stage | QueueStage, clock: SimClock) -> Ports:
        rng = random.Random(self._seed)  # noqa: S311  # a history to replay, no secret

        async def open_destination(text: str) -> Destination:
            stored = text.startswith(("arn:aws:s3:", "file:"))
            destination = MemoryDestination(payload=stored)
            self._trace.failure_documents = destination.documents
            return destination

        def open_invoker(mapping: EventSourceMapping, on_abandoned: Any) -> Invoker:
            invoker = FunctionInvoker(
                mapping.function, arn=function_arn(mapping), clock=clock, on_abandoned=on_abandoned, sync_inline=True
            )
            return _Watched(invoker, self._started) if self._keep_events else invoker

        async def close() -> None:
            return None

        return Ports(
            clock=clock,
            rng=rng,
            open_source=stage.open_source,
            open_destination=open_destination,
            open_invoker=open_invoker,
            close=close,
            open_queue=stage.open_queue,
        )

    async def _feed(self, stage: Stage | QueueStage, events: list[SourceEvent], worker: Worker | None = None) -> None:
        for event in events:
            await self._sleep_until(event.at)
            if not isinstance(event, PutConcurrency):
                stage.play(event)
            elif worker is None:
                raise ValueError("before the start, a function has the reserved concurrency that esm.Function says")
            else:
                worker.put_function_concurrency(self._mapping.function.name, event.reserved)

    async def _sleep_until(self, at: float) -> None:
        wait_ms = self._begun_at + round(at * 1000) - self._clock.now()
        if wait_ms > 0:
            await asyncio.sleep(wait_ms / 1000)

    async def _until_quiet(self, worker: Worker, feed: asyncio.Task[None]) -> None:
        """Until everything that was put is settled, and for a while after; or until time is over."""
        quiet_since: float | None = None
        while (now := self._seconds(self._clock.now())) < self._until:
            if feed.done():
                feed.result()  # raises what is wrong with an event
            if not self._quiet(worker, feed):
                quiet_since = None
            elif quiet_since is None:
                quiet_since = now
            elif now - quiet_since >= QUIET_S:
                return
            await asyncio.sleep(min(LOOK_S, self._until - now))

    def _quiet(self, worker: Worker, feed: asyncio.Task[None]) -> bool:
        if isinstance(self._stage, QueueStage):
            return feed.done() and self._stage.quiet
        return feed.done() and all(_is_quiet(shard) for shard in _shards(worker))

    def _seconds(self, at: int) -> float:
        return (at - self._begun_at) / 1000

    def notice(self, fact: Fact) -> None:
        """Keeps what happened."""
        self._trace.facts.append(fact)
        if isinstance(fact, InvocationStarted):
            started = self._seconds(fact.at)
            invocation = Invocation({}, fact.request_id, started, started, fact.invoke_count)
            self._started[fact.request_id, fact.invoke_count] = invocation
            self._trace.invocations.append(invocation)
        elif isinstance(fact, InvocationEnded):
            ended = max(key for key in self._started if key[0] == fact.request_id)
            invocation = self._started.pop(ended)
            invocation.ended_at = self._seconds(fact.at)
            invocation.outcome = fact.outcome


class _Watched:
    """An invoker that keeps a copy of each event, as it was before the handler had it."""

    def __init__(self, invoker: FunctionInvoker, started: dict[tuple[str, int], Invocation]) -> None:
        self._invoker = invoker
        self._started = started

    @property
    def function_arn(self) -> str:
        return self._invoker.function_arn

    async def invoke(self, event: Event, request_id: str) -> Answer:
        built = event() if callable(event) else event
        newest = max(key for key in self._started if key[0] == request_id)
        self._started[newest].event = copy.deepcopy(built)
        return await self._invoker.invoke(built, request_id)

    async def close(self, grace: int) -> None:
        await self._invoker.close(grace)


def _shards(worker: Worker) -> list[ShardStatus]:
    """Those of the one mapping; none when it is not enabled."""
    return [shard for mapping in worker.status().mappings for shard in mapping.shards]


def _is_quiet(shard: ShardStatus) -> bool:
    if shard.state in ("ended", "halted", "lost"):
        return True
    at_rest = shard.window_ends_at is None and all(lane.state == "idle" for lane in shard.lanes)
    return shard.state == "reading" and shard.behind_ms == 0 and shard.records_held == 0 and at_rest
