"""SIGTERM in every state: the process is gone within drain time and 2 s; nothing is settled that was not done."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path

import pytest

from esm.leasing.lease import Lease
from esm.stores.open import operated_store
from tests.servers.scripted import ScriptedServer, answer, hang
from tests.surface.streams import Stream
from tests.surface.typed import Esm

pytestmark = pytest.mark.service

DRAIN = 1.0
LONGEST = DRAIN + 2.0
PROMPT = 2.0
WATCHED = ("--json", "--log-level", "debug", "--drain-timeout", str(DRAIN))

APP = """
import asyncio, hashlib, signal, threading, time
import esm

async def quick(event, context): pass

async def takes_a_while(event, context):
    await asyncio.sleep(0.4)

def takes_a_while_in_a_thread(event, context):
    time.sleep(0.4)

async def fails(event, context):
    raise ValueError("no")

async def blocks_the_loop(event, context):
    time.sleep(600)

async def blocks_the_loop_in_c(event, context):
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2_000_000_000)

async def swallows_its_cancellation(event, context):
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            pass

def hangs_in_a_thread(event, context):
    threading.Event().wait()

def fills_its_output(event, context):
    while True:
        print("x" * 100_000)

async def leaves_a_thread(event, context):
    threading.Thread(target=threading.Event().wait).start()

async def hears_signals(event, context):
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)

