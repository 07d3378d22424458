"""A worker: event source mappings in this process, for as long as one stays inside it.

    async with esm.Worker([mapping]) as worker:
        await worker.join()

What happens between entering and leaving stands in `shift`; what can be done to mappings meanwhile in `mappings`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Unpack, overload

from esm.aws.session import session_of
from esm.errors import EsmError
from esm.mapping.constraints import duration, flag, text
from esm.mapping.settings import EventSourceMapping, check_distinct, mappings_of
from esm.mapping.states import not_found
from esm.runtime.changes import Changes
from esm.runtime.concurrency import Concurrency
from esm.runtime.ports import Ports
from esm.runtime.real import real_ports
from esm.runtime.resources import Resources, resources_of
from esm.runtime.shift import Shift
from esm.runtime.status import MappingStatus, WorkerStatus
from esm.runtime.watchdog import BLOCKED_AFTER_S
from esm.stores.open import open_store
from esm.stores.store import LeaseStore
from esm.telemetry.observer import Observer, Observers, observers_of

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Worker"]

SILENT_AFTER_S = 300.0
"""After how long a shard from which nothing comes, and nothing explains it, is said to be silent (chosen)."""

_TEXT_LENGTH = 2048
"""Of an endpoint or a region, in characters (chosen)."""


class Worker:
    """Runs event source mappings in this process, inside any asyncio program.

    `store`: `"memory:"`, `"sqlite:///path"`, or a `LeaseStore`. `endpoint_url`, `region_name`, `session`: for
    aiobotocore; `None`: as the environment says. `drain_timeout`: seconds that running invocations get when the
    worker stops, or their mapping is updated, disabled or deleted.
    `observers`: are told every fact. `ports`: the world outside, for simulations; `None`: the real one. `resources`:
    what it may take of the machine. `silent_after`: seconds after which a shard from which nothing comes is a fact
    (`ShardSilent`); `restart_silent_after`: seconds after which it is begun anew, `None`: never. `blocked_after`:
    seconds after which an event loop that does not turn is a fact (`LoopBlocked`), told by a thread; `None`: never, as
    with `ports`. `fast`: whether reads, receives and deletes may bypass the SDK, which costs up to ten times as
    much; they go through it anyway where something unusual is configured (`CallsThroughSdk` says what).

    An async context manager: entering checks every source and begins to read; leaving stops. It may be entered again
    when it was left, with the mappings it had then. Installs no signal handler, and leaves no thread and no task.
    Making one raises `MappingError` for a value that one of these cannot have, and `StoreError` for what is no store.
    Entering raises `SourceError` when a source cannot be read, `StoreError`, `HandlerNotFoundError` or `MappingError`,
    and `EsmError` while it runs already.
    """

    def __init__(
        self,
        mappings: Iterable[EventSourceMapping] = (),
        *,
        store: str | LeaseStore = "sqlite:///esm.db",
        endpoint_url: str | None = None,
        region_name: str | None = None,
        session: object = None,
        drain_timeout: float = 25.0,
        observers: Sequence[Observer] = (),
        ports: Ports | None = None,
        resources: Resources | None = None,
        silent_after: float = SILENT_AFTER_S,
        restart_silent_after: float | None = None,
        blocked_after: float | None = BLOCKED_AFTER_S,
        fast: bool = True,
    ) -> None:
        self._given = mappings_of(mappings)
        self._settings: dict[str, EventSourceMapping] | None = None
        self.drain_timeout = duration("drain_timeout", drain_timeout, zero=True)
        self._silent_after = duration("silent_after", silent_after)
        self._restart_after = (
            None if restart_silent_after is None else duration("restart_silent_after", restart_silent_after)
        )
        blocked_after = None if ports is not None else blocked_after
        self._blocked_after = None if blocked_after is None else duration("blocked_after", blocked_after)
        self._resources = resources_of(resources)
        self._store = open_store(store)
        self._observers = observers_of(observers)
        self._concurrency = Concurrency(self._resources)
        self._ports = ports
        self._open_ports = partial(
            real_ports,
            endpoint_url=_optional_text("endpoint_url", endpoint_url),
            region_name=_optional_text("region_name", region_name),
            session=session_of(session),
            connections=self._resources.connections,
            processes=self._resources.processes,
            fast=flag("fast", fast),
        )
        self._shift: Shift | None = None
        self._starting = False

    async def __aenter__(self) -> Self:
        """Checks every source, then begins to read."""
        if self._starting or (self._shift is not None and not self._shift.over):
            raise EsmError("this Worker runs already; leave it before it is entered again, or make another")
        if self._settings is None:
            check_distinct(self._given)
            self._settings = {mapping.uuid: mapping for mapping in self._given}
        self._starting = True
        try:
            observers = Observers(self._observers)
            self._shift = Shift(
                self._settings,
                ports=self._ports or self._open_ports(observers=observers),
                store=self._store,
                observers=observers,
                concurrency=self._concurrency,
                resources=self._resources,
                drain_timeout=self.drain_timeout,
                silent_after=self._silent_after,
                restart_silent_after=self._restart_after,
                blocked_after=self._blocked_after,
            )
            await self._shift.start()
        finally:
            self._starting = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops: drains, stores, releases. A cancellation while it drains makes it stop now."""
        await self._running().leave()

    async def join(self) -> None:
        """Returns when every source is finite and exhausted, or when the worker was stopped and all has ended.

        Raises what ended it, if that was a bug.
        """
        if self._shift is None:
            raise EsmError("a Worker is joined inside its `async with`")
        await self._running().join()

    def stop(self, *, now: bool = False) -> None:
        """Begins to stop; `join` returns when it has. `now`: what is out is cut off, not waited for."""
        if self._shift is not None:
            self._shift.home.check()
            self._shift.stop(now=now)

    @property
    def running(self) -> bool:
        """Whether it was entered and has not ended."""
        return self._shift is not None and not self._shift.over

    @property
    def clean(self) -> bool:
        """Whether everything that was out ended by itself, the last time it stopped."""
        return self._shift is None or self._shift.clean

    def status(self) -> WorkerStatus:
        """What it looks like now: per mapping, shard and lane; after the end, as it was left."""
        shift = self._shift
        if shift is None:
            return WorkerStatus(id="", stopping=False)
        shift.home.check()
        return WorkerStatus(
            id=shift.id,
            stopping=shift.stopping,
            mappings=self.list(),
            bytes_in_flight=shift.budget.used,
            bytes_in_flight_max=shift.budget.limit,
        )

    # -- mappings --------------------------------------------------------------------------------------------------

    @property
    def mappings(self) -> tuple[EventSourceMapping, ...]:
        """The settings of all mappings as they are now."""
        return self._given if self._settings is None else tuple(self._settings.values())

    def get(self, uuid: str) -> MappingStatus:
        """One mapping as it is now. Raises `MappingError` (`ResourceNotFoundException`)."""
        shift = self._shift
        if shift is None:
            raise not_found()
        shift.home.check()
        return shift.mappings.status(uuid)

    def list(
        self, *, event_source_arn: str | None = None, function_name: str | None = None
    ) -> tuple[MappingStatus, ...]:
        """All mappings as they are now, or those of a source, a function, or both; none before the first start."""
        shift = self._shift
        if shift is None:
            return ()
        shift.home.check()
        statuses = (shift.mappings.status(uuid) for uuid in shift.mappings.lives)
        return tuple(
            status
            for status in statuses
            if event_source_arn in (None, status.event_source_arn) and function_name in (None, status.function_name)
        )

    async def create(self, mapping: EventSourceMapping) -> MappingStatus:
        """Takes one more mapping, and runs it unless it is not `enabled`.

        Nothing is begun when something is wrong with it: raises `MappingError` (`ResourceConflictException` for a
        source and function, or a uuid, that another mapping has), `SourceError`, `StoreError`, `HandlerNotFoundError`.
        """
        return await self._running().mappings.create(mapping)

    @overload
    async def update(self, mapping: EventSourceMapping, /, *, wait: bool = True) -> MappingStatus: ...

    @overload
    async def update(self, uuid: str, /, *, wait: bool = True, **settings: Unpack[Changes]) -> MappingStatus: ...

    async def update(self, which: Any, /, *, wait: bool = True, **settings: Any) -> MappingStatus:
        """Changes some settings of the mapping with a uuid, or all of one to those of a mapping with its uuid.

        `None` gives a setting its default back. What is out has `drain_timeout` to end under the old settings; then it
        goes on under the new ones from the stored position, an open tumbling window with its state to the end it had.
        `enabled=False` stops it and keeps its positions. `wait`: whether to wait for that; `False` gives the state in
        between (`Updating`, `Enabling`, `Disabling`), and is for a function that changes its own mapping: its call is
        among what is out.

        Nothing is touched when something is wrong: raises as `create`, and `MappingError` for a source or starting
        position that is another, for no such mapping (`ResourceNotFoundException`), and for one that something is
        being done to (`ResourceInUseException`).
        """
        mappings = self._running().mappings
        if isinstance(which, EventSourceMapping):
            return await mappings.replace(which, wait=wait)
        return await mappings.update(which, settings, wait=wait)

    async def delete(self, uuid: str, *, keep_positions: bool = False, wait: bool = True) -> MappingStatus:
        """Drains a mapping and takes it out; gives its last status, `Deleting`.

        Its positions are removed too, as at AWS: the same mapping created again begins at its starting position.
        `keep_positions`: they stay, and it goes on from there. Raises `MappingError` as `update`, `StoreError` when
        positions could not be removed, and then the mapping stays, disabled.
        """
        return await self._running().mappings.delete(uuid, keep_positions=keep_positions, wait=wait)

    def put_function_concurrency(self, name: str, reserved: int | None) -> None:
        """Lets a function have so many calls at once, of all its mappings, from now on; 0 for none.

        `None`: what its `esm.Function` says. Stays when the worker is left and entered again. Raises `MappingError`
        (`ResourceNotFoundException` when no mapping has it).
        """
        self._running().mappings.put_concurrency(name, reserved)

    def _running(self) -> Shift:
        if self._shift is None:
            raise EsmError("a Worker is used inside its `async with`")
        self._shift.home.check()
        return self._shift


def _optional_text(name: str, given: object) -> str | None:
    return None if given is None else text(name, given, maximum=_TEXT_LENGTH)
