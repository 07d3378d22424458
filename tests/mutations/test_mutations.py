"""Changed files of settings: read or refused, each in time, nothing else; `make mutate` reads many more."""

from __future__ import annotations

import pytest

from esm.templates.load import plan_of
from esm.templates.read import read
from esm.templates.template import Options
from tests.mutations.judge import FOLDER, judge
from tests.mutations.mutate import SEEDS, mutated

PART = 250


@pytest.mark.parametrize("part", range(8))
def test_every_file_is_read_or_refused_in_time(part: int) -> None:
    found = judge(part * PART, PART)
    assert found.faults == []
    assert found.outcomes["refused"]
    assert len(found.outcomes) > 3


@pytest.mark.parametrize("path", SEEDS, ids=lambda path: path.name)
def test_what_is_changed_is_valid_itself(path: object) -> None:
    (seed,) = [each for each in SEEDS if each == path]
    options = Options(region="us-east-1", stack_name="shop", environ={})
    plan = plan_of(read(seed), FOLDER / seed.name, options)
    assert len(plan.planned) > 1


def test_the_same_seed_is_the_same_file() -> None:
    assert mutated(7) == mutated(7)
    assert len({mutated(seed)[1] for seed in range(100)}) > 90
