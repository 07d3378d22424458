"""What happened so far, counted for each shard: for the table, the summary and whoever reads it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

from esm.telemetry import facts

__all__ = ["Count", "Tally"]


@dataclass(slots=True)
class Count:
    """Figures of one shard, or of several.

    `records`: that the function is done with, each counted once. `retries`: calls of a batch that was called
    before. `in_flight`: calls that run now. `given_up`: records that were discarded.
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
        self.kinds = frozenset(_NOTES)

    def notice(self, fact: facts.Fact) -> None:
        """Counts it; a kind that it does not know is none of its business."""
        note = _NOTES.get(type(fact))
        if note is not None:
            note(self.shards[fact.mapping, fact.shard], fact)

    def of(self, mapping: str) -> Count:
        """One mapping's figures, all shards together."""
        total = Count()
        for (uuid, _), count in self.shards.items():
            if uuid == mapping:
                total.add(count)
        return total


# -- what each fact counts as ------------------------------------------------------------------------------------------


def _polled(count: Count, fact: facts.Polled) -> None:
    count.read += fact.records


def _invocation_started(count: Count, fact: facts.InvocationStarted) -> None:
    count.invocations += 1
    count.in_flight += 1
    count.retries += fact.invoke_count > 1


def _invocation_ended(count: Count, fact: facts.InvocationEnded) -> None:
    count.in_flight -= 1
    count.records += fact.settled
    count.failed += fact.outcome != "succeeded"


def _records_discarded(count: Count, fact: facts.RecordsDiscarded) -> None:
    count.given_up += fact.records


def _poll_failed(count: Count, _fact: facts.PollFailed) -> None:
    count.poll_failures += 1


def _store_failed(count: Count, _fact: facts.StoreFailed) -> None:
    count.store_failures += 1


def _destination_failed(count: Count, _fact: facts.DestinationFailed) -> None:
    count.destination_failures += 1


_NOTES: dict[type[facts.Fact], Callable[[Count, Any], None]] = {
    facts.DestinationFailed: _destination_failed,
    facts.InvocationEnded: _invocation_ended,
    facts.InvocationStarted: _invocation_started,
    facts.PollFailed: _poll_failed,
    facts.Polled: _polled,
    facts.RecordsDiscarded: _records_discarded,
    facts.StoreFailed: _store_failed,
}
