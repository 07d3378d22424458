"""What a replay came to: counted while it runs, told when it is over."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from esm.runtime.status import WorkerStatus
from esm.sources.files.selection import Unmatched
from esm.telemetry import facts

__all__ = ["Measure", "Replayed", "halted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """A replay that is over.

    `records`: that the function is done with, each counted once. `filtered`: no filter let them through. `given_up`:
    discarded, and messages that were not deleted. `invalid`: lines that were no record and were left out,
    `invalid_first`: what the first of them was. `duration_ms`: of calls, by percentile (50, 90, 99, 100); empty without
    any. `halted`: shards that did not come to their end, and why. `compared`: calls of two functions; `different`:
    those whose results differ, `differences`: the first hundred of them, in words. `synthesised`: what of the records
    was made up, as the files do not tell it. `unmatched`: shards and keys that were asked for in vain; empty where not
    all was read, and where an earlier run under the same `store` may have had them.
    """

    source: str
    read: int
    records: int
    filtered: int
    invocations: int
    failed: int
    retries: int
    given_up: int
    invalid: int
    invalid_first: str | None
    seconds: float
    duration_ms: dict[int, int]
    halted: tuple[str, ...] = ()
    compared: int = 0
    different: int = 0
    differences: tuple[str, ...] = ()
    synthesised: str = ""
    unmatched: tuple[Unmatched, ...] = ()


def halted(status: WorkerStatus, otherwise: object = None) -> tuple[str, ...]:
    """The shards that did not come to their end, and why: their last error, or `otherwise`."""
    shards = [shard for mapping in status.mappings for shard in mapping.shards if shard.state in ("halted", "lost")]
    return tuple(f"{shard.shard_id}: {shard.last_error or otherwise}" for shard in shards)


class Measure:
    """An `Observer` that counts what a summary tells."""

    def __init__(self) -> None:
        self.read = self.filtered = self.records = self.given_up = 0
        self.invocations = self.failed = self.retries = 0
        self._durations = array("q")
        self._notes: dict[type[facts.Fact], Callable[[Any], None]] = {
            facts.InvocationEnded: self._invocation_ended,
            facts.InvocationStarted: self._invocation_started,
            facts.Polled: self._polled,
            facts.RecordsDiscarded: self._records_discarded,
        }
        self.kinds = frozenset(self._notes)

    def notice(self, fact: facts.Fact) -> None:
        """Counts it; a kind that it does not know is none of its business."""
        note = self._notes.get(type(fact))
        if note is not None:
            note(fact)

    def percentiles(self) -> dict[int, int]:
        """Milliseconds that so many of a hundred calls took at the most; empty without calls."""
        ordered = sorted(self._durations)
        if not ordered:
            return {}
        return {percent: ordered[-(-len(ordered) * percent // 100) - 1] for percent in (50, 90, 99, 100)}

    def _polled(self, fact: facts.Polled) -> None:
        self.read += fact.records
        self.filtered += fact.filtered

    def _invocation_started(self, fact: facts.InvocationStarted) -> None:
        self.retries += fact.invoke_count > 1

    def _invocation_ended(self, fact: facts.InvocationEnded) -> None:
        self.invocations += 1
        self.records += fact.settled
        self.failed += fact.outcome != "succeeded"
        self._durations.append(fact.duration_ms)

    def _records_discarded(self, fact: facts.RecordsDiscarded) -> None:
        self.given_up += fact.records
