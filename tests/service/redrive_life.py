"""A redrive in a process of its own, which kills itself at one of its steps: `python redrive_life.py PLAN`.

What the function did stands in a journal outside, one line a call: the sequence numbers that it was given.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import esm
from esm.aws.session import AwsSession
from esm.aws.sqs import SqsCalls
from esm.redriving.box import Box, Document
from esm.redriving.queue_box import QueueBox
from esm.redriving.redrive import open_box
from esm.redriving.redriver import Redriver
from esm.runtime.real import real_ports
from tests.servers.sessions import signed_in
from tests.servers.streams import REGION

HIDDEN_S = 2
STEPS = ("given out", "called", "handled", "struck off", "closed")


class Killing:
    """A box, and the steps around it."""

    def __init__(self, box: Box, at: str) -> None:
        self.box, self.at = box, at
        self.in_groups = box.in_groups

    def step(self, name: str) -> None:
        if name == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    async def prepare(self) -> None:
        await self.box.prepare()

    async def documents(self) -> AsyncGenerator[Document, None]:
        async for document in self.box.documents():
            yield document
        self.step("given out")

    async def done(self, document: Document) -> None:
        self.step("handled")
        await self.box.done(document)
        self.step("struck off")

    async def close(self) -> None:
        self.step("closed")
        await self.box.close()


def box_of(source: str, session: AwsSession) -> Box:
    """As `esm.redrive` opens it; but nobody waits two minutes for a message that a killed process had hidden."""
    if source.startswith("arn:"):
        return QueueBox(SqsCalls(session), source, hidden_s=HIDDEN_S)
    return open_box(source, session)


async def live(plan: dict[str, Any]) -> None:
    journal = Path(plan["journal"])
    settings: dict[str, Any] = {"endpoint_url": plan["url"], "region_name": REGION}
    async with AwsSession(signed_in(plan["account"]), **settings) as session:
        killing = Killing(box_of(plan["source"], session), plan["at"])

        def handle(event: dict[str, Any], context: object) -> None:
            numbers = [item["kinesis"]["sequenceNumber"] for item in event["Records"]]
            with journal.open("a") as file:
                file.write(json.dumps(numbers) + "\n")
            killing.step("called")

        mapping = esm.EventSourceMapping(
            event_source_arn=plan["stream"], function=handle, starting_position="TRIM_HORIZON"
        )
        ports = real_ports(session=signed_in(plan["account"]), **settings)
        try:
            await Redriver(box=killing, ports=ports, mapping_for=lambda _: mapping).run()
        finally:
            await ports.close()


if __name__ == "__main__":
    asyncio.run(live(json.loads(sys.argv[1])))
