"""Whatever is done to mappings, in whatever order and by whomever: no record is lost, and none overtakes another.

A failure names its seed first; `pytest tests/simulation/test_managed.py --seed S` plays it again.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from esm.runtime.concurrency import Slots
from esm.runtime.life import Life
from tests.simulation.checker import ViolationError
from tests.simulation.managed import play_managed


@pytest.mark.timeout(300)
@pytest.mark.parametrize("rough", [False, True], ids=["gentle", "rough"])
def test_no_record_is_lost_whatever_is_done_to_mappings(seeds: list[int], rough: bool) -> None:
    play_managed(seeds[0], rough=rough)


def test_the_worlds_are_not_peaceful() -> None:
    met: Counter[str] = Counter()
    for seed in range(6):
        met += play_managed(seed, rough=True).met
    for action in ("create", "update", "switch", "delete", "give_up", "reenter", "limit"):
        assert met[f"{action} done"], action
    for what in ("create refused", "update refused", "delete refused", "limit refused", "create failed"):
        assert met[what], what


async def _no_drain(self: Life, _drain_s: float) -> None:
    """Cuts off at once what is out."""
    self.stop()
    self._scope.cancel()
    await self.wait()
    await self.close()


async def _no_end(self: Life, _drain_s: float) -> None:
    """Lets the old runner go on beside the new one."""
    self.runner = None


def _no_limit(self: Slots) -> bool:
    self.in_use += 1
    return True


@pytest.mark.parametrize(
    ("whose", "name", "planted"), [(Life, "end", _no_drain), (Life, "end", _no_end), (Slots, "enter", _no_limit)]
)
def test_what_is_planted_is_found(whose: type, name: str, planted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whose, name, planted)
    with pytest.raises(ViolationError, match=r"^seed \d+, rough=False: "):
        _play_all(range(20))


def _play_all(seeds: range) -> None:
    for seed in seeds:
        play_managed(seed, rough=False)
