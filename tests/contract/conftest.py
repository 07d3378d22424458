"""What the tests of stores share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from esm.stores.sqlite import SqliteStore
from tests.contract.newest_leases import opened


@pytest.fixture
def anyio_backend() -> str:
    """The loop that stores run in."""
    return "asyncio"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a store is made."""
    return tmp_path / "esm.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[SqliteStore]:
    store = await opened(file)
    yield store
    await store.close()


@pytest.fixture
async def other(file: Path, store: SqliteStore) -> AsyncIterator[SqliteStore]:
    """As another process has it."""
    other = await opened(file)
    yield other
    await other.close()
