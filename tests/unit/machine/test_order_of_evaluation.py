"""The machine against the order of evaluation that reproduces every recorded vector, written down as a recursion.

Age, then the invoke, then progress, then bisecting, then the budget of retries (observed). One lane; the function's
answers are drawn, the same for both.
"""

from __future__ import annotations

from random import Random

import pytest

from esm.machine.outcome import Failed, PartlyFailed, Report, Succeeded
from esm.machine.rules import StreamRules
from tests.unit.machine.script import Function, Script

AGE_MS = 500


class Recursion:
    """What Lambda would do: `done` are the invokes and discards, in order, each with its time."""

    def __init__(self, rules: StreamRules, arrivals: dict[str, int], function: Function) -> None:
        self.rules = rules
        self.arrivals = arrivals
        self.function = function
        self.now = 0
        self.done: list[tuple[int, str]] = []

    def run(self, names: str) -> list[tuple[int, str]]:
        while names:
            count = self.expired(names[: self.rules.batch_size]) or self.rules.batch_size
            self.process(names[:count])
            names = names[count:]
        return self.done

    def expires_at(self, name: str) -> int:
        age = self.rules.maximum_record_age_ms
        return 1 << 60 if age is None else self.arrivals[name] + age + 1

    def expired(self, names: str) -> int:
        return next((i for i, name in enumerate(names) if self.expires_at(name) > self.now), len(names))

    def discard(self, names: str) -> None:
        self.done.append((self.now, f"D[{names}]"))

    def process(self, names: str) -> None:
        attempts, not_before = 0, 0
        while names:
            self.now = max(self.now, min(not_before, self.expires_at(names[0])))
            if count := self.expired(names):
                self.discard(names[:count])
                names = names[count:]
                continue
            self.done.append((self.now, f"[{names}]"))
            outcome = self.function(names)
            if isinstance(outcome, Succeeded):
                return
            if done := lowest_failed(names, outcome):
                self.process(names[done:])
                return
            if self.rules.bisect_batch_on_function_error and len(names) > 1:
                self.process(names[: len(names) // 2])
                self.process(names[len(names) // 2 :])
                return
            attempts += 1
            if self.rules.maximum_retry_attempts is not None and attempts > self.rules.maximum_retry_attempts:
                self.discard(names)
                return
            not_before = self.now + min(200 << (attempts - 1), 60_000)


def lowest_failed(names: str, outcome: Report) -> int:
    if not isinstance(outcome, PartlyFailed):
        return 0
    return next(i for i, name in enumerate(names) if str(int(name, 36)) in outcome.item_identifiers)


def drawn(seed: int) -> Function:
    """A function whose answers are drawn, call by call; in the end it succeeds."""
    rng = Random(seed)

    def function(names: str) -> Report:
        bad = [str(int(name, 36)) for name in names if rng.random() < 0.3]
        if not bad or rng.random() < 0.2:
            return Succeeded()
        return PartlyFailed(frozenset(bad)) if rng.random() < 0.5 else Failed("Error", "no")

    return function


@pytest.mark.parametrize("first", range(0, 1000, 250))
def test_the_machine_does_what_the_recursion_does(first: int) -> None:
    for seed in range(first, first + 250):
        rng = Random(seed)
        names = "123456789abcdefghij"[: rng.randint(1, 19)]
        at = 0
        arrivals = {name: (at := at + rng.choice((0, 40, 150))) for name in names}
        rules = StreamRules(
            batch_size=rng.randint(1, 8),
            payload_bytes_max=1000,
            maximum_retry_attempts=rng.choice((None, 0, 1, 3)),
            maximum_record_age_ms=rng.choice((None, AGE_MS)),
            bisect_batch_on_function_error=rng.random() < 0.5,
        )
        script = Script(
            drawn(seed),
            batch_size=rules.batch_size,
            maximum_retry_attempts=rules.maximum_retry_attempts,
            maximum_record_age_ms=rules.maximum_record_age_ms,
            bisect_batch_on_function_error=rules.bisect_batch_on_function_error,
        )
        for name in names:
            script.read(name, arrived_at=arrivals[name])
        script.play()
        assert script.story == Recursion(rules, arrivals, drawn(seed)).run(names), f"seed {seed}"
