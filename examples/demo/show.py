"""What the demo shows: a table that moves on a terminal, plain lines elsewhere."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence

import esm
from esm.cli.running.live import LiveTable
from esm.cli.running.tally import Tally
from esm.cli.terminal import columns, seconds

__all__ = ["follow", "say", "table"]

LOOK_S = 0.2
LINE_EVERY = 5
"""Looks from one plain line to the next."""


def say(number: str, title: str) -> None:
    """A heading."""
    print(f"\n{number + '  ' if number else ''}{title}", flush=True)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Aligned rows under their heads."""
    text = columns([heads, *rows])
    print("\n" + "\n".join(f"   {line}" for line in text.splitlines()))


async def follow(worker: esm.Worker, tally: Tally, enough: Callable[[esm.WorkerStatus], bool]) -> None:
    """Shows how the worker does until `enough` says so."""
    if not sys.stdout.isatty():
        await _lines(worker, tally, enough)
        return
    live = LiveTable(tally)
    with live.shown():
        while not enough(worker.status()):
            live.draw(worker)
            await asyncio.sleep(LOOK_S)
        live.draw(worker)


async def _lines(worker: esm.Worker, tally: Tally, enough: Callable[[esm.WorkerStatus], bool]) -> None:
    looks = before = 0
    while not enough(worker.status()):
        await asyncio.sleep(LOOK_S)
        looks += 1
        if looks % LINE_EVERY == 0:
            before = _line(worker, tally, before)
    _line(worker, tally, before)


def _line(worker: esm.Worker, tally: Tally, before: int) -> int:
    shards = [shard for mapping in worker.status().mappings for shard in mapping.shards]
    counts = list(tally.shards.values())
    records = sum(count.records for count in counts)
    lag = max((shard.behind_ms for shard in shards if shard.behind_ms is not None), default=None)
    rate = (records - before) / (LOOK_S * LINE_EVERY)
    print(
        f"   {records:>6,} records, {rate:>6,.0f}/s, lag {seconds(lag)}, "
        f"{sum(count.in_flight for count in counts)} batches in flight, "
        f"{sum(count.retries for count in counts)} retries, {sum(count.failed for count in counts)} errors",
        flush=True,
    )
    return records
