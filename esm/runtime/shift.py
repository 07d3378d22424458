"""One stay of a worker between entering and leaving: started together, stopped in phases.

    new --start--> running --stop--> stopping --all drained, or out of time--> over

Stopping: no more reads and invocations begin; what is out has `drain_timeout` to end and is settled; the rest is cut
off unsettled; positions are stored and leases released. Nothing is acknowledged that was not done.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import anyio

from esm.errors import EsmError
from esm.mapping.settings import EventSourceMapping
from esm.runtime.budget import Budget
from esm.runtime.building import Builder
from esm.runtime.concurrency import Concurrency
from esm.runtime.home import Home
from esm.runtime.life import CLOSE_S
from esm.runtime.mappings import Mappings
from esm.runtime.ports import Ports
from esm.runtime.real import worker_id
from esm.runtime.resources import Resources
from esm.runtime.rounds import Rounds
from esm.runtime.turns import Turns
from esm.runtime.watch import SilenceWatch
from esm.runtime.watchdog import Watchdog
from esm.stores.store import LeaseStore
from esm.telemetry import facts
from esm.telemetry.observer import Observers

__all__ = ["Shift"]

LAST_S = 0.2
"""What each part has to close, however long those before it took: a stop is over 2 s after its drain (chosen)."""


class Shift:
    """`settings`: the worker's mappings, which it changes. `clean`: all that was out ended by itself."""

    def __init__(
        self,
        settings: dict[str, EventSourceMapping],
        *,
        ports: Ports,
        store: LeaseStore,
        observers: Observers,
        concurrency: Concurrency,
        resources: Resources,
        drain_timeout: float,
        silent_after: float,
        restart_silent_after: float | None,
        blocked_after: float | None,
    ) -> None:
        self.id, self.home = worker_id(ports.rng), Home()
        self.budget = Budget(resources.bytes_in_flight)
        self.clean = True
        self._watchdog = Watchdog(observers, ports.clock, after=blocked_after)
        self._turns = Turns()
        builder = Builder(
            ports=ports,
            store=store,
            observers=observers,
            concurrency=concurrency,
            budget=self.budget,
            rounds=Rounds(ports.clock),
            turns=self._turns,
            worker_id=self.id,
            drain_timeout=drain_timeout,
            home=self.home,
            watchdog=self._watchdog,
        )
        self.mappings = Mappings(
            settings,
            build=builder.build,
            ports=ports,
            store=store,
            observers=observers,
            concurrency=concurrency,
            drain_timeout=drain_timeout,
            exhausted=self.stop,
        )
        self._watch = SilenceWatch(self.mappings.lives, ports.clock, observers, silent_after, restart_silent_after)
        self._ports, self._store, self._observers, self._drain_timeout = ports, store, observers, drain_timeout
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._stop_now = False
        self._scope: anyio.CancelScope | None = None
        self._close_by = math.inf  # in the loop's time

    @property
    def stopping(self) -> bool:
        """Whether it was told to end."""
        return self._stopping.is_set()

    @property
    def over(self) -> bool:
        """Whether nothing of it runs."""
        return self._task is None or self._task.done()

    async def start(self) -> None:
        """Opens the store, builds and asks everything, then runs it. Raises what is wrong, having closed all again."""
        await self._store.open()
        try:
            await self.mappings.start()
        except BaseException:
            self.mappings.give_up()
            await self._close()
            raise
        self._task = asyncio.create_task(self._run(), name=f"esm worker {self.id}")
        self._watchdog.start()

    def stop(self, *, now: bool = False) -> None:
        """Begins to stop; `now`: what is out is cut off, not waited for.

        A function that never waits and calls this is the last one of its driver's turn.
        """
        self._stopping.set()
        self._turns.cut()
        if now:
            self._stop_now = True
            if self._scope is not None:
                self._scope.cancel()

    async def join(self) -> None:
        """Returns when all has ended. Raises what ended it, if that was a bug."""
        if self._task is None:
            raise EsmError("a Worker is joined inside its `async with`")
        await asyncio.shield(self._task)

    async def leave(self) -> None:
        """Stops and waits. A cancellation while it drains makes it stop now."""
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

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            async with anyio.create_task_group() as tasks:
                self.mappings.begin(tasks)
                tasks.start_soon(self._watch.run)
                await self._stopping.wait()
                await self._drain()
                tasks.cancel_scope.cancel()
        finally:
            try:
                await self._close()
            finally:
                self._watchdog.stop()
                self._observers.notice(facts.WorkerStopped(at=self._ports.clock.now(), clean=self.clean))

    async def _drain(self) -> None:
        drain_ms = round(self._drain_timeout * 1000)
        self._observers.notice(facts.WorkerStopping(at=self._ports.clock.now(), drain_ms=drain_ms))
        self.mappings.stop()
        at_rest = self.mappings.at_rest
        with anyio.move_on_after(self._drain_timeout) as self._scope:
            if self._stop_now:
                self._scope.cancel()
            await self.mappings.wait()
        self.clean = at_rest or not self._scope.cancelled_caught
        self._close_by = anyio.current_time() + CLOSE_S

    async def _close(self) -> None:
        """Under a bounded shield: also when everything is being cancelled, leases are released if that goes quickly.

        What one of them raises keeps none of the others open.
        """
        by = min(self._close_by, anyio.current_time() + CLOSE_S)
        with anyio.CancelScope(shield=True):
            async with AsyncExitStack() as last:
                for close in (self._store.close, self._ports.close, self.mappings.close):  # the last of them first
                    last.push_async_callback(_in_time, close, by)


async def _in_time(close: Callable[[], Awaitable[None]], by: float) -> None:
    """Closes it, or leaves it to itself: another process may hold the store's file for half a minute."""
    with anyio.CancelScope(deadline=max(by, anyio.current_time() + LAST_S)):
        await close()
