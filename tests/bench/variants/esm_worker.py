"""`esm.Worker` as a user runs it: positions in SQLite, an async handler, batches of 100."""

from __future__ import annotations

import asyncio
import tempfile

import uvloop
from aiobotocore.session import get_session

import esm
from tests.bench.meter import Meter, Plan
from tests.bench.workloads import BATCH_SIZE

__all__ = ["run", "run_on_uvloop"]

LOOK_S = 0.02


def run(plan: Plan, meter: Meter) -> None:
    """Works until there is enough, on asyncio's own loop."""
    asyncio.run(_work(plan, meter))


def run_on_uvloop(plan: Plan, meter: Meter) -> None:
    """The same on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_work(plan, meter))


async def _work(plan: Plan, meter: Meter) -> None:
    session = get_session()
    session.set_credentials("bench", "bench")
    mapping = esm.EventSourceMapping(
        event_source_arn=plan.arn,
        function=meter.handle,
        starting_position="TRIM_HORIZON",
        batch_size=BATCH_SIZE,
    )
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/positions.db"
        async with esm.Worker([mapping], store=store, endpoint_url=plan.url, session=session):
            while not meter.lap():  # noqa: ASYNC110  # what it looks at is another process's counter
                await asyncio.sleep(LOOK_S)
