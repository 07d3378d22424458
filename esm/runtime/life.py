"""One mapping in a running worker: its state, and what runs it.

    none --begin--> running --stop, or its source is exhausted--> none
                       |
                       +--a fault of ours--> failed --after a while--> running

The states that a user sees are Lambda's (`esm.mapping.states`): whoever does something to a mapping sets them. A fault
of one mapping ends no other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from esm.clock import Millis
from esm.errors import EsmError
from esm.machine.pacing import backoff
from esm.mapping.settings import EventSourceMapping
from esm.mapping.states import State, reason
from esm.runtime.ports import Ports
from esm.runtime.status import MappingStatus, ShardStatus
from esm.telemetry import facts
from esm.telemetry.observer import Observers

__all__ = ["CLOSE_S", "Life", "Runner"]

CLOSE_S = 1.5
"""How long giving up leases may take after a drain (chosen)."""


class Runner(Protocol):
    """What runs a mapping: `MappingRunner` for a stream, `QueueRunner` for a queue.

    `last_error`: of all of it. `under_way`: it has got going once, so what ended the one before it has healed.
    """

    last_error: str | None
    under_way: bool

    @property
    def exhausted(self) -> bool:
        """Whether it has ended by itself, as its source is finite."""
        ...

    @property
    def at_rest(self) -> bool:
        """Whether nothing is out and nothing left to do."""
        ...

    @property
    def last_processing_result(self) -> str:
        """Lambda's `LastProcessingResult`."""
        ...

    async def start(self) -> None:
        """Asks the source, before it is run. Raises `SourceError`, `MappingError`, `StoreError`."""
        ...

    async def run(self) -> None:
        """Runs it until it is stopped or exhausted. Raises nothing but bugs."""
        ...

    def stop(self) -> None:
        """Reads nothing more, begins no invocation; `run` returns when what is out has ended."""
        ...

    async def close(self) -> None:
        """Gives up what it holds; after `run`."""
        ...

    def limit_concurrency(self, reserved: int | None) -> None:
        """The function may have so many calls at once, of all its mappings."""
        ...

    def restart(self, shard_id: str) -> None:
        """Begins a shard anew, and no other."""
        ...

    def shards(self) -> tuple[ShardStatus, ...]:
        """Each shard as it is now."""
        ...

    def each_shard(self) -> Iterator[ShardStatus]:
        """The same, one by one: each as it is when it is its turn."""
        ...


Build = Callable[[EventSourceMapping], Awaitable[Runner]]
"""Makes what runs a mapping, and begins nothing. Raises `MappingError`, `HandlerNotFoundError`, `DestinationError`."""


