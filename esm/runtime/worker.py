"""All mappings of one process: started together, stopped in phases.

    new --enter--> running --stop--> stopping --all drained, or out of time--> stopped

Stopping: no more reads and invocations begin; what is out has `drain_timeout` to end and is settled; the rest is cut
off unsettled; positions are stored and leases released. Nothing is acknowledged that was not done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

import anyio

from esm.errors import EsmError
from esm.mapping.settings import EventSourceMapping
from esm.runtime.filters import filter_criteria
from esm.runtime.mapping import MappingRunner
from esm.runtime.offered import check_offered
from esm.runtime.perform import MappingContext
from esm.runtime.ports import Ports
from esm.runtime.queue import QueueRunner
from esm.runtime.real import real_ports, worker_id
from esm.runtime.recorded import recorded
from esm.runtime.status import WorkerStatus
from esm.stores.open import open_store
from esm.stores.store import LeaseStore
from esm.telemetry import facts
from esm.telemetry.observer import Observer, Observers

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Worker"]

CLOSE_S = 1.5
"""How long giving up leases may take after the drain, and closing connections, and closing the store (chosen)."""


class Worker:
    """Runs event source mappings in this process, inside any asyncio program.

    `store`: `"memory:"`, `"sqlite:///path"`, or a `LeaseStore`. `endpoint_url`, `region_name`, `session`: for
    aiobotocore; `None`: as the environment says. `drain_timeout`: seconds that running invocations get when the
    worker stops.
    `observers`: are told every fact. `ports`: the world outside, for simulations; `None`: the real one.

    An async context manager: entering checks every source and begins to read; leaving stops. Installs no signal
    handler. Entering raises `SourceError` when a source cannot be read, `StoreError`, `HandlerNotFoundError` or
    `MappingError`.
    """

    def __init__(
        self,
        mappings: Iterable[EventSourceMapping],
        *,
        store: str | LeaseStore = "sqlite:///esm.db",
        endpoint_url: str | None = None,
        region_name: str | None = None,
        session: object = None,
        drain_timeout: float = 25.0,
        observers: Sequence[Observer] = (),
        ports: Ports | None = None,
    ) -> None:
        self.mappings = tuple(mappings)
        self.drain_timeout = drain_timeout
        self._store = open_store(store)
        self._observers = Observers(observers)
        self._ports = ports
        self._open_ports = partial(real_ports, endpoint_url=endpoint_url, region_name=region_name, session=session)
        self._runners: list[MappingRunner | QueueRunner] = []
        self._id = ""
        self._entered = False
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._stop_now = False
        self._scope: anyio.CancelScope | None = None
        self.clean = True

    async def __aenter__(self) -> Self:
        """Checks every source, then begins to read."""
        if self._entered:
            raise EsmError("a Worker is entered once; make another")
        self._entered = True
        ports = self._ports or self._open_ports()
        check_offered(self.mappings, ports.clock.now())
        self._ports = ports
        self._id = worker_id(ports.rng)
        await self._store.open()
        try:
            for mapping in self.mappings:
                if mapping.enabled:
                    self._runners.append(await self._runner(*recorded(mapping, ports)))
            for runner in self._runners:
                await runner.start()
        except BaseException:
            await self._close(ports)
            raise
        self._task = asyncio.create_task(self._run(ports), name=f"esm worker {self._id}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops: drains, stores, releases. A cancellation while it drains makes it stop now."""
        self.stop()
        task = self._task
        while task is not None and not task.done():
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                if task.done():
                    break
                self.stop(now=True)
                with anyio.CancelScope(shield=True):  # a scope of anyio's cancels again and again; a task's end, once
                    await asyncio.wait([task])
                raise
        if task is not None and not task.cancelled() and (failure := task.exception()) is not None:
            raise failure

    async def join(self) -> None:
        """Returns when every source is finite and exhausted, or when the worker was stopped and all has ended.

        Raises what ended it, if that was a bug.
        """
        if self._task is None:
            raise EsmError("a Worker is joined inside its `async with`")
        await asyncio.shield(self._task)

    def stop(self, *, now: bool = False) -> None:
        """Begins to stop; `join` returns when it has. `now`: what is out is cut off, not waited for."""
        self._stopping.set()
        if now:
            self._stop_now = True
            if self._scope is not None:
                self._scope.cancel()

    def status(self) -> WorkerStatus:
        """What it looks like now: per mapping, shard and lane."""
        return WorkerStatus(
            id=self._id,
            stopping=self._stopping.is_set(),
            mappings=tuple(runner.status() for runner in self._runners),
        )

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _runner(self, mapping: EventSourceMapping, ports: Ports) -> MappingRunner | QueueRunner:
        def on_abandoned(request_id: str, abandoned: int) -> None:
            now = ports.clock.now()
            self._observers.notice(
                facts.HandlerAbandoned(at=now, mapping=mapping.uuid, request_id=request_id, abandoned=abandoned)
            )

        destination = None if mapping.on_failure is None else await ports.open_destination(mapping.on_failure)
        context = MappingContext(
            mapping=mapping,
            ports=ports,
            store=self._store,
            invoker=ports.open_invoker(mapping, on_abandoned),
            destination=destination,
            criteria=filter_criteria(mapping),
            observers=self._observers,
        )
        return QueueRunner(context) if mapping.source_kind == "sqs" else MappingRunner(context, self._id)

    async def _run(self, ports: Ports) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                for runner in self._runners:
                    tasks.start_soon(self._run_one, runner)
                await self._stopping.wait()
                await self._drain(ports)
                tasks.cancel_scope.cancel()
        finally:
            try:
                await self._close(ports)
            finally:
                self._observers.notice(facts.WorkerStopped(at=ports.clock.now(), clean=self.clean))

    async def _run_one(self, runner: MappingRunner | QueueRunner) -> None:
        await runner.run()
        if all(each.exhausted for each in self._runners):
            self.stop()

    async def _drain(self, ports: Ports) -> None:
        self._observers.notice(facts.WorkerStopping(at=ports.clock.now(), drain_ms=round(self.drain_timeout * 1000)))
        for runner in self._runners:
            runner.stop()
        with anyio.move_on_after(self.drain_timeout) as self._scope:
            if self._stop_now:
                self._scope.cancel()
            for runner in self._runners:
                await runner.stopped()
        self.clean = not self._scope.cancelled_caught

    async def _close(self, ports: Ports) -> None:
        """Under a bounded shield: also when everything is being cancelled, leases are released if that goes quickly.

        What one of them raises keeps none of the others open.
        """
        with anyio.CancelScope(shield=True):
            async with AsyncExitStack() as last:
                last.push_async_callback(_in_time, self._store.close)
                last.push_async_callback(_in_time, ports.close)
                with anyio.move_on_after(CLOSE_S):
                    async with AsyncExitStack() as bounded:
                        for runner in self._runners:
                            bounded.push_async_callback(runner.close)


async def _in_time(close: Callable[[], Awaitable[None]]) -> None:
    """Closes it, or leaves it to itself: another process may hold the store's file for half a minute."""
    with anyio.move_on_after(CLOSE_S):
        await close()
