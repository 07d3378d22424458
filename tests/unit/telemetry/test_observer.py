"""An observer is somebody else's code: it is told everything and harms nothing."""

from __future__ import annotations

from esm.telemetry.facts import Fact, ObserverDropped, ShardEnded
from esm.telemetry.observer import Observers

FACT = ShardEnded(at=1, mapping="m", shard="s")


class Listener:
    def __init__(self) -> None:
        self.told: list[Fact] = []

    def notice(self, fact: Fact) -> None:
        self.told.append(fact)


class Broken:
    def __init__(self) -> None:
        self.calls = 0

    def notice(self, fact: Fact) -> None:
        self.calls += 1
        raise RuntimeError("secret")


def test_everyone_is_told_in_order() -> None:
    first, second = Listener(), Listener()
    observers = Observers([first, second])
    observers.notice(FACT)
    assert first.told == second.told == [FACT]


def test_one_that_raises_is_dropped_and_the_others_are_told_so() -> None:
    broken, listener = Broken(), Listener()
    observers = Observers([broken, listener])
    observers.notice(FACT)
    observers.notice(FACT)
    assert broken.calls == 1
    assert listener.told == [FACT, ObserverDropped(at=1, observer="Broken", error="RuntimeError"), FACT]


def test_two_that_raise_are_both_dropped() -> None:
    one, other = Broken(), Broken()
    observers = Observers([one, other])
    observers.notice(FACT)
    observers.notice(FACT)
    assert (one.calls, other.calls) == (1, 1)
