"""Who is told what happened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from esm.telemetry.facts import Fact, ObserverDropped

__all__ = ["Observer", "Observers"]


class Observer(Protocol):
    """Is told every fact, in order, in the event loop's thread. Must not wait.

    One with a true attribute `wants_traces` is also told where messages come from (`InvocationStarted.traces`).
    """

    def notice(self, fact: Fact) -> None:
        """Something happened."""
        ...


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
        failed = []
        for observer in self._observers:
            try:
                observer.notice(fact)
            except Exception as error:  # noqa: BLE001  # an observer is somebody else's code
                failed.append((observer, type(error).__name__))
        if not failed:
            return
        self._observers = tuple(each for each in self._observers if all(each is not observer for observer, _ in failed))
        for observer, kind in failed:
            self.notice(ObserverDropped(at=fact.at, observer=type(observer).__name__, error=kind))
