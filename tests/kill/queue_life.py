"""Lives of a worker on a queue, each a process of its own, and what is to be said of what their functions did.

What the function did stands in a log outside of it, one line a message, written before the function goes on:

    <life> begin|end|failed <group> <body> <message id>
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.servers.streams import REGION

__all__ = ["BATCH", "CALL_S", "SLOTS", "VISIBILITY", "Deed", "Life", "judge", "read"]

PATIENCE_S = 60.0
BATCH, SLOTS = 3, 4
VISIBILITY = 3
CALL_S = 1.2
"""Deadline of a call, which is 10 s elsewhere; a receive has so much more than its long poll of one second."""

# A function fails, or takes so long that its messages' visibility is extended, by what the message says.
PROGRAM = """
import asyncio, os, sys
import esm
from esm.aws import sqs
from esm.aws.session import AwsSession
from esm.runtime import queue

arn, url, path, region, slots, batch, life, deadline = sys.argv[1:]
log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
AwsSession.__init__.__kwdefaults__["read_timeout"] = float(deadline)
sqs.RECEIVE_TIMEOUT_S = 1 + float(deadline)
queue.SQS_WAIT_SECONDS = 1
tries = {}

def write(what, record):
    group = record["attributes"].get("MessageGroupId", "-")
    os.write(log, f"{life} {what} {group} {record['body']} {record['messageId']}\\n".encode())

async def handle(event, context):
    for index, record in enumerate(event["Records"]):
        write("begin", record)
        number, kind = record["body"].split("-")
        await asyncio.sleep(2.0 if kind == "slow" and index == 0 else 0.03)
        tries[number] = tries.get(number, 0) + 1
        if kind == "fails" and tries[number] == 1:
            for left in event["Records"][index:]:
                write("failed", left)
            return {"batchItemFailures": [{"itemIdentifier": left["messageId"]} for left in event["Records"][index:]]}
        write("end", record)

mapping = esm.EventSourceMapping(
    event_source_arn=arn,
    function=esm.Function(handle, timeout=3.0),
    batch_size=int(batch),
    scaling_config={"MaximumConcurrency": int(slots)},
    function_response_types=["ReportBatchItemFailures"],
)
asyncio.run(esm.run([mapping], store="memory:", endpoint_url=url, region_name=region))
"""


class Life:
    """A worker's process. `url`: of the server, or of what stands before it."""

    def __init__(self, number: int, arn: str, url: str, account: str, log: Path) -> None:
        environment = {**os.environ, "AWS_ACCESS_KEY_ID": account, "AWS_SECRET_ACCESS_KEY": "secret"}
        arguments = [arn, url, str(log), REGION, str(SLOTS), str(BATCH), str(number), str(CALL_S)]
        self._log, self._said = log, log.with_suffix(".said")
        with self._said.open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *arguments], env=environment, stdout=said, stderr=said
            )

    async def until(self, holds: Callable[[list[Deed]], bool]) -> None:
        """Waits until this holds of the log. Raises `AssertionError` when the process ended before."""
        give_up = time.perf_counter() + PATIENCE_S
        while not holds(read(self._log)):
            self.check()
            assert time.perf_counter() < give_up, "the worker does not get so far"
            await asyncio.sleep(0.01)

    def check(self) -> None:
        """Raises `AssertionError` when the process has ended."""
        assert self.process.poll() is None, self._said.read_text(errors="replace")[-4000:]

    def kill(self) -> None:
        """At once, as `kill -9` does."""
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True)
class Deed:
    """A line of the log."""

    life: int
    what: str
    group: str
    body: str
    message_id: str


def read(log: Path) -> list[Deed]:
    """All of it. Raises `ValueError` for a torn line."""
    lines = log.read_text().splitlines() if log.exists() else []
    return [Deed(int(life), *rest) for life, *rest in (line.split(" ") for line in lines)]


def judge(deeds: Sequence[Deed], sent: Mapping[str, str], spoilt: Mapping[str, int]) -> None:
    """Nothing is lost, no message overtakes an earlier one of its group, and each repetition has its cause.

    `sent`: the group of each body, in order; "-" is none. `spoilt`: calls about a message that went wrong, by id. A
    message comes again when its handling failed, when a call about it went wrong, or after a kill when it was begun
    and not known to be deleted; and so often at the most.
    """
    ended = {deed.body for deed in deeds if deed.what == "end"}
    assert ended == set(sent), f"{sorted(set(sent) - ended)} are lost"
    before = _earlier(sent)
    done: set[str] = set()
    begun: dict[str, int] = {}
    causes = Counter(spoilt)
    for deed in deeds:
        if deed.what == "end":
            done.add(deed.body)
        elif deed.what == "failed":
            causes[deed.message_id] += 1
        else:
            overtaken = [body for body in before[deed.body] if body not in done]
            assert not overtaken, f"{deed.body} overtook {overtaken}"
            if begun.get(deed.body) == deed.life:
                causes[deed.message_id] -= 1
                assert causes[deed.message_id] >= 0, f"life {deed.life}: {deed.body} came again without a cause"
            begun[deed.body] = deed.life


def _earlier(sent: Mapping[str, str]) -> dict[str, list[str]]:
    """Of each body those before it in its group."""
    of_group: defaultdict[str, list[str]] = defaultdict(list)
    before: dict[str, list[str]] = {}
    for body, group in sent.items():
        before[body] = list(of_group[group])
        if group != "-":
            of_group[group].append(body)
    return before
