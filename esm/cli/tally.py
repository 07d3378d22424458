"""What happened so far, counted for each shard: for the table, the summary and whoever reads it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, fields

from esm.telemetry import facts

__all__ = ["Count", "Tally"]


@dataclass(slots=True)
class Count:
    """Figures of one shard, or of several.

    `records`: of calls that succeeded, or that a partly failed call did not name. `retries`: calls of a batch that was
    called before. `in_flight`: calls that run now. `given_up`: records that were discarded.
    """

    read: int = 0
    records: int = 0
    invocations: int = 0
    failed: int = 0
    retries: int = 0
    in_flight: int = 0
    given_up: int = 0
    poll_failures: int = 0
    store_failures: int = 0
    destination_failures: int = 0

    def add(self, other: Count) -> None:
        """Adds the other's figures to these."""
        for field in fields(Count):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class Tally:
    """An `Observer` that counts. `shards`: by mapping and shard."""

    def __init__(self) -> None:
        self.shards: defaultdict[tuple[str, str], Count] = defaultdict(Count)

    def notice(self, fact: facts.Fact) -> None:
        """Counts it."""
        count = self.shards[fact.mapping, fact.shard]
        match fact:
            case facts.Polled():
                count.read += fact.records
            case facts.InvocationStarted():
                count.invocations += 1
                count.in_flight += 1
                count.retries += fact.invoke_count > 1
            case facts.InvocationEnded():
                count.in_flight -= 1
                count.records += fact.records - fact.failed_records
                count.failed += fact.outcome != "succeeded"
            case facts.RecordsDiscarded():
                count.given_up += fact.records
            case facts.PollFailed():
                count.poll_failures += 1
            case facts.StoreFailed():
                count.store_failures += 1
            case facts.DestinationFailed():
                count.destination_failures += 1
            case _:
                pass

    def of(self, mapping: str) -> Count:
        """One mapping's figures, all shards together."""
        total = Count()
        for (uuid, _), count in self.shards.items():
            if uuid == mapping:
                total.add(count)
        return total
