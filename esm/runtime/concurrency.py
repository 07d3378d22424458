"""How many calls may run at once: of a function, in threads, in processes.

    free --enter--> in use --leave--> free
      all in use: --line up--> waiting --its turn--> in use
                                  +--dismissed, withdrawn--> gone

Who comes first is first. `ReservedConcurrentExecutions` belongs to a function, whatever number of mappings call it:
https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable

from esm.errors import MappingError
from esm.mapping.constraints import integer
from esm.mapping.function import Function
from esm.mapping.settings import EventSourceMapping
from esm.runtime.resources import Resources

__all__ = ["Concurrency", "Slots", "Ticket"]

Ticket = asyncio.Future[bool]
"""A place in the line: its result is whether a slot was given. Whoever does not want it any more sets `False`."""


class Slots:
    """Of one kind. `limit`: how many there are, `None` for no limit; 0 gives none to anybody."""

    __slots__ = ("_waiting", "in_use", "limit")

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.in_use = 0
        self._waiting: deque[Ticket] = deque()

    def enter(self) -> bool:
        """Takes a slot, if one is free and nobody waits for it."""
        if self._waiting or not self._free:
            return False
        self.in_use += 1
        return True

    def line_up(self) -> Ticket:
        """A place at the end of the line."""
        ticket: Ticket = asyncio.get_running_loop().create_future()
        self._waiting.append(ticket)
        return ticket

    def withdraw(self, ticket: Ticket) -> None:
        """Nobody waits for it any more; a slot that it was given is free again."""
        if ticket.done() and not ticket.cancelled() and ticket.result():
            self.leave()
        elif ticket in self._waiting:
            self._waiting.remove(ticket)

    def leave(self) -> None:
        """Gives a slot back."""
        self.in_use -= 1
        if self._waiting:
            self._call()

    def limit_to(self, limit: int | None) -> None:
        """Another limit, from now on; what runs already runs on."""
        self.limit = limit
        self._call()

    @property
    def _free(self) -> bool:
        return self.limit is None or self.in_use < self.limit

    def _call(self) -> None:
        while self._waiting and self._free:
            ticket = self._waiting.popleft()
            if not ticket.done():
                self.in_use += 1
                ticket.set_result(True)


class Concurrency:
    """The slots of one worker. A function has those of its name, whatever its version."""

    def __init__(self, resources: Resources) -> None:
        self._functions: dict[str, Slots] = {}
        self._put: dict[str, int] = {}
        self._places = {"thread": Slots(resources.threads), "process": Slots(resources.processes)}

    def slots(self, function: Function, place: str) -> tuple[Slots, ...]:
        """Those that a call needs, in the order in which they are taken. `place`: where it runs, `loop` for none."""
        own = self._functions.get(function.name)
        if own is None:
            limit = self._put.get(function.name, function.reserved_concurrency)
            own = self._functions[function.name] = Slots(limit)
        return (own, self._places[place]) if place in self._places else (own,)

    def reserved(self, name: str) -> int | None:
        """The limit of a function; `None`: it has none."""
        slots = self._functions.get(name)
        return None if slots is None else slots.limit

    def put(self, name: str, reserved: int | None, mappings: Collection[EventSourceMapping]) -> None:
        """Another limit than the function's own; `None`: its own again. Raises `MappingError`."""
        if all(mapping.function.name != name for mapping in mappings):
            text = f"Function not found: {name}"
            raise MappingError(text, code="ResourceNotFoundException", status=404, field="name", value=name)
        if reserved is None:
            self._put.pop(name, None)
        else:
            path = "reservedConcurrentExecutions"
            self._put[name] = integer("reserved_concurrency", reserved, minimum=0, path=path)
        self.follow(mappings)

    def follow(self, mappings: Iterable[EventSourceMapping]) -> None:
        """Gives every function the limit that was put, or else the one that its mappings name."""
        for name, reserved in _reserved(mappings).items():
            slots = self._functions.setdefault(name, Slots())
            limit = self._put.get(name, reserved)
            if slots.limit != limit:
                slots.limit_to(limit)

    @staticmethod
    def check(mappings: Iterable[EventSourceMapping]) -> None:
        """Nothing, when all that name a limit of one function name the same. Raises `MappingError`."""
        _reserved(mappings)


def _reserved(mappings: Iterable[EventSourceMapping]) -> dict[str, int | None]:
    named: dict[str, int | None] = {}
    for function in (mapping.function for mapping in mappings):
        before = named.setdefault(function.name, function.reserved_concurrency)
        reserved = function.reserved_concurrency
        if reserved is None or reserved == before:
            continue
        if before is not None:
            raise MappingError(
                f"Function {function.name} has a reserved concurrency of {before} in one mapping and of {reserved} "
                "in another; it has one for all of them.",
                field="reserved_concurrency",
                value=reserved,
            )
        named[function.name] = reserved
    return named
