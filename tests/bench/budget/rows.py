"""One row of the budget: what was to be reached, and what was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.report import table

__all__ = ["Bound", "Row", "budget_table"]


@dataclass(frozen=True)
class Bound:
    """One figure. `must`, `aim`: `None` where there is none; `at_least`: whether more is better. `unit`: behind it.

    `reached`: `None` when it could not be measured, which meets nothing.
    """

    what: str
    reached: float | None
    must: float | None = None
    aim: float | None = None
    at_least: bool = True
    unit: str = "x"

    @property
    def met(self) -> bool | None:
        """Whether what must be was reached; `None` where nothing must."""
        return None if self.must is None else self._holds(self.must)

    @property
    def of_the_aim(self) -> float | None:
        """How much of the aim was reached, 1 for all of it; `None` where there is no aim, or nothing was measured."""
        if self.aim is None or not self.reached:
            return None
        return self.reached / self.aim if self.at_least else self.aim / self.reached

    def figure(self, value: float | None) -> str:
        """With its unit; in per cent where that is it."""
        if value is None:
            return ""
        if self.unit == "%":
            return f"{value:.0%}"
        return f"{value:,.0f}{self.unit}" if abs(value) >= 100 else f"{value:.3g}{self.unit}"

    def line(self) -> list[str]:
        """What it is, what must be, the aim, what was reached, whether that is enough, and how much of the aim."""
        sign = ">= " if self.at_least else "<= "
        met = {None: "reported", True: "met", False: "**not met**"}[self.met]
        return [
            self.what,
            "" if self.must is None else sign + self.figure(self.must),
            "" if self.aim is None else sign + self.figure(self.aim),
            "not reached" if self.reached is None else self.figure(self.reached),
            met,
            "" if self.of_the_aim is None else f"{self.of_the_aim:.0%}",
        ]

    def _holds(self, limit: float) -> bool:
        if self.reached is None:
            return False
        return self.reached >= limit if self.at_least else self.reached <= limit


@dataclass(frozen=True)
class Row:
    """`number`: of the budget's row, or what it belongs to. `note`: what a reader has to know beside the figures."""

    number: str
    path: str
    bounds: tuple[Bound, ...]
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether all that must be was reached; `None` where nothing must."""
        found = [bound.met for bound in self.bounds if bound.met is not None]
        return all(found) if found else None


def budget_table(rows: Sequence[Row]) -> str:
    """Markdown: a line for each figure, and what has to be said of them."""
    head = ["row", "path", "figure", "must", "aim", "reached", "verdict", "of the aim"]
    lines = [
        [row.number if first else "", row.path if first else "", *bound.line()]
        for row in rows
        for first, bound in zip([True] + [False] * len(row.bounds), row.bounds, strict=False)
    ]
    notes = [f"- {row.number}: {row.note}" for row in rows if row.note]
    return "\n".join([table([head, *lines], words=3), "", *notes]) + "\n"
