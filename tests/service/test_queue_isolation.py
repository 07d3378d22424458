"""A FIFO queue whose function runs in a thread, or in processes of its own, with a filter and partial failures."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

import esm
from esm.telemetry import facts
from tests.servers.queues import Queues
from tests.servers.sessions import signed_in
from tests.servers.streams import REGION

pytestmark = [pytest.mark.anyio, pytest.mark.service, pytest.mark.usefixtures("short_polls")]

GROUPS = ("a", "b", "c")
EACH = 9
BAD = 4


def keep(event: dict[str, Any], context: esm.LambdaContext) -> dict[str, Any]:
    """Writes down what it got; the first time at a bad one, it names that and all behind it.

    With nothing written of group `c` yet, it takes the process along, where it has one of its own.
    """
    folder, failed = Path(os.environ["FOLDER"]), list[dict[str, str]]()
    (group,) = {record["attributes"]["MessageGroupId"] for record in event["Records"]}
    alone = threading.current_thread() is threading.main_thread()
    if alone and group == "c" and not (folder / "crashed").exists():
        (folder / "crashed").touch()
        os.abort()
    assert context.get_remaining_time_in_millis() > 0
    with (folder / group).open("a") as kept:
        for record in event["Records"]:
            number, mark = json.loads(record["body"])["n"], folder / f"bad-{group}"
            if failed or (number == BAD and not mark.exists()):
                mark.touch()
                failed.append({"itemIdentifier": record["messageId"]})
            else:
                kept.write(f"{number}\n")
    return {"batchItemFailures": failed}


class Deleted:
    """How many messages are gone, and what calls failed with."""

    def __init__(self) -> None:
        self.messages = 0
        self.errors: defaultdict[str, int] = defaultdict(int)

    def notice(self, fact: facts.Fact) -> None:
        if isinstance(fact, facts.MessagesDeleted):
            self.messages += fact.messages
        elif isinstance(fact, facts.InvocationEnded) and fact.error_type:
            self.errors[fact.error_type] += 1


async def until(holds: Callable[[], bool]) -> None:
    give_up = time.perf_counter() + 40
    while not holds():
        assert time.perf_counter() < give_up, "it does not come to pass"
        await asyncio.sleep(0.02)


@pytest.fixture
def where(ministack: str, account: str) -> dict[str, Any]:
    """What a worker is told of the local AWS."""
    return {"endpoint_url": ministack, "region_name": REGION, "session": signed_in(account)}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the function writes."""
    monkeypatch.setenv("FOLDER", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("isolation", ["thread", "process"])
async def test_message_groups_are_done_in_order_whatever_the_function_runs_in(
    isolation: Literal["thread", "process"], queues: Queues, where: dict[str, Any], folder: Path
) -> None:
    arn, deleted = await queues.create(fifo=True, visibility=2), Deleted()
    sent = [(json.dumps({"n": n, "keep": n % 3 != 1 or n == BAD}), group) for n in range(EACH) for group in GROUPS]
    await queues.send_many(arn, [body for body, _ in sent], [group for _, group in sent])
    mapping = esm.EventSourceMapping(
        event_source_arn=arn,
        function=esm.Function(keep, isolation=isolation, timeout=2.0, environment={"FOLDER": str(folder)}),
        filter_criteria=[{"body": {"keep": [True]}}],
        function_response_types=["ReportBatchItemFailures"],
    )
    async with esm.Worker([mapping], store="memory:", observers=[deleted], **where):
        await until(lambda: deleted.messages == len(sent))
    kept = [n for n in range(EACH) if n % 3 != 1 or n == BAD]
    for group in GROUPS:
        assert [int(line) for line in (folder / group).read_text().splitlines()] == kept
    assert await queues.counts(arn) == (0, 0)
    assert dict(deleted.errors) == ({"Runtime.ExitError": 1} if isolation == "process" else {})
