"""`esm.Worker` as a user runs it: positions in SQLite, an async handler, and batches as the plan has them."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import replace

import uvloop
from aiobotocore.config import AioConfig
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession, get_session

import esm
from esm.cli.memory import keep_large_blocks, spare_the_collector
from tests.bench.meter import Meter, Plan

__all__ = ["run", "run_frozen", "run_on_uvloop", "run_ten_lanes", "run_through_the_sdk", "work"]

LOOK_S = 0.02


def run(plan: Plan, meter: Meter) -> None:
    """Works until there is enough, on asyncio's own loop."""
    asyncio.run(work(plan, meter))


def run_on_uvloop(plan: Plan, meter: Meter) -> None:
    """The same on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work(plan, meter))


def run_frozen(plan: Plan, meter: Meter) -> None:
    """As `esm run` does it: what a start leaves behind is no matter of the garbage collector's any more."""
    asyncio.run(work(plan, meter, freeze=True))


def run_ten_lanes(plan: Plan, meter: Meter) -> None:
    """With a parallelization factor of ten."""
    asyncio.run(work(replace(plan, factor=10), meter))


def run_through_the_sdk(plan: Plan, meter: Meter) -> None:
    """With an HTTP client of the caller's own, so that every call goes through aiobotocore."""
    session = get_session()
    session.set_default_client_config(AioConfig(http_session_cls=_Own))
    asyncio.run(work(plan, meter, session))


class _Own(AIOHTTPSession):  # type: ignore[misc]  # the package has no types
    """Does what aiobotocore's does."""


async def work(plan: Plan, meter: Meter, session: AioSession | None = None, *, freeze: bool = False) -> None:
    """Works until there is enough."""
    session = session or get_session()
    session.set_credentials("bench", "bench")
    mapping = esm.EventSourceMapping(
        event_source_arn=plan.arn,
        function=meter.handle,
        starting_position="TRIM_HORIZON",
        batch_size=plan.batch_size,
        parallelization_factor=plan.factor,
    )
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/positions.db"
        async with esm.Worker([mapping], store=store, endpoint_url=plan.url, session=session):
            if freeze:
                keep_large_blocks()
                spare_the_collector()
            while not meter.lap():  # noqa: ASYNC110  # what it looks at is another process's counter
                await asyncio.sleep(LOOK_S)