mappings = esm.EventSourceMapping(
    event_source_arn="{arn}", function=esm.Function("app:{handler}", timeout=600), starting_position="TRIM_HORIZON"
)
"""


def leases(esm_: Esm) -> list[Lease]:
    async def read() -> list[Lease]:
        store = operated_store(f"sqlite:///{esm_.folder / 'esm.db'}", "read")
        await store.open()
        try:
            return await store.load_all()
        finally:
            await store.close()

    return asyncio.run(read())


def position(esm_: Esm) -> int | None:
    """The settled sequence number of the only shard that has one."""
    (lease,) = leases(esm_)
    assert lease.owner is None or lease.checkpoint.settled is None
    return None if lease.checkpoint.settled is None else int(lease.checkpoint.settled)


def use(esm_: Esm, arn: str, handler: str) -> None:
    esm_.app(APP.replace("{arn}", arn).replace("{handler}", handler))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle(esm_: Esm, stream: Stream, number: signal.Signals) -> None:
    use(esm_, stream.arn, "quick")
    with esm_.running("run", "app:mappings", "--endpoint-url", stream.url, *WATCHED) as running:
        running.until("polled")
        code, took = running.end(number)
    assert (code, position(esm_)) == (0, None)
    assert took < PROMPT
    assert running.summary["exit_code"] == 0


@pytest.mark.parametrize("handler", ["takes_a_while", "takes_a_while_in_a_thread"])
def test_invoking_what_ends_in_time(esm_: Esm, stream: Stream, handler: str) -> None:
    (number,) = stream.put("1")
    use(esm_, stream.arn, handler)
    with esm_.running("run", "app:mappings", "--endpoint-url", stream.url, *WATCHED) as running:
        running.until("invocation_started")
        code, took = running.end()
    assert (code, position(esm_)) == (0, int(number))
    assert took < LONGEST
    (mapping,) = running.summary["mappings"]
    assert (mapping["records"], mapping["invocations"], mapping["failed"]) == (1, 1, 0)


@pytest.mark.parametrize(
    "handler", ["blocks_the_loop", "blocks_the_loop_in_c", "swallows_its_cancellation", "hangs_in_a_thread"]
)
def test_invoking_what_never_ends(esm_: Esm, stream: Stream, handler: str) -> None:
    stream.put("1")
    use(esm_, stream.arn, handler)
    with esm_.running("run", "app:mappings", "--endpoint-url", stream.url, *WATCHED) as running:
        running.until("invocation_started")
        code, took = running.end()
    assert (code, position(esm_)) == (70, None)
    assert DRAIN <= took < LONGEST
    assert "Traceback" not in running.said
    summary = running.summary
    assert summary["exit_code"] == 70
    assert [(mapping["invocations"], mapping["records"]) for mapping in summary["mappings"]] == [(1, 0)]


def test_a_thread_that_a_handler_left_behind(esm_: Esm, stream: Stream) -> None:
    (number,) = stream.put("1")
    use(esm_, stream.arn, "leaves_a_thread")
    with esm_.running("run", "app:mappings", "--endpoint-url", stream.url, *WATCHED) as running:
        running.until("checkpoint_stored")
        code, took = running.end()
    assert (code, position(esm_)) == (70, int(number))
    assert took < LONGEST
    assert "ended by force" in running.said
    assert [json.loads(line)["exit_code"] for line in running.out.splitlines()] == [0, 70], "the last line counts"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_function_that_hears_signals_of_its_own(esm_: Esm, stream: Stream, loop: str) -> None:
    """Its loop takes the descriptor that the interpreter tells of signals."""
    (number,) = stream.put("1")
    use(esm_, stream.arn, "hears_signals")
    if loop == "asyncio":
        (esm_.folder / "uvloop.py").write_text("raise ImportError\n")
    with esm_.running("run", "app:mappings", "--endpoint-url", stream.url, *WATCHED) as running:
        running.until("checkpoint_stored")
        code, took = running.end()
    assert (code, position(esm_)) == (0, int(number))
    assert took < PROMPT


def test_in_backoff(esm_: Esm, stream: Stream) -> None:
    stream.put("1")
    use(esm_, stream.arn, "fails")
    with esm_.running("run", "app:mappings", "--endpoint-url", stream.url, *WATCHED) as running:
        running.until("invocation_started", invoke_count=3)
        running.until("invocation_ended", outcome="failed")
        code, took = running.end()
    assert (code, position(esm_)) == (0, None)
    assert took < LONGEST


def test_children_that_wait_for_their_parent(esm_: Esm, resharded: Stream) -> None:
    resharded.put("1")
    (shard,) = resharded.client.list_shards(StreamName=resharded.name)["Shards"]
    middle = str(int(shard["HashKeyRange"]["EndingHashKey"]) // 2)
    resharded.client.split_shard(StreamName=resharded.name, ShardToSplit=shard["ShardId"], NewStartingHashKey=middle)
    resharded.client.get_waiter("stream_exists").wait(StreamName=resharded.name, WaiterConfig={"Delay": 1})
    use(esm_, resharded.arn, "fails")
    with esm_.running("run", "app:mappings", "--endpoint-url", resharded.url, *WATCHED) as running:
        running.until("invocation_ended", outcome="failed")
        code, took = running.end()
    assert code == 0
    assert took < LONGEST
    assert {lease.checkpoint.settled for lease in leases(esm_)} == {None}
    assert len(leases(esm_)) == 3
    assert "waiting" in {each["state"] for each in running.summary["mappings"][0]["shards"]}


class HangingAt:
    """A Kinesis of one shard that hangs at one operation."""

    def __init__(self, operation: str) -> None:
        summary = {
            "StreamName": "orders",
            "StreamARN": ARN,
            "StreamStatus": "ACTIVE",
            "StreamCreationTimestamp": 1.7e9,
            "RetentionPeriodHours": 24,
            "OpenShardCount": 1,
        }
        shard = {
            "ShardId": "shardId-000000000000",
            "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "9"},
            "SequenceNumberRange": {"StartingSequenceNumber": "1"},
        }
        self.server = ScriptedServer([self])
        self._hangs = operation
        self._answers = {
            "DescribeStreamSummary": {"StreamDescriptionSummary": summary},
            "ListShards": {"Shards": [shard]},
            "GetShardIterator": {"ShardIterator": "i"},
            "GetRecords": {"Records": [], "NextShardIterator": "i", "MillisBehindLatest": 0},
        }

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        operation = self.server.requests[-1].operation
        step = hang() if operation == self._hangs else answer(self._answers[operation])
        await step(reader, writer)


ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"


@pytest.mark.anyio
@pytest.mark.parametrize("operation", ["DescribeStreamSummary", "ListShards", "GetShardIterator", "GetRecords"])
async def test_waiting_for_an_answer(esm_: Esm, operation: str) -> None:
    """Starting, with the first two; reading, with the others."""
    use(esm_, ARN, "quick")
    async with HangingAt(operation).server as server:
        with esm_.running("run", "app:mappings", "--endpoint-url", server.url, *WATCHED) as running:
            async with asyncio.timeout(20):
                while not any(request.operation == operation for request in server.requests):
                    await server.arrived(len(server.requests) + 1)
            code, took = await asyncio.to_thread(running.end)
    assert code == 0
    assert took < LONGEST


@pytest.mark.parametrize("handler", ["hangs_in_a_thread", "blocks_the_loop", "swallows_its_cancellation"])
def test_a_second_signal(esm_: Esm, stream: Stream, handler: str) -> None:
    stream.put("1")
    use(esm_, stream.arn, handler)
    watched = ("--json", "--log-level", "debug", "--drain-timeout", "600")
    with esm_.running("run", "app:mappings", "--endpoint-url", stream.url, *watched) as running:
        running.until("invocation_started")
        running.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            running.process.wait(0.5)
        code, took = running.end()
    assert (code, position(esm_)) == (71, None)
    assert took < PROMPT
    assert "Traceback" not in running.said
    assert running.summary["exit_code"] == 71


def test_a_forced_end_before_there_is_a_worker(esm_: Esm) -> None:
    """Nothing was begun, and still there is a line that says how it ended."""
    esm_.app("""
import sys, threading
try:
    print('{"event": "importing"}', file=sys.stderr, flush=True)
    threading.Event().wait()
except BaseException:
    threading.Event().wait()
