"""Fresh seeds in every run: worlds that nobody has seen, judged by what must always hold.

A failure prints its seed first; `pytest tests/simulation --seed S` plays it again.
"""

from __future__ import annotations

from typing import Any

import pytest

from esm.testing.loop import EPOCH
from tests.simulation.checker import ViolationError
from tests.simulation.deployment import drawn, updated
from tests.simulation.world import play


@pytest.mark.timeout(300)
def test_no_invariant_is_broken(seeds: list[int]) -> None:
    for seed in seeds:
        play(seed)


@pytest.mark.timeout(300)
def test_no_invariant_is_broken_by_updates_while_workers_run(seeds: list[int]) -> None:
    for seed in seeds:
        play(seed, updated(drawn(seed, EPOCH)))


def test_updates_do_happen() -> None:
    deployment = updated(drawn(3, EPOCH))
    updates = sum(len(life.updates) for life in deployment.lives)
    with_updates, without = play(3, deployment).journal.counts(), play(3).journal.counts()
    begun, anew = (with_updates[kind] - without[kind] for kind in ("LifeBegan", "WorkerKilled"))
    assert 0 < begun - anew <= updates


def test_a_seed_gives_one_history() -> None:
    assert play(7).journal.digest() == play(7).journal.digest()


def test_the_worlds_are_not_peaceful() -> None:
    """What a run of seeds reaches: an invariant that nothing puts to the test is no evidence."""
    met = play(0).journal.counts()
    for seed in range(1, 40):
        met += play(seed).journal.counts()
    for kind in (
        "AttemptEnded",
        "CheckpointAccepted",
        "Discarded",
        "DiscardReceived",
        "ShardResharded",
        "WorkerKilled",
        "GetRecords: expired_iterator",
        "GetRecords: lost_reply",
        "GetRecords: outages",
        "GetRecords: throttle",
        "ListShards: throttle",
        "checkpoint: lost_reply",
        "checkpoint: outages",
    ):
        assert met[kind], kind


def test_a_violation_names_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_in_the_first(records: list[Any], lanes: int) -> list[list[Any]]:
        return [records, *([] for _ in range(lanes - 1))]

    monkeypatch.setattr("esm.machine.shard.by_lane", all_in_the_first)
    monkeypatch.setattr("tests.simulation.checker.lane_of", lambda _key, _lanes: 1)
    with pytest.raises(ViolationError, match=r"^seed \d+: "):
        _play_all(range(200))


def _play_all(seeds: range) -> None:
    for seed in seeds:
        play(seed)
