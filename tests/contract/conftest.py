"""What the tests of stores share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The loop that stores run in."""
    return "asyncio"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a store is made."""
    return tmp_path / "esm.db"
