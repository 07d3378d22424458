"""The soak, for a few seconds: that nothing stays and the sums are right; whether memory grows takes longer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.bench.processes import serving
from tests.soak.soak import soak

SECONDS = 12.0


@pytest.mark.service
def test_bad_functions_leave_nothing_behind(tmp_path: Path) -> None:
    with serving(1000, 200, 10**9) as server:
        done = asyncio.run(soak(server.url, SECONDS, f"sqlite:///{tmp_path / 'esm.db'}", lambda *_: None))
    assert done.ledger.broken == []
    assert done.left == {}
    assert {"succeeded", "failed", "partly failed"} <= {way for way, _ in done.ways.items()}
    assert min(count for (name, _), count in done.ledger.settled.items()) > 0, "every mapping got on"
