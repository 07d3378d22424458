"""`--seeds N`: that many fresh seeds. `--seed S`: that one, again."""

from __future__ import annotations

import os
import random

import pytest

SEEDS = 300
"""Fresh ones in every run of the suite."""

CHUNK = 10
"""Seeds to a test: a test each would cost more than the seed."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Two options."""
    parser.addoption("--seeds", type=int, default=SEEDS, help="how many fresh seeds the simulation plays")
    parser.addoption("--seed", type=int, default=None, help="the one seed that the simulation plays")


def pytest_configure(config: pytest.Config) -> None:
    """All workers of a run play different seeds of the same row, which begins anew in every run."""
    if "ESM_SIMULATION_SEED" not in os.environ:
        os.environ["ESM_SIMULATION_SEED"] = str(random.SystemRandom().randrange(1_000_000_000))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives `seeds`: a few seeds each."""
    if "seeds" not in metafunc.fixturenames:
        return
    only = metafunc.config.getoption("--seed")
    if only is not None:
        metafunc.parametrize("seeds", [[only]], ids=[str(only)])
        return
    first = int(os.environ["ESM_SIMULATION_SEED"])
    count = metafunc.config.getoption("--seeds")
    chunks = [list(range(first + i, first + min(i + CHUNK, count))) for i in range(0, count, CHUNK)]
    metafunc.parametrize("seeds", chunks, ids=[f"chunk-{i}" for i in range(len(chunks))])
