"""A script of a shard's machine with tumbling windows: what the function was told, in one line."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from esm.machine.commands import Command, Deliver, Discard
from esm.machine.outcome import PartlyFailed, Report, Succeeded
from esm.records.record import Page
from esm.records.window import Window
from tests.unit.machine.script import Function, Rec, Script, named, succeeds

__all__ = ["SIZE", "Windowed"]

SIZE = 1000
"""Of the windows, in milliseconds."""


class Windowed(Script):
    """A script whose function gathers the names it was given: `{"n": "12"}` is the state after the records 1 and 2.

    `told`: each call as `start/state[names]`; `start/state.` for a final call, with `!` instead of the dot when it is
    early. Failure records are written likewise, behind `D`.
    """

    def __init__(self, function: Function = succeeds, **rules: Any) -> None:
        self.told: list[str] = []
        super().__init__(function, **{"tumbling_window_ms": SIZE, **rules})

    def perform(self, command: Command) -> Report:
        report = super().perform(command)
        if isinstance(command, Deliver | Discard) and command.window is not None:
            self.told.append(("D" if isinstance(command, Discard) else "") + written(command, command.window))
        if isinstance(command, Deliver) and command.window is not None:
            return self.with_state(report, gathered(command.window), command.records)
        return report

    def with_state(self, report: Report, before: str, records: list[Any]) -> Report:
        """The function returns the names that it did."""
        if isinstance(report, PartlyFailed):
            names = [record.name for record in records if record.sequence_number not in report.item_identifiers]
            return replace(report, state=json.dumps({"n": before + "".join(names)}))
        return replace(report, state=json.dumps({"n": before + named(records)})) if report == Succeeded() else report

    def reads(self, names: str, *arrived_at: int, **page: Any) -> None:
        """A page whose records arrived at these times."""
        records = [Rec(name, name, at) for name, at in zip(names, arrived_at, strict=True)]
        self.machine.accept(Page(records, **page), self.now)

    @property
    def story_told(self) -> str:
        return " ".join(self.told)


def gathered(window: Window) -> str:
    return str(json.loads(window.state).get("n", ""))


def written(command: Deliver | Discard, window: Window) -> str:
    names = f"[{named(command.records)}]" if command.records else "!" if window.terminated_early else "."
    return f"{window.start}/{gathered(window)}{names}"
