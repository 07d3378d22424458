"""Everything a worker touches outside itself, in one value: the simulation and the real world differ only here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random

from esm.clock import Clock
from esm.destinations.destination import Destination
from esm.errors import MappingError
from esm.handlers.invoker import Invoker
from esm.mapping.settings import EventSourceMapping
from esm.sources.reader import StreamSource
from esm.sources.sqs import SqsSource

__all__ = ["OnAbandoned", "Ports"]

_FREE = ~(0xF << 76 | 0x3 << 62)
_FIXED = 0x4 << 76 | 0x2 << 62
"""The bits of a UUID that say its version and variant, and all others."""

OnAbandoned = Callable[[str, int], None]
"""Is told the request id of a call that did not end when told to, and how many hang now."""


def _no_queues(mapping: EventSourceMapping) -> SqsSource:
    raise MappingError("There is no queue here.", field="event_source_arn", value=mapping.event_source_arn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """How a worker reaches time, chance, sources, destinations and functions.

    `open_source` and `open_queue` call nothing yet. `close`: gives up what is shared by all of them. `threads`: whether
    there may be some; under virtual time none.
    """

    clock: Clock
    rng: Random
    open_source: Callable[[EventSourceMapping], StreamSource]
    open_destination: Callable[[str], Awaitable[Destination]]
    open_invoker: Callable[[EventSourceMapping, OnAbandoned], Invoker]
    close: Callable[[], Awaitable[None]]
    open_queue: Callable[[EventSourceMapping], SqsSource] = _no_queues
    threads: bool = False

    def new_id(self) -> str:
        """A random UUID (version 4) as text, as Lambda writes request ids.

        https://www.rfc-editor.org/rfc/rfc9562#name-uuid-version-4
        """
        digits = f"{self.rng.getrandbits(128) & _FREE | _FIXED:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
