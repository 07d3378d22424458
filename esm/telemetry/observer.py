"""Who is told what happened."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol, TypeAlias

from esm.telemetry.facts import Fact, ObserverDropped

__all__ = ["Observer", "Observers"]


class Observer(Protocol):
    """Is told every fact, in order, in the event loop's thread. Must not wait.

    One with a true attribute `wants_traces` is also told where messages come from (`InvocationStarted.traces`).
    One with a true attribute `any_thread` is told by another thread that the loop is blocked, while it is
    (`LoopBlocked`).
    """

    def notice(self, fact: Fact) -> None:
        """Something happened."""
        ...


_Failed: TypeAlias = "tuple[Observer, str]"


class Observers:
    """Tells each of several. One that raises is dropped, and never harms what it watches."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)
        self.wants_traces = any(getattr(observer, "wants_traces", False) for observer in self._observers)

    @property
    def listening(self) -> bool:
        """Whether there is anybody to tell: what happens at every batch need not be put into words for nobody."""
        return bool(self._observers)

    def notice(self, fact: Fact) -> None:
        """Tells all of them; then, whom it was left to tell, which of them raised."""
        self._drop(_tell(self._observers, fact), fact)

    def notice_from_thread(self, fact: Fact, loop: asyncio.AbstractEventLoop) -> None:
        """Tells those that any thread may tell, and the others when `loop` turns."""
        at_once = tuple(each for each in self._observers if getattr(each, "any_thread", False))
        failed = _tell(at_once, fact)
        loop.call_soon_threadsafe(self._notice_others, fact, at_once, failed)

    def _notice_others(self, fact: Fact, told: tuple[Observer, ...], failed: list[_Failed]) -> None:
        others = [each for each in self._observers if all(each is not observer for observer in told)]
        self._drop([*failed, *_tell(others, fact)], fact)

    def _drop(self, failed: list[_Failed], fact: Fact) -> None:
        if not failed:
            return
        self._observers = tuple(each for each in self._observers if all(each is not observer for observer, _ in failed))
        for observer, kind in failed:
            self.notice(ObserverDropped(at=fact.at, observer=type(observer).__name__, error=kind))


def _tell(observers: Iterable[Observer], fact: Fact) -> list[_Failed]:
    """Those that raised, and what."""
    failed = []
    for observer in observers:
        try:
            observer.notice(fact)
        except Exception as error:  # noqa: BLE001  # an observer is somebody else's code
            failed.append((observer, type(error).__name__))
    return failed
