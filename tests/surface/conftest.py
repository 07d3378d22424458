"""A command line to type on, and streams to point it at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.surface.streams import REGION, Stream
from tests.surface.typed import Esm


@pytest.fixture
def esm_(tmp_path: Path, account: str) -> Esm:
    """The command, with credentials that a local AWS takes."""
    credentials = {"AWS_ACCESS_KEY_ID": account, "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": REGION}
    return Esm(tmp_path, credentials)


@pytest.fixture
def stream(ministack: str, account: str) -> Iterator[Stream]:
    """An empty stream of one shard."""
    made = Stream(ministack, account)
    yield made
    made.close()


@pytest.fixture
def resharded(kinesis_local: str, account: str) -> Iterator[Stream]:
    """The same on a server whose shards can be split."""
    made = Stream(kinesis_local, account)
    yield made
    made.close()
