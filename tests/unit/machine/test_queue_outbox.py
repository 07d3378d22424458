"""Messages that wait for a call of ten."""

from __future__ import annotations

from esm.machine.queue_batch import Held, Parcel
from esm.machine.queue_outbox import Outbox


def held(number: int) -> Held:
    return Held(number, 1, Parcel(0, 30_000), 30_000, 30_000)


def test_nothing_is_no_call() -> None:
    """An empty list among those that wait took one of the calls that may be out, and never gave it back."""
    outbox = Outbox(linger_ms=20, calls_max=1)
    outbox.add([], 0)
    outbox.add_again(again := held(1), 1_000)
    assert (outbox.due(), outbox.take(500), outbox.out) == (1_000, [], 0)
    assert outbox.take(1_000) == [again]


def test_ten_go_at_once_and_fewer_after_a_while() -> None:
    outbox = Outbox(linger_ms=20, calls_max=5)
    messages = [held(n) for n in range(23)]
    outbox.add(messages[:10], 0)
    outbox.add(messages[10:13], 0)
    outbox.add(messages[13:], 5)
    assert [outbox.take(5), outbox.take(5)] == [messages[:10], messages[10:20]]
    assert (outbox.take(19), outbox.due()) == ([], 25)
    assert outbox.take(25) == messages[20:]
    assert (outbox.waiting, outbox.out, outbox.due()) == (0, 3, None)
