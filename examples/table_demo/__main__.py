"""`python -m examples.table_demo`: a table's changes drive an alert with a filter and a sum with a tumbling window."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import esm
from esm.cli.running.tally import Tally
from esm.clock import SystemClock
from esm.filtering.lint import lint
from esm.telemetry.facts import Polled
from examples.demo.show import follow, say, table
from examples.table_demo.days import Days, days
from examples.table_demo.functions import FILTER, NAIVE, WINDOW_S, Alerts, Sums, mappings

CLOCK = SystemClock()
LONGEST_S = 120


class Filtered:
    """An observer: records that no filter let through, by mapping."""

    def __init__(self) -> None:
        self.records: Counter[str] = Counter()

    def notice(self, fact: esm.Fact) -> None:
        """Counts them."""
        if isinstance(fact, Polled):
            self.records[fact.mapping] += fact.filtered


async def main() -> None:
    """The whole story."""
    say("1", "A local AWS: a table of the warmest hour of each day in two cities, with its stream switched on")
    async with days() as warmest:
        say("2", "Two mappings on the one stream, because AWS refuses a filter together with a tumbling window:")
        refused(warmest.stream_arn)
        print(f"   alerts has the filter {json.dumps(FILTER)}")
        print(f"   not {json.dumps(NAIVE)}: `esm filter lint` says of that")
        print(f"     {lint([NAIVE], 'dynamodb')[0]}")
        print(f"   sums   has windows of {WINDOW_S} s, and counts all changes")
        with tempfile.TemporaryDirectory() as folder:
            async with asyncio.timeout(LONGEST_S):
                await read(warmest, f"sqlite:///{Path(folder) / 'positions.db'}")


def refused(stream_arn: str) -> None:
    """Shows how."""
    try:
        esm.EventSourceMapping(
            event_source_arn=stream_arn,
            function="examples.table_demo.functions.Sums",
            starting_position="LATEST",
            filter_criteria=[FILTER],
            tumbling_window_in_seconds=WINDOW_S,
        )
    except esm.MappingError as error:
        print(f"   {error.message}")


async def read(warmest: Days, store: str) -> None:
    """Two workers, one after the other, while the table is written to."""
    alerts, sums, tally, filtered = Alerts(), Sums(), Tally(), Filtered()
    both = mappings(warmest.stream_arn, alerts, sums)

    async def work(enough: Callable[[esm.WorkerStatus], bool]) -> esm.WorkerStatus:
        async with esm.Worker(both, store=store, endpoint_url=warmest.url, observers=[tally, filtered]) as worker:
            await follow(worker, tally, enough)
            return worker.status()

    writer = asyncio.create_task(warmest.write())
    say("3", "A year of temperatures is written to the table while a worker reads its changes")
    status = await work(lambda now: len(sums.windows) > 0 and _in_a_window(now))
    say(
        "4",
        "That worker was stopped within a window. Another goes on, with the state that is stored beside the position",
    )
    closer = asyncio.create_task(close_the_last(warmest, writer))
    await work(lambda _: writer.done() and done(warmest, alerts, sums, filtered))
    await closer

    say("5", "What came of it")
    open_at_the_stop = "yes" if _in_a_window(status) else "no"
    names = {mapping.uuid: mapping.function.name for mapping in both}
    dropped = {names[uuid]: count for uuid, count in filtered.records.items()}
    table(("the table", "changes", "counted in windows"), rows(warmest.changes, sums.changes))
    table(
        ("of the workers", ""),
        [
            ("windows", f"{len(sums.windows)}"),
            ("calls with their records", f"{sums.calls - len(sums.windows)}"),
            ("a window was open at the stop", open_at_the_stop),
            ("changes that the filter dropped", f"{dropped.get('alerts', 0):,}"),
            ("alerts", f"{len(alerts.days)}"),
            ("days that became hot, by the data", f"{sum(city == 'San Francisco' for city, _ in warmest.became_hot)}"),
        ],
    )
    if sums.changes != warmest.changes or sorted(alerts.days) != hot_days(warmest):
        raise SystemExit("\nthe sums are not those of the data: this is a fault of esm, please report it")
    print("\n   Both are exactly what the data says.")
    say("", "Try next")
    print("""   esm filter explain --help     why a record passes a filter, or does not
   README.md                     filters, tables and tumbling windows""")


def done(warmest: Days, alerts: Alerts, sums: Sums, filtered: Filtered) -> bool:
    """Whether both mappings have all of it, and the last change, which only closes a window, too."""
    written = warmest.changes.total()
    return sums.changes.total() >= written and len(alerts.days) + filtered.records.total() > written


def rows(written: Counter[str], counted: Counter[str]) -> list[tuple[str, ...]]:
    """A row for each kind of change."""
    return [(kind, f"{written[kind]:,}", f"{counted[kind]:,}") for kind in ("INSERT", "MODIFY", "REMOVE")]


def hot_days(warmest: Days) -> list[str]:
    """What the alerts must be."""
    return sorted(day for city, day in warmest.became_hot if city == "San Francisco")


async def close_the_last(warmest: Days, writer: asyncio.Task[None]) -> None:
    """Writes once more when the last window is over.

    A window is closed by a record of a later one; where none comes, 120 s after its end, for which no demo waits.
    """
    await writer
    size = WINDOW_S * 1000
    await asyncio.sleep((size - CLOCK.now() % size) / 1000 + 1)
    await warmest.one_more()


def _in_a_window(status: esm.WorkerStatus) -> bool:
    return any(shard.window_ends_at is not None for mapping in status.mappings for shard in mapping.shards)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        raise SystemExit("\nstopped; the local AWS and its data are gone") from None
