"""`esm.Worker` on a queue as a user runs it, with its store in SQLite, which a queue has no need of.

Fifty handlers: five provisioned pollers have ten each. One handler: Lambda allows no less than two, so a lock in the
function makes it one, unless it does nothing: then it is through before anything else can begin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop
from aiobotocore.session import get_session

import esm
from esm.cli.open_files import open_all_that_is_allowed
from tests.bench.queue_client import Handler, QueuePlan
from tests.bench.workloads import QUEUE_ARN

__all__ = ["run", "run_on_uvloop"]

SLOTS_A_POLLER = 10


def run(plan: QueuePlan) -> None:
    """Works until it is ended, on asyncio's own loop."""
    asyncio.run(_work(plan))


def run_on_uvloop(plan: QueuePlan) -> None:
    """The same on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(plan))


async def _work(plan: QueuePlan) -> None:
    session = get_session()
    session.set_credentials("bench", "bench")
    settings = _handlers(plan)
    arns = [QUEUE_ARN, *(f"{QUEUE_ARN}-{number}" for number in range(1, plan.queues))]
    mappings = [esm.EventSourceMapping(event_source_arn=arn, batch_size=10, **settings) for arn in arns]
    store = f"sqlite:///{plan.folder}/positions.db"
    open_all_that_is_allowed()
    async with esm.Worker(mappings, store=store, endpoint_url=plan.url, session=session) as worker:
        await worker.join()


def _handlers(plan: QueuePlan) -> dict[str, Any]:
    handle = Handler(plan).handle
    if plan.queues > 1:
        return {"function": handle}
    if plan.handlers > 1:
        pollers = plan.handlers // SLOTS_A_POLLER
        config = {"MinimumPollers": pollers, "MaximumPollers": pollers}
        return {"function": handle, "provisioned_poller_config": config}
    return {
        "function": _one_at_a_time(handle) if plan.takes_ms else handle,
        "scaling_config": {"MaximumConcurrency": 2},
    }


def _one_at_a_time(handle: Callable[[dict[str, Any], Any], Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    lock = asyncio.Lock()

    async def one_at_a_time(event: dict[str, Any], context: Any) -> None:
        async with lock:
            await handle(event, context)

    return one_at_a_time
