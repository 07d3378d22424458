"""Makes what runs a mapping: everything that may be wrong with it is found here, before anything is begun."""

from __future__ import annotations

from dataclasses import dataclass

from esm.errors import EsmError
from esm.handlers.invoker import Invoker
from esm.mapping.settings import EventSourceMapping
from esm.runtime.budget import Budget
from esm.runtime.concurrency import Concurrency
from esm.runtime.filters import filter_criteria
from esm.runtime.home import Home
from esm.runtime.life import Runner
from esm.runtime.mapping import MappingRunner
from esm.runtime.perform import MappingContext
from esm.runtime.ports import Ports
from esm.runtime.queue import QueueRunner
from esm.runtime.recorded import recorded
from esm.runtime.rounds import Rounds
from esm.runtime.turns import Turns
from esm.runtime.watchdog import Watchdog
from esm.stores.store import LeaseStore
from esm.telemetry import facts
from esm.telemetry.observer import Observers

__all__ = ["Builder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """What all mappings of a worker share. `worker_id`: what signs leases. `drain_timeout`: seconds a stop waits."""

    ports: Ports
    store: LeaseStore
    observers: Observers
    concurrency: Concurrency
    budget: Budget
    rounds: Rounds
    turns: Turns
    worker_id: str
    drain_timeout: float
    home: Home
    watchdog: Watchdog

    async def build(self, mapping: EventSourceMapping) -> Runner:
        """What runs it, not begun yet. Raises `MappingError`, `HandlerNotFoundError`, `DestinationError`."""
        mapping, ports = recorded(mapping, self.ports)
        criteria = filter_criteria(mapping)
        invoker = ports.open_invoker(mapping, lambda request_id, hung: self._abandoned(mapping, request_id, hung))
        try:
            destination = None if mapping.on_failure is None else await ports.open_destination(mapping.on_failure)
        except EsmError:
            await invoker.close(0)
            raise
        self.watchdog.know(invoker, mapping)
        context = MappingContext(
            mapping=mapping,
            ports=ports,
            store=self.store,
            invoker=invoker,
            destination=destination,
            criteria=criteria,
            observers=self.observers,
            slots=self.concurrency.slots(mapping.function, _place(mapping, invoker)),
            budget=self.budget,
            rounds=self.rounds,
            turns=self.turns,
            home=self.home,
        )
        if mapping.source_kind == "sqs":
            return QueueRunner(context, drain_timeout=self.drain_timeout)
        return MappingRunner(context, self.worker_id)

    def _abandoned(self, mapping: EventSourceMapping, request_id: str, hung: int) -> None:
        now = self.ports.clock.now()
        self.observers.notice(
            facts.HandlerAbandoned(at=now, mapping=mapping.uuid, request_id=request_id, abandoned=hung)
        )


def _place(mapping: EventSourceMapping, invoker: Invoker) -> str:
    """What a call takes beside the event loop: a process, a thread, or nothing."""
    if mapping.function.isolation == "process":
        return "process"
    return "thread" if getattr(invoker, "in_thread", False) else "loop"
