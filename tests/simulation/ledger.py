"""An observer that adds up: of each shard, what was read and what became of it, by what the worker tells alone."""

from __future__ import annotations

from collections import Counter

from esm.telemetry import facts

__all__ = ["Ledger"]

Shard = tuple[str, str]


class Ledger:
    """`broken`: what did not add up, in words; empty when all of it always did."""

    def __init__(self) -> None:
        self.read: Counter[Shard] = Counter()
        self.settled: Counter[Shard] = Counter()
        self.ways: Counter[str] = Counter()
        self.broken: list[str] = []

    def notice(self, fact: facts.Fact) -> None:
        """Adds it up."""
        shard = (fact.mapping, fact.shard)
        if isinstance(fact, facts.ShardStarted):
            self.read[shard] = self.settled[shard] = 0
        elif isinstance(fact, facts.Polled):
            self.read[shard] += fact.records
            self._settle(shard, "filtered", fact.filtered)
            self._settle(shard, "passed over", fact.passed_over)
            if fact.shard and self.in_flight(shard) != fact.held:
                self.broken.append(f"{shard}: {self.in_flight(shard)} by facts, {fact.held} held")
        elif isinstance(fact, facts.InvocationEnded):
            self._settle(shard, fact.outcome, fact.settled)
        elif isinstance(fact, facts.RecordsDiscarded):
            self._settle(shard, fact.condition, fact.records)
        elif isinstance(fact, facts.ShardHalted | facts.LeaseLost):
            self.broken.append(f"{shard}: {type(fact).__name__}")

    def in_flight(self, shard: Shard) -> int:
        """Read, and not settled."""
        return self.read[shard] - self.settled[shard]

    def _settle(self, shard: Shard, way: str, count: int) -> None:
        self.settled[shard] += count
        self.ways[way] += count
