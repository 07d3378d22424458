"""What the benchmark of process isolation calls."""

from __future__ import annotations

from typing import Any

__all__ = ["burn", "nothing"]


def nothing(_event: Any, _context: Any) -> None:
    """Costs only its call."""


def burn(event: dict[str, Any], _context: Any) -> int:
    """Computes for as many steps as the event says, in Python alone: it never lets go of the interpreter's lock."""
    total = 0
    for number in range(event["steps"]):
        total = (total * 31 + number) % 1_000_003
    return total