""")
    with esm_.running("run", "app:mappings", "--live", *WATCHED) as running:
        running.until("importing")
        code, took = running.end()
    assert code == 70
    assert took < LONGEST
    summary = json.loads(running.out)
    assert (summary["exit_code"], summary["mappings"]) == (70, [])


def test_a_forced_end_does_not_wait_for_who_reads_its_output(esm_: Esm, stream: Stream) -> None:
    """stdout is full, and nobody empties it."""
    stream.put("1")
    use(esm_, stream.arn, "fills_its_output")
    with esm_.running("run", "app:mappings", "--endpoint-url", stream.url, *WATCHED) as running:
        running.until("invocation_started")
        code, took = running.end()
    assert code == 70
    assert took < LONGEST


@pytest.mark.parametrize("handler", ["hangs_in_a_thread", "blocks_the_loop"])
def test_a_replay_that_is_ended_by_force_says_so(esm_: Esm, handler: str) -> None:
    header = {"esm_recording": 1, "kind": "kinesis", "source": ARN, "id": "r"}
    record = {"shard_id": "s", "sequence_number": "1", "partition_key": "a", "data": "YQ=="}
    lines = [header, record | {"approximate_arrival_timestamp": 1.0}]
    (esm_.folder / "r.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    use(esm_, ARN, handler)
    typed = ("r.jsonl", "--function", f"app:{handler}", "--json", "--log-level", "debug", "--drain-timeout", str(DRAIN))
    with esm_.running("replay", *typed) as running:
        running.until("invocation_started")
        code, took = running.end()
    assert code == 70
    assert took < LONGEST
    summary = json.loads(running.out)
    assert (summary["exit_code"], summary["source"], summary["records"]) == (70, "r.jsonl", 0)


def test_an_echo_of_the_first_signal_is_no_second_one(esm_: Esm, stream: Stream) -> None:
    """A terminal signals the whole process group, and what started us may pass the signal on."""
    (number,) = stream.put("1")
    use(esm_, stream.arn, "takes_a_while")
    with esm_.running("run", "app:mappings", "--endpoint-url", stream.url, *WATCHED) as running:
        running.until("invocation_started")
        running.process.send_signal(signal.SIGTERM)
        code, _ = running.end()
    assert (code, position(esm_)) == (0, int(number))


@pytest.mark.parametrize("event", ["mapping_state_changed", "lease_taken", "shard_started"])
def test_while_shards_are_begun(esm_: Esm, stream: Stream, event: str) -> None:
    use(esm_, stream.arn, "quick")
    with esm_.running("run", "app:mappings", "--endpoint-url", stream.url, *WATCHED) as running:
        running.until(event)
        code, took = running.end()
    assert code == 0
    # The first state is told before there is a lease.
    assert [lease.checkpoint.settled for lease in leases(esm_)] in ([], [None])
    assert took < PROMPT


PROGRAM = """
import asyncio, sys
import esm
from app import mappings
from esm.telemetry.logs import LogObserver, configure_logging

configure_logging(level="DEBUG", json=True)

async def main():
    return await esm.run([mappings], endpoint_url=sys.argv[1], drain_timeout=1.0, observers=[LogObserver()])

print("clean:", asyncio.run(main()))
"""


@pytest.mark.parametrize(("handler", "ends"), [("takes_a_while", (0, "clean: True\n")), ("blocks_the_loop", (70, ""))])
def test_a_program_of_ones_own(esm_: Esm, stream: Stream, handler: str, ends: tuple[int, str]) -> None:
    stream.put("1")
    use(esm_, stream.arn, handler)
    (esm_.folder / "program.py").write_text(PROGRAM)
    with esm_.running(stream.url, python=("program.py",)) as running:
        running.until("invocation_started")
        code, took = running.end()
    assert (code, running.out) == ends
    assert took < LONGEST


@pytest.mark.parametrize(("handler", "code"), [("takes_a_while", 0), ("blocks_the_loop", 70)])
def test_the_loop_of_asyncio(esm_: Esm, stream: Stream, handler: str, code: int) -> None:
    """Where uvloop is not installed; the other tests have it."""
    stream.put("1")
    use(esm_, stream.arn, handler)
    (esm_.folder / "sitecustomize.py").write_text("import sys; sys.modules['uvloop'] = None")
    path = f"{esm_.folder}:{Path(__file__).parents[2]}"
    plain = Esm(esm_.folder, {**esm_.settings, "PYTHONPATH": path})
    with plain.running("run", "app:mappings", "--endpoint-url", stream.url, *WATCHED) as running:
        running.until("invocation_started")
        ended, took = running.end()
    assert ended == code
    assert took < LONGEST


def test_whoever_read_its_output_has_gone(esm_: Esm, stream: Stream) -> None:
    """Ctrl-C at `esm run ... | tee` ends both, and `tee` first: the worker stopped clean all the same."""
    use(esm_, stream.arn, "quick")
    with esm_.running("run", "app:mappings", "--endpoint-url", stream.url, *WATCHED) as running:
        running.until("polled")
        assert running.process.stdout is not None
        running.process.stdout.close()
        running.process.stdout = None
        code, _ = running.end()
    assert code == 0
    assert "BrokenPipe" not in running.said