class Life:
    """One mapping. `busy`: something is being done to it. `over`: it does not run; `exhausted`: it ended by itself."""

    def __init__(self, mapping: EventSourceMapping, build: Build, ports: Ports, observers: Observers) -> None:
        self.mapping = mapping
        self.state: State | None = None
        self.runner: Runner | None = None
        self.busy = False
        self.exhausted = False
        self.changed_at: Millis = ports.clock.now()
        self._build, self._ports, self._observers = build, ports, observers
        self._error: str | None = None
        self._left: tuple[tuple[ShardStatus, ...], str] = ((), _never_ran(mapping))
        self._over = anyio.Event()
        self._over.set()
        self._stopping = anyio.Event()
        self._scope = anyio.CancelScope()

    @property
    def over(self) -> bool:
        """Whether nothing runs."""
        return self._over.is_set()

    @property
    def at_rest(self) -> bool:
        """Whether nothing is out."""
        return self.over or self.runner is None or self.runner.at_rest

    def enter(self, state: State) -> None:
        """Its state from now on."""
        self.state = state
        mapping = self.mapping
        self._notice(
            facts.MappingStateChanged(
                at=self._now,
                mapping=mapping.uuid,
                state=state,
                reason=reason(mapping.source_kind),
                function=mapping.function.name,
                event_source_arn=mapping.event_source_arn,
            )
        )

    def begin(self, runner: Runner, tasks: TaskGroup, ended: Callable[[], None]) -> None:
        """Runs it from now on, as one of `tasks`; `ended` is called when it has ended, whatever ended it."""
        self.runner, self.exhausted, self._error = runner, False, None
        self._over, self._stopping, self._scope = anyio.Event(), anyio.Event(), anyio.CancelScope()
        tasks.start_soon(self._run, ended)

    def stop(self) -> None:
        """Begins to end; `wait` returns when it has."""
        self._stopping.set()
        if self.runner is not None:
            self.runner.stop()

    async def wait(self) -> None:
        """Returns when nothing runs any more."""
        await self._over.wait()

    async def end(self, drain_s: float) -> None:
        """Stops; what is out has so many seconds, and is cut off then. Positions are stored, leases given up."""
        self.stop()
        with anyio.move_on_after(drain_s):
            await self.wait()
        self._scope.cancel()
        await self.wait()
        await self._close_if_possible()

    async def close(self) -> None:
        """Gives up what its runner holds; what it looked like at the end is kept."""
        runner, self.runner = self.runner, None
        if runner is not None:
            self._left = runner.shards(), runner.last_processing_result
            try:
                await runner.close()
            finally:
                self._error = self._error_of(runner)  # also why a lease was not given back

    def status(self, reserved: int | None) -> MappingStatus:
        """What it looks like now."""
        runner, mapping = self.runner, self.mapping
        shards, result = self._left if runner is None else (runner.shards(), runner.last_processing_result)
        return MappingStatus(
            uuid=mapping.uuid,
            event_source_arn=mapping.event_source_arn,
            function_name=mapping.function.name,
            state="" if self.state is None else self.state.value,
            state_transition_reason=reason(mapping.source_kind),
            last_processing_result=result,
            shards=shards,
            last_error=self._error if runner is None else self._error_of(runner),
            last_modified=self.changed_at,
            reserved_concurrency=reserved,
        )

    # -- inside ----------------------------------------------------------------------------------------------------

    @property
    def _now(self) -> Millis:
        return self._ports.clock.now()

    async def _run(self, ended: Callable[[], None]) -> None:
        failures = 0
        try:
            with self._scope:
                while self.runner is not None:
                    try:
                        await self.runner.run()
                        break
                    except Exception as error:  # noqa: BLE001  # whatever it is, it ends this mapping for now, and no other
                        failures += 1
                        await self._begin_anew(error, failures)
            self.exhausted = self.runner is not None and self.runner.exhausted
        finally:
            self._over.set()
            ended()

    async def _begin_anew(self, error: Exception, failures: int) -> None:
        """After a while, with a runner made anew; none when it is stopped meanwhile."""
        await self._close_if_possible()
        while True:
            self._error = text = str(error) if isinstance(error, EsmError) else repr(error)
            retry_at = self._now + backoff(failures, self._ports.rng.random)
            self._notice(facts.MappingFailed(at=self._now, mapping=self.mapping.uuid, error=text, retry_at=retry_at))
            with anyio.move_on_after((retry_at - self._now) / 1000):
                await self._stopping.wait()
            if self._stopping.is_set():
                return
            try:
                self.runner = await self._build(self.mapping)
            except Exception as again:  # noqa: BLE001  # as the fault before it, it is this mapping's alone
                error, failures = again, failures + 1
            else:
                if self._stopping.is_set():  # while it was built
                    self.runner.stop()
                return

    async def _close_if_possible(self) -> None:
        """As far as that goes, and in time: what hangs, or is at fault, holds up nothing that is to follow."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(CLOSE_S):
            try:
                await self.close()
            except Exception as error:  # noqa: BLE001  # the function's, the destination's: it is told, and no more
                self._error = repr(error)

    def _error_of(self, runner: Runner) -> str | None:
        """Its own; until it is under way, why the one before it ended."""
        return runner.last_error or (None if runner.under_way else self._error)

    def _notice(self, fact: facts.Fact) -> None:
        self._observers.notice(fact)


def _never_ran(mapping: EventSourceMapping) -> str:
    return "" if mapping.source_kind == "sqs" else "No records processed"
