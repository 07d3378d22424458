"""The mappings of a running worker, and what can be done to them: Lambda's create, update, delete, get and list.

All is checked before anything is touched: a mapping is taken, or changed, as a whole or not at all. What is begun then
goes on to its end, whoever waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import anyio
from anyio.abc import TaskGroup

from esm.errors import EsmError, StoreError
from esm.mapping.settings import EventSourceMapping
from esm.mapping.states import SETTLED, Action, State, Transition, begin, not_found
from esm.runtime.changes import changed, replaced
from esm.runtime.concurrency import Concurrency
from esm.runtime.life import CLOSE_S, Build, Life, Runner
from esm.runtime.offered import check_offered
from esm.runtime.ports import Ports
from esm.runtime.status import MappingStatus
from esm.stores.store import LeaseStore
from esm.telemetry.observer import Observers

__all__ = ["Mappings"]


_NOT_RUNNING = "mappings are changed inside the worker's `async with`, before it stops"


class Mappings:
    """Those of one stay of a worker. `settings`: by uuid; what is created, changed and deleted here is so there too.

    `exhausted`: is called when none goes on any more, as all their sources are at their end.
    """

    def __init__(
        self,
        settings: dict[str, EventSourceMapping],
        *,
        build: Build,
        ports: Ports,
        store: LeaseStore,
        observers: Observers,
        concurrency: Concurrency,
        drain_timeout: float,
        exhausted: Callable[[], None],
    ) -> None:
        self.lives: dict[str, Life] = {}
        self._settings = settings
        self._make, self._ports, self._store, self._observers = build, ports, store, observers
        self._concurrency = concurrency
        self._drain_timeout = drain_timeout
        self._exhausted = exhausted
        self._pending: set[asyncio.Future[None]] = set()
        self._begun: asyncio.Future[TaskGroup] = asyncio.get_running_loop().create_future()
        self._stopping = False

    # -- all together ----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Builds all that are enabled, then asks their sources. Raises what is wrong with one of them."""
        check_offered(list(self._settings.values()), self._ports.clock.now())
        self._concurrency.follow(self._settings.values())
        for mapping in self._settings.values():
            life = self._life(mapping)
            if mapping.enabled:
                life.runner = await self._build(mapping)
                life.state = State.CREATING  # told when it is Enabled: what is refused before that is one line
            else:
                life.state = State.DISABLED
        for life in self.lives.values():
            if life.runner is not None:
                await life.runner.start()
                life.enter(State.ENABLED)

    def begin(self, tasks: TaskGroup) -> None:
        """Runs those that were started."""
        self._begun.set_result(tasks)
        self._limit()
        for life in list(self.lives.values()):
            if life.runner is not None:
                life.begin(life.runner, tasks, self._ended)

    def give_up(self) -> None:
        """It did not start: whoever waits for its begin is refused."""
        self._stopping = True
        if not self._begun.done():
            self._begun.set_exception(EsmError(_NOT_RUNNING))
            self._begun.exception()  # nobody may have waited

    def stop(self) -> None:
        """Reads nothing more, begins no invocation, takes no changes."""
        self._stopping = True
        for life in self.lives.values():
            if not life.over and life.state is not State.DELETING:
                life.enter(State.DISABLING)
            life.stop()

    async def wait(self) -> None:
        """Returns when nothing runs any more, and nothing is being done to any of them."""
        for life in list(self.lives.values()):
            await life.wait()
        while self._pending:
            await asyncio.wait(self._pending)

    @property
    def at_rest(self) -> bool:
        """Whether nothing is out."""
        return all(life.at_rest for life in self.lives.values())

    async def close(self) -> None:
        """Gives up what all of them hold, whatever one of them raises."""
        async with AsyncExitStack() as closing:
            for life in self.lives.values():
                closing.push_async_callback(life.close)

    def status(self, uuid: str) -> MappingStatus:
        """One of them. Raises `MappingError`."""
        life = self._at(uuid)
        return life.status(self._concurrency.reserved(life.mapping.function.name))

    def put_concurrency(self, name: str, reserved: int | None) -> None:
        """Another limit of a function; `None`: what its mappings say. Raises `MappingError`."""
        self._concurrency.put(name, reserved, self._settings.values())
        self._limit()

    # -- one by one ------------------------------------------------------------------------------------------------

    async def create(self, mapping: EventSourceMapping) -> MappingStatus:
        """Takes one more. Raises `MappingError`, `SourceError`, `StoreError`, `HandlerNotFoundError`."""
        tasks = await self._running()
        self._check(mapping)
        action = Action.CREATE if mapping.enabled else Action.CREATE_DISABLED
        transition = begin(None, action, mapping.source_kind)
        life = self._life(mapping)
        life.busy = True
        runner = None
        try:
            runner = await self._build(mapping)
            life.enter(transition.at_once)
            if mapping.enabled:
                await runner.start()
            await self._running()
        except BaseException:
            del self.lives[mapping.uuid]
            if runner is not None:
                await _closed(runner)
            raise
        # Nothing is awaited from here on: a cancellation would leave it half made.
        self._settings[mapping.uuid] = mapping
        life.busy = False
        if mapping.enabled:
            life.begin(runner, tasks, self._ended)
        else:
            tasks.start_soon(_closed, runner)
        self._limit()
        self._settle(life, transition)
        return self.status(mapping.uuid)

    async def update(self, uuid: str, settings: dict[str, Any], *, wait: bool) -> MappingStatus:
        """Changes some settings of one. Raises as `create`, having touched nothing."""
        life = self._at(uuid)
        return await self._change(life, changed(life.mapping, settings), settings.keys() == {"enabled"}, wait=wait)

    async def replace(self, mapping: EventSourceMapping, *, wait: bool) -> MappingStatus:
        """Changes all settings of the one with this uuid. Raises as `create`, having touched nothing."""
        life = self._at(mapping.uuid)
        only = replaced(life.mapping, mapping)
        return await self._change(life, mapping, only, wait=wait)

    async def delete(self, uuid: str, *, keep_positions: bool, wait: bool) -> MappingStatus:
        """Ends one for good; its positions go with it, unless they are kept. Raises `MappingError`."""
        life = self._at(uuid)
        tasks = await self._running()
        transition = self._begin(life, Action.DELETE)

        async def drop() -> None:
            await life.end(self._drain_timeout)
            if not keep_positions:
                try:
                    await self._store.forget(uuid)
                except StoreError:
                    self._settings[uuid] = life.mapping = changed(life.mapping, {"enabled": False})
                    life.enter(State.DISABLED)
                    raise
            self._settings.pop(uuid, None)
            self.lives.pop(uuid, None)
            self._limit()

        life.busy = True
        life.enter(transition.at_once)
        status = self.status(uuid)
        await self._do(tasks, life, drop, wait=wait)
        return status

    async def _change(self, life: Life, mapping: EventSourceMapping, switched: bool, *, wait: bool) -> MappingStatus:
        uuid = mapping.uuid
        action = (Action.ENABLE if mapping.enabled else Action.DISABLE) if switched else Action.UPDATE
        tasks = await self._running()
        transition = self._begin(life, action)
        if transition.then in SETTLED:
            transition = transition._replace(then=State.ENABLED if mapping.enabled else State.DISABLED)
        self._check(mapping, instead_of=life)
        life.busy = True
        try:
            runner = await self._build(mapping)
            await self._running()
        except BaseException:
            life.busy = False
            raise

        async def carry_out() -> None:
            try:
                await life.end(self._drain_timeout)
                self._settings[uuid] = life.mapping = mapping
                life.changed_at = self._ports.clock.now()
                if mapping.enabled and not self._stopping:
                    life.begin(runner, tasks, self._ended)
            finally:
                if life.runner is not runner:
                    await _closed(runner)
            self._limit()
            self._settle(life, transition)

        life.enter(transition.at_once)
        status = self.status(uuid)
        await self._do(tasks, life, carry_out, wait=wait)
        return self.status(uuid) if wait else status

    # -- inside ----------------------------------------------------------------------------------------------------

    async def _build(self, mapping: EventSourceMapping) -> Runner:
        runner = await self._make(mapping)
        runner.limit_concurrency(self._concurrency.reserved(mapping.function.name))
        return runner

    def _life(self, mapping: EventSourceMapping) -> Life:
        life = self.lives[mapping.uuid] = Life(mapping, self._build, self._ports, self._observers)
        return life

    def _at(self, uuid: str) -> Life:
        life = self.lives.get(uuid)
        if life is None:
            raise not_found()
        return life

    async def _running(self) -> TaskGroup:
        tasks = await asyncio.shield(self._begun)
        if self._stopping:
            raise EsmError(_NOT_RUNNING)
        return tasks

    def _begin(self, life: Life, action: Action) -> Transition:
        state = State.UPDATING if life.busy and life.state in SETTLED else life.state
        return begin(state, action, life.mapping.source_kind)

    def _check(self, mapping: EventSourceMapping, instead_of: Life | None = None) -> None:
        others = [life.mapping for life in self.lives.values() if life is not instead_of]
        check_offered([*others, mapping], self._ports.clock.now())

    def _settle(self, life: Life, transition: Transition) -> None:
        stopped = self._stopping and transition.then is State.ENABLED
        life.enter(State.DISABLED if stopped else transition.then or State.DISABLED)

    async def _do(self, tasks: TaskGroup, life: Life, work: Callable[[], Awaitable[None]], *, wait: bool) -> None:
        """Has it done by a task of the worker's: it goes on when whoever asked for it does not wait any longer."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending.add(done)
        done.add_done_callback(self._pending.discard)

        async def carry_out() -> None:
            try:
                await work()
            except Exception as error:  # noqa: BLE001  # whatever it is, it is of this mapping, and ends no other
                done.set_exception(error)
                done.exception()  # somebody may not wait for it
            except asyncio.CancelledError:
                done.set_exception(EsmError("the worker was stopped before it was done"))
                done.exception()
                raise
            else:
                done.set_result(None)
            finally:
                life.busy = False

        tasks.start_soon(carry_out)
        if wait:
            await asyncio.shield(done)

    def _limit(self) -> None:
        """Tells every queue how many calls its function may have."""
        self._concurrency.follow(self._settings.values())
        for life in self.lives.values():
            if life.runner is not None:
                life.runner.limit_concurrency(self._concurrency.reserved(life.mapping.function.name))

    def _ended(self) -> None:
        """One has ended. When all have, by themselves, the worker has nothing left to do."""
        for life in self.lives.values():
            by_itself = life.state is State.ENABLED and life.exhausted
            if life.over and not life.busy and (by_itself or life.state is State.DISABLING):
                life.enter(State.DISABLED)
        enabled = [life for life in self.lives.values() if life.mapping.enabled]
        if enabled and all(life.over and life.exhausted for life in enabled):
            self._exhausted()


async def _closed(runner: Runner) -> None:
    """Gives up one that was never run: whatever it raises, nothing of it is lost."""
    with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_S), suppress(Exception):
        await runner.close()
