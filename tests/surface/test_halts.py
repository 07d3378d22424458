"""A shard that is halted or lost is no clean end; when none goes on, the command ends by itself."""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from esm.cli.exits import Exit
from esm.cli.running.halts import Halts, is_stuck
from esm.cli.running.summary import as_text
from esm.cli.running.tally import Tally
from esm.runtime.status import MappingStatus, ShardStatus, WorkerStatus
from esm.telemetry import facts
from tests.servers.scripted import ScriptedServer, answer
from tests.surface.typed import Esm

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
APP = f"""
import asyncio, threading
import esm

async def handle(event, context): pass

async def leaves_a_thread(event, context):
    threading.Thread(target=threading.Event().wait).start()

def make(name):
    return esm.EventSourceMapping(event_source_arn="{ARN}", function=f"app:{{name}}", starting_position="TRIM_HORIZON")

mappings, hangs = make("handle"), make("leaves_a_thread")
"""
RECORD = {"SequenceNumber": "5", "Data": "MQ==", "PartitionKey": "a", "ApproximateArrivalTimestamp": 1.7e9}
SHARD = "shardId-000000000000"
SECOND = "shardId-000000000001"


class Repeating:
    """A Kinesis of two shards that gives the same page again and again, which none does: reading cannot go on.

    `broken`: the shards that do; the others are empty.
    """

    def __init__(self, *broken: str) -> None:
        self.server = ScriptedServer([self])
        self._broken = broken

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = self.server.requests[-1]
        await answer(self._answer(request.operation, request.json))(reader, writer)

    def _answer(self, operation: str, asked: dict[str, str]) -> dict[str, object]:
        if operation == "DescribeStreamSummary":
            summary = {"StreamName": "orders", "StreamARN": ARN, "StreamStatus": "ACTIVE", "OpenShardCount": 2}
            return {
                "StreamDescriptionSummary": summary | {"StreamCreationTimestamp": 1.7e9, "RetentionPeriodHours": 24}
            }
        if operation == "ListShards":
            keys, numbers = {"StartingHashKey": "0", "EndingHashKey": "9"}, {"StartingSequenceNumber": "1"}
            shards = [
                {"ShardId": name, "HashKeyRange": keys, "SequenceNumberRange": numbers} for name in (SHARD, SECOND)
            ]
            return {"Shards": shards}
        if operation == "GetShardIterator":
            return {"ShardIterator": asked["ShardId"]}
        iterator = asked["ShardIterator"]
        records = [RECORD] if iterator in self._broken else []
        return {"Records": records, "NextShardIterator": iterator, "MillisBehindLatest": 0}


@pytest.mark.service
@pytest.mark.anyio
async def test_a_run_with_a_halted_shard_goes_on_and_does_not_end_clean(esm_: Esm) -> None:
    esm_.app(APP)
    async with Repeating(SECOND).server as server:
        url = server.url
        with esm_.running("run", "app:mappings", "--endpoint-url", url, "--json", "--live") as running:
            await asyncio.to_thread(running.until, "shard_halted", shard=SECOND)
            await server.arrived(len(server.requests) + 3)
            code, _ = await asyncio.to_thread(running.end)
    (read,) = [json.loads(line) for line in running.lines if '"mapping_read"' in line]
    assert {name: read[name] for name in ("function", "source", "endpoint", "store", "level")} == {
        "function": "handle",
        "source": ARN,
        "endpoint": url,
        "store": "sqlite:///esm.db",
        "level": "info",
    }
    assert read["mapping"] == running.summary["mappings"][0]["uuid"]
    assert sum("live_ignored" in line for line in running.lines) == 1
    assert code == running.summary["exit_code"] == Exit.HALTED
    states = {shard["shard_id"]: shard["state"] for shard in running.summary["mappings"][0]["shards"]}
    assert states == {SHARD: "stopped", SECOND: "halted"}


@pytest.mark.service
@pytest.mark.anyio
async def test_a_run_ends_by_itself_when_every_shard_is_halted(esm_: Esm) -> None:
    esm_.app(APP)
    async with Repeating(SHARD, SECOND).server as server:
        ended = await asyncio.to_thread(esm_, "run", "app:mappings", "--endpoint-url", server.url)
    assert ended.code == Exit.HALTED
    assert len(re.findall(r"^halted: handle < orders, shardId-\d+: .+", ended.out, re.MULTILINE)) == 2
    assert "ended with shards that were halted or lost (exit code 12)" in ended.out


@pytest.mark.service
@pytest.mark.anyio
async def test_its_end_is_bounded_as_after_a_signal(esm_: Esm) -> None:
    esm_.app(APP)
    async with Repeating(SHARD, SECOND).server as server:
        arguments = ("run", "app:hangs", "--endpoint-url", server.url, "--drain-timeout", "1")
        ended = await asyncio.to_thread(esm_, *arguments)
    assert ended.code == Exit.FORCED


def shard(name: str, state: str, *parents: str) -> ShardStatus:
    return ShardStatus(shard_id=name, state=state, parents=parents)


def mapping(*shards: ShardStatus) -> MappingStatus:
    return MappingStatus(
        uuid="1",
        event_source_arn=ARN,
        function_name="handle",
        state="Enabled",
        state_transition_reason="User action",
        last_processing_result="OK",
        shards=shards,
    )


STUCK = [
    ([shard("a", "halted"), shard("b", "lost")], True),
    ([shard("a", "halted"), shard("b", "ended")], True),
    ([shard("a", "ended")], False),
    ([], False),
    ([shard("a", "halted"), shard("b", "reading")], False),
    ([shard("a", "halted"), shard("b", "waiting")], False),
    ([shard("c", "waiting", "b"), shard("b", "waiting", "a"), shard("a", "halted")], True),
    ([shard("c", "waiting", "a", "b"), shard("b", "ended"), shard("a", "halted")], True),
    ([shard("c", "waiting", "b"), shard("b", "ended"), shard("a", "halted")], False),
]


@pytest.mark.parametrize(("shards", "stuck"), STUCK)
def test_which_mappings_are_stuck(shards: list[ShardStatus], stuck: bool) -> None:
    assert is_stuck(mapping(*shards)) is stuck


def test_a_run_is_over_once_and_only_when_every_mapping_is_stuck() -> None:
    called: list[str] = []
    halts = Halts(lambda: called.append("over"))
    halted, lost = facts.ShardHalted(at=1, error="no"), facts.LeaseLost(at=1)
    halts.notice(halted)
    for others, times in ((shard("a", "reading"), 0), (shard("a", "lost"), 1), (shard("a", "halted"), 1)):
        status = WorkerStatus(id="w", stopping=False, mappings=(mapping(shard("b", "halted")), mapping(others)))
        halts.status = lambda status=status: status
        halts.notice(lost)
        assert len(called) == times


def test_the_summary_names_what_was_lost() -> None:
    lost = ShardStatus(shard_id="a", state="lost", last_error="another owner")
    text = as_text(WorkerStatus(id="w", stopping=True, mappings=(mapping(lost),)), Tally(), Exit.HALTED, 1_000)
    assert "lost: handle < orders, a: another owner" in text
