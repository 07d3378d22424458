"""A queue drained in a process of its own, which kills itself at one of its steps: `python drain_life.py PLAN`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from esm.aws.sqs import SqsCalls
from esm.replaying import messages
from esm.replaying import record as recording
from tests.servers.sessions import signed_in
from tests.servers.streams import REGION

HIDDEN_S = 2
STEPS = ("received", "written", "deleted")


def kills(at: str) -> type[SqsCalls]:
    """Calls of a queue that end with the process, the second time it comes to the step `at`."""
    come = dict.fromkeys(STEPS, 0)

    def step(name: str) -> None:
        come[name] += 1
        if name == at and come[name] == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    class Killing(SqsCalls):
        async def receive_message(self, *given: Any, **named: Any) -> Any:
            received = await super().receive_message(*given, **named)
            step("received")
            return received

        async def delete_message_batch(self, queue_arn: str, receipt_handles: Sequence[str]) -> Any:
            step("written")
            deleted = await super().delete_message_batch(queue_arn, receipt_handles)
            step("deleted")
            return deleted

    return Killing


async def live(plan: dict[str, Any]) -> None:
    vars(recording)["SqsCalls"] = kills(plan["at"])  # for this process alone
    messages.HIDDEN_SECONDS = HIDDEN_S  # nobody waits a minute for what a killed process had hidden
    here = {"endpoint_url": plan["url"], "region_name": REGION, "session": signed_in(plan["account"])}
    await recording.record(plan["queue"], plan["path"], messages="drain", duration=plan["seconds"], **here)


if __name__ == "__main__":
    asyncio.run(live(json.loads(sys.argv[1])))
