"""The budget of bytes where readers are many: none waits for room that others only keep for what may come."""

from __future__ import annotations

from esm.runtime.answer_size import AnswerSize
from esm.runtime.bounded_queue import RECEIVE_BYTES, RECEIVE_BYTES_MIN
from esm.runtime.budget import LITTLE, Budget, Share
from esm.runtime.resources import Resources

MIB = 1 << 20


def test_of_thousands_that_are_idle_none_waits_while_there_are_connections_for_them() -> None:
    """What may have been written to 8,000 shards within two seconds is far more than there is room for."""
    resources, size = Resources(), AnswerSize("kinesis")
    size.learn(0, 0, behind_ms=0, now=0)
    budget = Budget(resources.bytes_in_flight)
    shares = [budget.share() for _ in range(8000)]
    given = [share.reserve(size.expected(1000)) for share in shares[: 2 * resources.connections]]
    assert min(given) >= LITTLE
    few = [share.reserve(size.expected(1000)) for share in _fresh(budget.limit, 8)]
    assert few == [size.expected(1000)] * 8  # where they are few, each may ask for all of it


def _fresh(limit: int, count: int) -> list[Share]:
    budget = Budget(limit)
    return [budget.share() for _ in range(count)]


def test_the_polls_of_thousands_of_idle_queues_are_all_out_at_once() -> None:
    """Each is out for twenty seconds: who waits for room hears of no message for as long."""
    budget = Budget(Resources().bytes_in_flight)
    queues = [budget.share(polls=True) for _ in range(3000)]
    for _ in range(5):
        assert all(queue.reserve(max(RECEIVE_BYTES_MIN, queue.fair(RECEIVE_BYTES))) for queue in queues)


def test_where_queues_are_few_each_poll_has_room_for_all_that_it_may_bring() -> None:
    budget = Budget(2 * MIB)
    first, second = (budget.share(polls=True) for _ in range(2))
    assert first.fair(MIB) == second.fair(MIB) == MIB
    assert first.reserve(first.fair(MIB)) == MIB
    assert not second.has_room(2 * MIB)
