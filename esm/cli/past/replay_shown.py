"""A replay as it is shown: a bar with rate and time left, and a table when it is over."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from esm.cli.terminal import columns, seconds
from esm.replaying.replay import Replay
from esm.replaying.summary import Replayed
from esm.sources.files.selection import Unmatched

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Bar", "as_text", "in_vain"]

EVERY_S = 0.25
"""How often it is drawn (chosen)."""

_SHOWN = 20
"""Differences that are listed (chosen)."""


class Bar:
    """The bar, on stderr."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[records]:>12,} records"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[rate]:>9,.0f}/s"),
            TextColumn("{task.fields[failed]} failed"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, records=0, rate=0.0, failed=0)

    def __enter__(self) -> Self:
        """Draws it."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Takes it away."""
        self._progress.stop()

    async def follow(self, run: Replay) -> None:
        """Draws it again and again, until cancelled."""
        while True:
            measure, fraction = run.measure, run.fraction
            self._progress.update(
                self._task,
                total=None if fraction is None else 1.0,
                completed=fraction or 0.0,
                records=measure.records,
                rate=measure.records / max(run.seconds, 0.1),
                failed=measure.failed,
            )
            await asyncio.sleep(EVERY_S)


def as_text(summary: Replayed, *, whole: bool) -> str:
    """A table of what came of it, and what has to be said besides. `whole`: nobody stopped it."""
    took = seconds(round(summary.seconds * 1000))
    rate = summary.records / summary.seconds if summary.seconds else 0.0
    rows = [
        ("records", f"{summary.records:,}"),
        ("filtered out", f"{summary.filtered:,}"),
        ("given up", f"{summary.given_up:,}"),
        ("calls", f"{summary.invocations:,}"),
        ("failed calls", f"{summary.failed:,}"),
        ("retries", f"{summary.retries:,}"),
        *((f"call, {_percentile(percent)}", f"{ms:,} ms") for percent, ms in summary.duration_ms.items()),
        ("records a second", f"{rate:,.0f}"),
    ]
    return "\n".join((columns(rows), *_besides(summary), f"{'replayed' if whole else 'stopped'} after {took}"))


def in_vain(missed: Unmatched) -> str:
    """What matches no record, and what would."""
    there = [*map(repr, missed.there), *(["others"] if missed.more else [])]
    listed = " and ".join(part for part in (", ".join(there[:-1]), there[-1]) if part) if there else "none"
    return f"--{missed.option} {missed.asked!r} matches no record: there {'is' if len(there) == 1 else 'are'} {listed}"


def _percentile(percent: int) -> str:
    return "longest" if percent == 100 else f"p{percent}"  # noqa: PLR2004  # of a hundred


def _besides(summary: Replayed) -> list[str]:
    said = []
    if summary.synthesised:
        said.append(f"made up, as the files do not tell: {summary.synthesised}")
    if summary.invalid:
        said.append(f"left out: {summary.invalid:,} that are no records; the first: {summary.invalid_first}")
    if summary.compared:
        said.append(f"{summary.different:,} of {summary.compared:,} calls differ")
        said += [f"  {difference}" for difference in summary.differences[:_SHOWN]]
    return said + [f"halted: {shard}" for shard in summary.halted]
