"""Everything a worker touches outside itself, in one value: the simulation and the real world differ only here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from uuid import UUID

from esm.clock import Clock
from esm.destinations.destination import Destination
from esm.handlers.invoker import Invoker
from esm.mapping.settings import EventSourceMapping
from esm.sources.reader import StreamSource

__all__ = ["OnAbandoned", "Ports"]

OnAbandoned = Callable[[str, int], None]
"""Is told the request id of a call that did not end when told to, and how many hang now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """How a worker reaches time, chance, sources, destinations and functions.

    `open_source` calls nothing yet. `close`: gives up what is shared by all of them.
    """

    clock: Clock
    rng: Random
    open_source: Callable[[EventSourceMapping], StreamSource]
    open_destination: Callable[[str], Awaitable[Destination]]
    open_invoker: Callable[[EventSourceMapping, OnAbandoned], Invoker]
    close: Callable[[], Awaitable[None]]

    def new_id(self) -> str:
        """A random UUID as text, as Lambda writes request ids."""
        return str(UUID(int=self.rng.getrandbits(128), version=4))
