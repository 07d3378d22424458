"""A table on the terminal that shows every mapping and shard as they are now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO, cast

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table

from esm.arn import source_name
from esm.cli.running.summary import lag_ms
from esm.cli.running.tally import Tally
from esm.cli.terminal import seconds
from esm.clock import Millis, SystemClock
from esm.runtime.status import MappingStatus, ShardStatus, WorkerStatus
from esm.runtime.worker import Worker

__all__ = ["LiveTable"]

EVERY_S = 0.5
"""How often the table is drawn (chosen)."""

_WORDS = ("mapping", "shard", "state")
_FIGURES = ("records/s", "records", "lag", "in flight", "retries", "errors", "given up")
_NARROW = 125
"""Columns of a terminal on which nothing is given away: what does not fit is folded, and no figure is cut (chosen)."""

_AROUND = 6
"""Lines of a terminal that are not the table's rows."""


class LiveTable:
    """The table. `stream`: where log lines go meanwhile, so that they appear above it."""

    def __init__(self, tally: Tally, console: Console | None = None) -> None:
        self._console = Console() if console is None else console
        self._tally = tally
        self._live = Live(console=self._console, auto_refresh=False)  # what handlers print appears above it
        self._clock = SystemClock()
        self._before: dict[tuple[str, str], tuple[Millis, int]] = {}
        self.stream = cast("TextIO", _Above(self._console))

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Draws on the terminal, and leaves the last table there."""
        with self._live:
            # A process that is ended by force has no time to give the cursor back.
            self._console.show_cursor(True)
            yield

    async def follow(self, worker: Worker) -> None:
        """Draws it again and again, until cancelled."""
        while True:
            self.draw(worker)
            await asyncio.sleep(EVERY_S)

    def draw(self, worker: Worker) -> None:
        """Draws it once."""
        self._live.update(self.table(worker.status()), refresh=True)

    def table(self, status: WorkerStatus) -> Table:
        """The table for one moment; those furthest behind come first, as many as there is room for."""
        title = "esm: stopping, what is out may end" if status.stopping else "esm: running, Ctrl-C stops it"
        padding = 0 if self._console.width < _NARROW else (0, 1)
        table = Table(
            title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=padding
        )
        for name in _WORDS:
            table.add_column(name, overflow="fold", no_wrap=name == "state")
        for name in _FIGURES:
            table.add_column(name, justify="right", no_wrap=" " not in name)
        rows = [(mapping, shard) for mapping in status.mappings for shard in mapping.shards]
        rows.sort(key=lambda row: -(lag_ms(row[1]) or 0))
        room = max(1, self._console.height - _AROUND)
        for mapping, shard in rows[:room]:
            table.add_row(*self._row(mapping, shard), style=_style(shard))
        if len(rows) > room:
            table.caption = f"and {len(rows) - room} shards more"
        return table

    def _row(self, mapping: MappingStatus, shard: ShardStatus) -> Iterator[str]:
        count = self._tally.shards[mapping.uuid, shard.shard_id]
        source = source_name(mapping.event_source_arn)
        yield f"{mapping.function_name} < {source}"
        yield shard.shard_id.removeprefix("shardId-").lstrip("0") or "0"
        yield shard.state
        yield f"{self._rate(mapping.uuid, shard.shard_id, count.records):,.0f}"
        yield f"{count.records:,}"
        yield seconds(lag_ms(shard))
        yield str(count.in_flight)
        yield str(count.retries)
        yield str(count.failed + count.poll_failures + count.store_failures + count.destination_failures)
        yield str(count.given_up)

    def _rate(self, mapping: str, shard_id: str, records: int) -> float:
        now = self._clock.now()
        at, before = self._before.get((mapping, shard_id), (now, records))
        self._before[mapping, shard_id] = now, records
        return (records - before) * 1000 / (now - at) if now > at else 0.0


def _style(shard: ShardStatus) -> str:
    if shard.state in ("halted", "lost"):
        return "red"
    return "yellow" if any(lane.retry_at is not None for lane in shard.lanes) else ""


class _Above:
    """A text stream that prints above the table."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> int:
        self._console.print(text, end="", markup=False, highlight=False, soft_wrap=True)
        return len(text)

    def flush(self) -> None:
        """Nothing: it is written at once."""

    def isatty(self) -> bool:
        return False
