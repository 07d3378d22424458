"""What a seed stands for: a stream of records, rules, and how often what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from esm.machine.rules import StreamRules

__all__ = ["START", "Plan", "Rec", "draw_plan"]

START = 1_700_000_000_000
"""Epoch ms at which every simulation begins."""


@dataclass(frozen=True, slots=True, eq=False)
class Rec:
    """A record; `index` is its place in the shard. `poison`: the function always fails on it. `kept`: by the filter."""

    index: int
    sequence_number: str
    key: str
    arrived_at: int
    size: int
    poison: bool
    kept: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One seed's world. Rates are for each chance, 0 in the many plans that do without."""

    records: tuple[Rec, ...]
    rules: StreamRules
    factors: tuple[int, ...]
    steps: int
    closes: bool
    empty_last: bool
    page_max: int
    crash_rate: float
    drain_rate: float
    failure_rate: float
    partial_rate: float
    throttle_rate: float
    send_failure_rate: float
    store_failure_rate: float
    big_ticks: bool
    in_time_order: bool
    guesses: bool


def draw_plan(rng: Random) -> Plan:
    """Each kind of fault is there or not (a swarm), so that one does not hide what another would show."""
    rules = _draw_rules(rng)
    in_time_order = rng.random() < 0.8
    return Plan(
        records=_draw_records(rng, rules, in_time_order=in_time_order),
        rules=rules,
        factors=tuple(rng.choice((1, 1, 2, 3, rng.randint(1, 10))) for _ in range(rng.choice((1, 2, 4)))),
        steps=rng.randint(60, 400),
        closes=rng.random() < 0.5,
        empty_last=rng.random() < 0.5,
        page_max=rng.choice((2, 20, 60)),
        crash_rate=rng.choice((0, 0.01, 0.05)),
        drain_rate=rng.choice((0, 0.01, 0.03)),
        failure_rate=rng.choice((0, 0.05, 0.3, 0.6)),
        partial_rate=rng.choice((0, 0.5, 1)),
        throttle_rate=rng.choice((0, 0, 0.2)),
        send_failure_rate=rng.choice((0, 0.3)),
        store_failure_rate=rng.choice((0, 0, 0.2, 0.6)),
        big_ticks=rng.random() < 0.3,
        in_time_order=in_time_order,
        guesses=rng.random() < 0.5,
    )


def _draw_rules(rng: Random) -> StreamRules:
    return StreamRules(
        batch_size=rng.choice((1, 3, 10, 30)),
        payload_bytes_max=rng.choice((30, 100, 10_000, 10_000)),
        batching_window_ms=rng.choice((0, 0, 100, 1000)),
        maximum_retry_attempts=rng.choice((None, None, 0, 1, 3, 8)),
        maximum_record_age_ms=rng.choice((None, None, 1500, 4000)),
        bisect_batch_on_function_error=rng.random() < 0.5,
        records_held_max=rng.choice((2, 20, 100, 100)),
        bytes_held_max=rng.choice((40, 10_000, 10_000)),
    )


def _draw_records(rng: Random, rules: StreamRules, *, in_time_order: bool) -> tuple[Rec, ...]:
    """Sequence numbers of 1 digit and more, or of 56; their widths grow on the way."""
    number = rng.choice((0, 5, 95, 10**55 - 20))
    keys = [f"key-{i}" for i in range(rng.choice((1, 3, 15)))]
    poison_rate, drop_rate, gap = rng.choice((0, 0.05)), rng.choice((0, 0, 0.2, 0.9)), rng.choice((0, 20, 60))
    ends = rules.maximum_retry_attempts is not None or rules.maximum_record_age_ms is not None
    at, records = START - rng.choice((0, 500, 2000)), []
    for index in range(rng.choice((10, 40, 60))):
        number += rng.choice((1, 1, 3, 90))
        at += rng.randint(0, gap)
        arrived_at = at if in_time_order else at - rng.randint(0, 200)
        size = rules.payload_bytes_max + 1 if ends and rng.random() < 0.03 else rng.choice((1, 5, 15))
        poison, kept = rng.random() < poison_rate, rng.random() >= drop_rate
        records.append(Rec(index, str(number), rng.choice(keys), arrived_at, size, poison, kept))
    return tuple(records)
