"""Who is told what happened."""

from __future__ import annotations

from typing import Protocol

from esm.telemetry.facts import Fact

__all__ = ["Observer"]


class Observer(Protocol):
    """Is told every fact, in order, in the event loop's thread.

    Must not wait; what it raises is logged once and dropped.
    """

    def notice(self, fact: Fact) -> None:
        """Something happened."""
        ...
