"""Who is told what happened."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from esm.telemetry.facts import Fact

__all__ = ["Observer", "Observers"]


class Observer(Protocol):
    """Is told every fact, in order, in the event loop's thread. Must not wait."""

    def notice(self, fact: Fact) -> None:
        """Something happened."""
        ...


class Observers:
    """Tells each of several. One that raises is dropped, and never harms what it watches."""

    def __init__(self, observers: Iterable[Observer]) -> None:
        self._observers = list(observers)
        self.failures: list[Exception] = []

    def notice(self, fact: Fact) -> None:
        """Tells all of them."""
        for observer in self._observers:
            try:
                observer.notice(fact)
            except Exception as error:  # noqa: BLE001  # an observer is somebody else's code
                self._observers = [other for other in self._observers if other is not observer]
                self.failures.append(error)
