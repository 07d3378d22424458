"""Who is told what happened."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from esm.mapping.constraints import all_of
from esm.telemetry.facts import Fact, ObserverDropped

__all__ = ["Live", "Observer", "Observers", "observers_of"]


class Observer(Protocol):
    """Is told every fact, in order, in the event loop's thread. Must not wait.

    It may have more attributes: `kinds`, a frozenset of the kinds of facts that it wants, so that others need not be
    made for it alone; a true `wants_traces`, to be told where messages come from (`InvocationStarted.traces`);
    `follow(mapping, shard, live)`, which gets the numbers of a shard that are kept up to date; and a true `any_thread`,
    to be told by another thread that the loop is blocked while it is (`LoopBlocked`).
    """

    def notice(self, fact: Fact) -> None:
        """Something happened."""
        ...


@dataclass(slots=True, eq=False)
class Live:
    """Numbers of one shard, or queue, that whoever changes them keeps up to date: to be looked at, not to be told.

    `calls`: of the function that have not ended; `records`: that they have; `checkpoints`: stored so far.
    """

    calls: int = 0
    records: int = 0
    checkpoints: int = 0


_Failed: TypeAlias = tuple[Observer, str]


class Observers:
    """Tells each of several. One that raises is dropped, and never harms what it watches.

    `listening`: whether there is anybody to tell: what happens at every batch need not be put into words for nobody.
    """

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._tell_only(tuple(observers))
        self.wants_traces = any(getattr(observer, "wants_traces", False) for observer in self._observers)

    def wants(self, kind: type[Fact]) -> bool:
        """Whether anybody wants to be told facts of this kind."""
        return self._kinds is None or kind in self._kinds

    def live(self, mapping: str, shard: str) -> Live:
        """The numbers of a shard, for whoever runs it to keep up to date."""
        live = Live()
        for observer in self._observers:
            follow = getattr(observer, "follow", None)
            if follow is not None:
                follow(mapping, shard, live)
        return live

    def notice(self, fact: Fact) -> None:
        """Tells all of them; then, whom it was left to tell, which of them raised."""
        if failed := _tell(self._observers, fact):
            self._drop(failed, fact)

    def notice_from_thread(self, fact: Fact, loop: asyncio.AbstractEventLoop) -> None:
        """Tells those that any thread may tell, and the others when `loop` turns."""
        at_once = tuple(each for each in self._observers if getattr(each, "any_thread", False))
        failed = _tell(at_once, fact)
        loop.call_soon_threadsafe(self._notice_others, fact, at_once, failed or [])

    def _notice_others(self, fact: Fact, told: tuple[Observer, ...], failed: list[_Failed]) -> None:
        others = tuple(each for each in self._observers if all(each is not observer for observer in told))
        failed = [*failed, *(_tell(others, fact) or ())]
        if failed:
            self._drop(failed, fact)

    def _tell_only(self, observers: tuple[Observer, ...]) -> None:
        self._observers, self.listening, self._kinds = observers, bool(observers), _kinds(observers)

    def _drop(self, failed: list[_Failed], fact: Fact) -> None:
        self._tell_only(tuple(each for each in self._observers if all(each is not observer for observer, _ in failed)))
        for observer, error in failed:
            self.notice(ObserverDropped(at=fact.at, observer=type(observer).__name__, error=error))


def _tell(observers: tuple[Observer, ...], fact: Fact) -> list[_Failed] | None:
    """Those that raised, and what; `None` when none did."""
    failed = None
    for observer in observers:
        try:
            observer.notice(fact)
        except Exception as error:  # noqa: BLE001  # an observer is somebody else's code
            failed = [*(failed or ()), (observer, type(error).__name__)]
    return failed


def _kinds(observers: tuple[Observer, ...]) -> frozenset[type[Fact]] | None:
    """What any of them wants; `None`: everything."""
    kinds: frozenset[type[Fact]] = frozenset()
    for observer in observers:
        wanted = getattr(observer, "kinds", None)
        if wanted is None:
            return None
        kinds |= wanted
    return kinds


def observers_of(given: object) -> tuple[Observer, ...]:
    """Those that were given. Raises `MappingError` for one that stands alone, and for what is none."""
    rule = "Member must be a list of objects with a method notice(fact)"
    return all_of("observers", given, lambda each: callable(getattr(each, "notice", None)), rule)
