"""A what-if beside a real run of the same recording and function against a local AWS."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import esm
from esm.testing import Put
from esm.whatif.function import Behaviour
from esm.whatif.traffic import Traffic, read_traffic
from esm.whatif.trial import Prices, try_settings
from tests.servers.accounts import Account, account_on, mapping_of
from tests.unit.whatif.recordings import kinesis

pytestmark = [pytest.mark.anyio, pytest.mark.service]

CALL_MS = 10.0
APART = 0.10  # as far as they may be from each other


async def invocations(account: Account, stream: str, traffic: Traffic, **settings: Any) -> int:
    """Of a real worker, while the records come at their pace."""
    calls = done = 0
    over = asyncio.Event()

    async def handle(event: dict[str, Any], context: object) -> None:
        nonlocal calls, done
        await asyncio.sleep(CALL_MS / 1000)
        calls, done = calls + 1, done + len(event["Records"])
        if done == len(traffic.events):
            over.set()

    mapping = mapping_of(stream, handle, **settings)
    at_once = traffic.seconds == 0
    if at_once:
        await put(account, stream, traffic)
    async with esm.Worker([mapping], store="memory:", **account.worker_settings):
        if not at_once:
            await put(account, stream, traffic)
        await over.wait()
    return calls


async def put(account: Account, stream: str, traffic: Traffic) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    events = [event for event in traffic.events if isinstance(event, Put)]
    for start in range(0, len(events), 25):
        some = events[start : start + 25]
        await asyncio.sleep(max(0.0, some[0].at - (loop.time() - began)))
        await account.fill(stream, [(event.key, event.data) for event in some if isinstance(event.data, bytes)])


@pytest.mark.parametrize(
    "settings",
    [
        {"batch_size": 10},
        {"batch_size": 50, "parallelization_factor": 4},
        {"batch_size": 20, "maximum_batching_window_in_seconds": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("a_second", [1e9, 150.0], ids=["backlog", "live"])
async def test_invocations_agree(
    a_second: float, settings: dict[str, int], ministack: str, account: str, tmp_path: Path
) -> None:
    records = 2000 if a_second > 1e6 else 900
    traffic = read_traffic(kinesis(tmp_path / "r.jsonl", records, a_second=a_second, shards=1))
    async with account_on(ministack, account) as there:
        stream = await there.streams.create(shards=1)
        real = await invocations(there, stream, traffic, **settings)
        told = try_settings(traffic, mapping_of(stream, print), Behaviour(call_ms=CALL_MS), settings, Prices())
    assert real == pytest.approx(told.invocations, rel=APART), (real, told.invocations)
