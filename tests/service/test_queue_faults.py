"""A worker on a queue behind a network that does one thing wrong, again and again: nothing is lost, all goes on.

https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from random import Random
from typing import Any

import pytest

import esm
from esm.aws import sqs as sqs_module
from esm.aws.session import AwsSession
from esm.mapping.settings import EventSourceMapping
from esm.runtime import queue as queue_module
from tests.servers.faulty import FAULTS, FaultyProxy
from tests.servers.queues import Queues
from tests.servers.sessions import signed_in
from tests.servers.streams import REGION

pytestmark = [pytest.mark.anyio, pytest.mark.service]

PATIENCE_S = 40.0
MESSAGES = 18
SPOILT = 4
"""So many calls go wrong, one after the other, before all goes well."""
CALL_S = 1.0
VISIBILITY = 2


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long polls of a second, and deadlines of little more."""
    monkeypatch.setattr(queue_module, "SQS_WAIT_SECONDS", 1)
    monkeypatch.setattr(sqs_module, "RECEIVE_TIMEOUT_S", 1 + CALL_S)
    defaults = AwsSession.__init__.__kwdefaults__ or {}
    monkeypatch.setitem(defaults, "read_timeout", CALL_S)


async def play(kind: str, url: str, account: str, queues: Queues) -> tuple[Counter[str], FaultyProxy]:
    """How often each message was done before the queue was empty."""
    arn, done = await queues.create(visibility=VISIBILITY), Counter[str]()
    await queues.send_many(arn, [str(number) for number in range(MESSAGES)])

    async def handle(event: dict[str, Any], _context: Any) -> None:
        done.update(record["body"] for record in event["Records"])

    function = esm.Function(handle, timeout=1.0)
    mapping = EventSourceMapping(event_source_arn=arn, function=function, batch_size=3)
    async with FaultyProxy(url, Random(kind), rate=1.0, kinds=[kind]) as proxy:
        settings = {"endpoint_url": proxy.url, "region_name": REGION, "session": signed_in(account)}
        async with esm.Worker([mapping], store="memory:", **settings):
            give_up = time.perf_counter() + PATIENCE_S
            while await queues.counts(arn) != (0, 0):
                if proxy.faults.total() >= SPOILT:
                    proxy.heal()
                assert time.perf_counter() < give_up, f"{kind}: the queue does not become empty"
                await asyncio.sleep(0.05)
    return done, proxy


async def test_each_fault_is_survived(ministack: str, account: str, queues: Queues) -> None:
    """All at once, each on a queue and behind a proxy of its own."""
    plays = await asyncio.gather(*(play(kind, ministack, account, queues) for kind in FAULTS))
    for kind, (done, proxy) in zip(FAULTS, plays, strict=True):
        assert len(done) == MESSAGES, kind
        assert {fault for _, fault in proxy.faults} == {kind}
        assert proxy.faults.total() >= SPOILT
        assert done.total() - MESSAGES <= sum(proxy.touched.values()), f"{kind}: done twice without a cause"
