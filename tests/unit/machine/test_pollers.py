"""How many batches at once, from what was observed."""

from __future__ import annotations

import pytest

from esm.machine.pollers import Pollers
from esm.machine.queue_rules import QueueRules


def rules(**more: int) -> QueueRules:
    return QueueRules(batch_size=10, payload_bytes_max=1000, **more)  # type: ignore[arg-type]  # whole numbers only


def test_full_receives_add_300_a_minute_up_to_1250() -> None:
    pollers = Pollers(rules())
    assert pollers.concurrency == 5
    for second in range(61):
        pollers.received(10, 10, second * 1000)
    assert pollers.concurrency == 305
    for second in range(61, 600):
        pollers.received(10, 10, second * 1000)
    assert pollers.concurrency == 1250


def test_receives_that_are_not_full_add_nothing() -> None:
    pollers = Pollers(rules())
    for second in range(61):
        pollers.received(10, 9, second * 1000)
    assert pollers.concurrency == 5


def test_a_long_silence_counts_as_a_minute() -> None:
    pollers = Pollers(rules())
    pollers.received(10, 10, 0)
    pollers.received(10, 10, 3_600_000)
    assert pollers.concurrency == 305


def test_empty_receives_leave_few_polls_and_the_first_concurrency() -> None:
    pollers = Pollers(rules())
    for second in range(61):
        pollers.received(10, 10, second * 1000)
    assert pollers.polls == 50
    for _ in range(100):
        pollers.received(10, 0, 61_000)
    assert (pollers.concurrency, pollers.polls) == (5, 2)
    pollers.received(10, 1, 61_000)
    assert pollers.polls == 5


def test_failures_lower_the_concurrency_which_recovers() -> None:
    pollers = Pollers(rules())
    pollers.received(10, 1, 0)
    for _ in range(10):
        pollers.failed()
    assert pollers.concurrency == 2
    pollers.received(10, 1, 1000)
    assert pollers.concurrency == 7


@pytest.mark.parametrize("most", [1, 2, 3])
def test_a_bound_is_a_bound(most: int) -> None:
    pollers = Pollers(rules(concurrency_max=most))
    for second in range(100):
        pollers.received(10, 10, second * 1000)
        assert pollers.concurrency == most
    pollers.failed()
    assert pollers.concurrency == min(most, 2)


def test_a_provisioned_poller_feeds_ten_slots() -> None:
    pollers = Pollers(rules(concurrency_at_start=30, concurrency_max=40, slots_a_poll=10, polls_min=3))
    assert (pollers.concurrency, pollers.polls) == (30, 3)
