"""What one seed deploys: a stream, a mapping, a handler, and what happens to them, all of it drawn."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from esm.clock import Millis
from esm.testing.faults import Faults

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/simulated"
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:failed"

Fate = Literal["good", "poison", "flaky", "slow", "hangs"]


@dataclass(frozen=True)
class Life:
    """One start of the worker: how it is set, how long it may live, and how it goes if nothing kills it earlier."""

    parallelization_factor: int
    batch_size: int
    seconds: float
    ending: Literal["stop", "kill"]
    rest: float
    updates: tuple[tuple[float, int, int], ...] = ()
    """At so many seconds of its life, the mapping gets another factor and batch size."""


@dataclass(frozen=True)
class Reshard:
    """At `at`: the n-th open shard is split, or merged with its neighbour."""

    at: float
    kind: Literal["split", "merge"]
    choice: float


@dataclass(frozen=True)
class Deployment:
    """One world. Times in seconds from its beginning; `faults_until`: when all goes well from.

    `at_once`: how often, as a probability, a position is written without a wait.
    """

    seed: int
    shards: int
    puts: tuple[tuple[float, str], ...]
    reshards: tuple[Reshard, ...]
    settings: dict[str, Any]
    fates: dict[int, Fate]
    lives: tuple[Life, ...]
    faults: Faults
    faults_until: float
    stream: dict[str, Any] = field(default_factory=dict)
    at_once: float = 0.0

    def keeps(self, number: int) -> bool:
        """Whether the filter lets the n-th record pass."""
        return not self.settings["filter_criteria"] or number % 3 != 1

    def fate(self, number: int) -> Fate:
        """What the handler makes of the n-th record that was put."""
        return self.fates.get(number, "good")


def drawn(seed: int, epoch: Millis) -> Deployment:
    """The deployment of a seed."""
    rng = random.Random(f"deployment {seed}")
    seconds = rng.choice([20.0, 60.0, 200.0])
    settings = _settings(rng)
    count = rng.randrange(10, 150)
    keys = [f"key-{i}" for i in range(rng.choice([1, 2, 5, 20]))]
    burst = rng.random() < 0.3
    puts = sorted((0.0 if burst else rng.uniform(-5.0, seconds), rng.choice(keys)) for _ in range(count))
    until = seconds * rng.uniform(0.5, 1.2)
    faults = Faults(latency=(0, 5))
    if rng.random() < 0.85:
        faults = Faults.drawn(rng, since=epoch, until=epoch + round(until * 1000))
    if rng.random() < 0.25:
        faults = replace(faults, short_read=1.0)  # a shard catches up over many pages
    return Deployment(
        seed=seed,
        shards=rng.choice([1, 1, 2, 3]),
        puts=tuple(puts),
        reshards=_reshards(rng, seconds),
        settings=settings,
        fates=_fates(rng, count, settings),
        lives=_lives(rng, seconds, settings),
        faults=faults,
        faults_until=until,
        stream={
            "page_size": rng.choice([1, 2, 1000]),
            "listing_lag": rng.choice([0, 0, 3_000]),
            "part_records": rng.choice([None, 1, 3]),
            "torn": rng.choice([0.0, 0.0, 0.1]),
            "throttled": rng.random() < 0.5,
        },
        at_once=rng.choice([0.0, 0.5, 1.0]),
    )


def updated(deployment: Deployment) -> Deployment:
    """The same, with updates of the mapping while its workers run."""
    rng = random.Random(f"updates {deployment.seed}")
    return replace(deployment, lives=tuple(replace(life, updates=_updates(rng, life)) for life in deployment.lives))


def _updates(rng: random.Random, life: Life) -> tuple[tuple[float, int, int], ...]:
    times = sorted(rng.uniform(0, life.seconds) for _ in range(rng.choice([1, 2, 4])))
    return tuple((at, rng.choice([1, 2, 3, 4]), rng.choice([1, 3, 10, 40])) for at in times)


def _settings(rng: random.Random) -> dict[str, Any]:
    return {
        "maximum_batching_window_in_seconds": rng.choice([0, 0, 0, 1, 4]),
        "maximum_retry_attempts": rng.choice([-1, 0, 1, 3]),
        "maximum_record_age_in_seconds": rng.choice([-1, -1, -1, 60]),
        "bisect_batch_on_function_error": rng.random() < 0.5,
        "function_response_types": ["ReportBatchItemFailures"] if rng.random() < 0.5 else [],
        "destination_config": QUEUE if rng.random() < 0.7 else None,
        "filter_criteria": [{"data": {"keep": [True]}}] if rng.random() < 0.3 else [],
        "starting_position": rng.choice(["TRIM_HORIZON", "TRIM_HORIZON", "TRIM_HORIZON", "LATEST"]),
    }


def _fates(rng: random.Random, count: int, settings: dict[str, Any]) -> dict[int, Fate]:
    gives_up = settings["maximum_retry_attempts"] != -1 or settings["maximum_record_age_in_seconds"] != -1
    kinds: list[Fate] = ["flaky", "flaky", "slow", "hangs"]
    if gives_up:
        kinds += ["poison", "poison"]
    share = rng.choice([0.0, 0.02, 0.1])
    return {number: rng.choice(kinds) for number in range(count) if rng.random() < share}


def _reshards(rng: random.Random, seconds: float) -> tuple[Reshard, ...]:
    times = sorted(rng.uniform(0, seconds) for _ in range(rng.choice([0, 0, 1, 2, 4])))
    return tuple(Reshard(at, rng.choice(["split", "split", "merge"]), rng.random()) for at in times)


def _lives(rng: random.Random, seconds: float, settings: dict[str, Any]) -> tuple[Life, ...]:
    """The last one lives until everything is settled."""
    factor, batch_size = rng.choice([1, 1, 2, 4]), rng.choice([1, 3, 10, 40])
    lives = []
    for _ in range(rng.choice([1, 2, 3, 5])):
        lives.append(
            Life(
                factor,
                batch_size,
                seconds=rng.uniform(0.5, seconds / 2),
                ending="stop" if rng.random() < 0.5 else "kill",
                rest=rng.choice([0.0, 0.5, 10.0]),
            )
        )
        if rng.random() < 0.4:
            factor, batch_size = rng.choice([1, 2, 3, 4]), rng.choice([1, 3, 10, 40])
    return tuple(lives)
