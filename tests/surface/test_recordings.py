"""`esm record` and `esm replay`, as they are typed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from esm.cli.exits import Exit
from esm.clock import SystemClock
from tests.surface.streams import Stream
from tests.surface.typed import Esm

HANDLERS = """
async def handle(event, context):
    for record in event["Records"]:
        if record["kinesis"]["partitionKey"] == "bad":
            raise ValueError("bad")
    return len(event["Records"])

def stops(event, context):
    print("called in", __import__("threading").current_thread().name, len(event["Records"]))
"""
OTHER = """
def handle(event, context):
    return len(event["Records"]) + 1
"""
SHARD = "shardId-000000000000"
STREAM = "arn:aws:kinesis:eu-west-1:000000000000:stream/orders"
QUEUE = "arn:aws:sqs:eu-west-1:000000000000:jobs"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A recording of five records, and functions beside it."""
    lines: list[dict[str, object]] = [{"esm_recording": 1, "kind": "kinesis", "source": STREAM, "id": "r"}]
    for number in range(5):
        place = {"shard_id": SHARD, "sequence_number": f"{number + 1}", "partition_key": f"k{number % 2}"}
        lines.append({**place, "approximate_arrival_timestamp": 1e9 + number, "data": "aGk="})
    path = tmp_path / "orders.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "app.py").write_text(HANDLERS)
    (tmp_path / "other.py").write_text(OTHER)
    (tmp_path / "jobs.jsonl").write_text(
        json.dumps({"esm_recording": 1, "kind": "sqs", "source": QUEUE, "id": "r"}) + "\n"
    )
    return path


def test_a_recording_is_replayed(esm_: Esm, file: Path) -> None:
    ended = esm_("replay", file.name, "--function", "app:handle", "--batch-size", "2")
    assert (ended.code, ended.err) == (Exit.CLEAN, "")
    rows = dict(line.rsplit("  ", 1) for line in ended.out.splitlines() if "  " in line)
    figures = {name.strip(): value.strip() for name, value in rows.items()}
    assert (figures["records"], figures["calls"], figures["failed calls"]) == ("5", "3", "0")
    assert {"call, p50", "call, p99", "call, longest", "records a second"} <= set(figures)
    assert "replayed after" in ended.out


def test_what_is_replayed_of_it(esm_: Esm, file: Path) -> None:
    part = ("--from", "2001-09-09T01:46:41Z", "--to", "1000000004", "--key", "k1", "--shard", SHARD)
    ended = esm_("replay", file.name, "--function", "app.handle", "--json", *part)
    told = json.loads(ended.out)
    assert (ended.code, told["records"], told["invocations"]) == (0, 2, 1)


def test_functions_are_compared(esm_: Esm, file: Path) -> None:
    same = esm_("replay", file.name, "--function", "app:handle", "--against", "app.py:handle")
    assert (same.code, "0 of 1 calls differ" in same.out) == (Exit.CLEAN, True)
    other = esm_("replay", file.name, "--function", "app:handle", "--against", "other.py:handle", "--batch-size", "1")
    assert other.code == Exit.DIFFERENT
    assert "5 of 5 calls differ" in other.out
    assert f"{SHARD}:1: returned 1, the other returned 2" in other.out


def test_one_call_for_a_debugger(esm_: Esm, file: Path) -> None:
    ended = esm_("replay", file.name, "--function", "app:stops", "--invoke", "1", "--batch-size", "2")
    assert ended.code == Exit.CLEAN
    assert "called in MainThread 2\n" in ended.out
    assert ended.out.count("called in") == 1


def test_what_fails_is_given_up_and_told(esm_: Esm, file: Path) -> None:
    file.write_text(file.read_text().replace('"k1"', '"bad"'))
    ended = esm_("replay", file.name, "--function", "app:handle", "--bisect-batch-on-function-error", "--json")
    told = json.loads(ended.out)
    assert (ended.code, told["records"], told["given_up"]) == (Exit.GIVEN_UP, 3, 2)


@pytest.mark.parametrize(
    ("change", "code", "line"),
    [
        (lambda text: text[:-9], Exit.RECORDING, "orders.jsonl, line 6: cut off: Input data was truncated"),
        (lambda text: text.replace('"3"', "3"), Exit.RECORDING, "orders.jsonl, line 4: Expected 'str', got 'int'"),
        (lambda _: "a,b\n1,2\n", Exit.RECORDING, "orders.jsonl, line 1: no recording"),
        (lambda text: text.replace('recording": 1', 'recording": 9'), Exit.RECORDING, "a recording of format 9"),
    ],
)
def test_a_file_that_is_not_whole(esm_: Esm, file: Path, change: object, code: Exit, line: str) -> None:
    assert callable(change)
    file.write_text(change(file.read_text()))
    ended = esm_("replay", file.name, "--function", "app:handle")
    assert ended.code == code
    assert line in ended.err.splitlines()[-1]


def test_a_queue_that_breaks_off_says_why(esm_: Esm, file: Path) -> None:
    header = {"esm_recording": 1, "kind": "sqs", "source": "arn:aws:sqs:eu-west-1:000000000000:q", "id": "r"}
    file.write_text(json.dumps(header) + '\n{"message_id":"1","receipt_handle":"h","body":"b"}\n{"message')
    ended = esm_("replay", file.name, "--function", "app:stops")
    assert ended.code == Exit.RECORDING
    assert "halted: q: orders.jsonl, line 3: cut off" in ended.out


def test_what_is_left_out_is_counted(esm_: Esm, file: Path) -> None:
    file.write_text(file.read_text()[:-9])
    ended = esm_("replay", file.name, "--function", "app:handle", "--skip-invalid")
    assert ended.code == Exit.CLEAN
    assert "left out: 1 that are no records; the first: orders.jsonl, line 6: cut off" in ended.out


ASKED = [
    (
        ("--shard", "shardId-9", "--key", "k9"),
        f"--shard 'shardId-9' matches no record: there are '{SHARD}' and 'shardId-000000000001'",
    ),
    (("--key", "k9"), "--key 'k9' matches no record: there are 'k0', 'k1' and 'other'"),
    (("--key", "k1", "--key", "k9"), "--key 'k9' matches no record: there are 'k0', 'k1' and 'other'"),
    (("--key", "k1", "--to", "1"), "--key 'k1' matches no record: there are none"),
    (("--key", "k1", "--shard", "shardId-000000000001"), "--key 'k1' matches no record: there is 'other'"),
]


@pytest.mark.parametrize(("asked", "said"), ASKED)
def test_what_matches_nothing_is_told(esm_: Esm, file: Path, asked: tuple[str, ...], said: str) -> None:
    with file.open("a") as more:
        place = {"shard_id": "shardId-000000000001", "sequence_number": "1", "partition_key": "other"}
        more.write(json.dumps({**place, "approximate_arrival_timestamp": 1e9, "data": "aGk="}) + "\n")
    ended = esm_("replay", file.name, "--function", "app:handle", *asked)
    assert ended.code == Exit.INVALID
    assert ended.line == f"esm: {said}"
    told = json.loads(esm_("replay", file.name, "--function", "app:handle", "--json", *asked).out)
    assert told["records"] == (2 if "k1" in asked and "k9" in asked else 0)
    assert [f"--{missed['option']} {missed['asked']!r}" for missed in told["unmatched"]] == [
        said.partition(" match")[0]
    ]


def test_what_matches_nothing_of_a_stream_is_told(esm_: Esm, stream: Stream, file: Path) -> None:
    stream.put("one", "two", key="k0")
    there = ("--endpoint-url", stream.url)
    no_shard = esm_("replay", stream.arn, "--function", "app:handle", "--shard", "shardId-9", *there)
    assert (no_shard.code, f"there is '{SHARD}'" in no_shard.line) == (Exit.INVALID, True)
    no_key = esm_("replay", stream.arn, "--function", "app:handle", "--key", "k9", *there)
    assert (no_key.code, no_key.line) == (Exit.INVALID, "esm: --key 'k9' matches no record: there is 'k0'")
    again = ("replay", stream.arn, "--function", "app:handle", "--key", "k0", "--store", "sqlite:///replay.db", *there)
    until = str(SystemClock().now() / 1000)
    for records in (2, 0):  # an earlier run may have had what is asked for
        ended = esm_(*again, "--from", "1000000000", "--to", until, "--json")
        assert (ended.code, json.loads(ended.out)["records"]) == (Exit.CLEAN, records)


def test_what_is_not_read_to_its_end_is_not_judged(esm_: Esm, file: Path) -> None:
    """A replay that goes on from a store may have had what is asked for before."""
    again = ("replay", file.name, "--function", "app:handle", "--key", "k1", "--store", "sqlite:///replay.db", "--json")
    assert [json.loads(esm_(*again).out)["records"] for _ in range(2)] == [2, 0]
    assert esm_(*again).code == Exit.CLEAN
    stopped = ("replay", file.name, "--function", "app:stops", "--invoke", "1", "--batch-size", "1")
    assert esm_(*stopped, "--key", "k1").code == Exit.CLEAN


def test_a_key_that_the_items_of_an_export_have_not(esm_: Esm, file: Path) -> None:
    file.write_text('{"Item":{"id":{"S":"1"},"total":{"N":"1.50"}}}\n')
    for more in ((), ("--skip-invalid",)):
        ended = esm_("replay", file.name, "--function", "app:stops", "--table-key", "ident", *more)
        assert ended.code == Exit.RECORDING
        assert ended.line.startswith("esm: orders.jsonl, line 1: no record of a dynamodb-export file: ")
        assert ended.line.endswith("the item has no 'ident', which is said to be of the table's key; it has id, total")
    assert esm_("replay", file.name, "--function", "app:stops", "--table-key", "id").code == Exit.CLEAN


@pytest.mark.parametrize(
    ("typed", "code", "said"),
    [
        (("replay", "orders.jsonl"), Exit.INVALID, "either --function app:handler or --mapping"),
        (("replay", STREAM, "--function", "app:handle"), Exit.GUARD, "add --live"),
        (("replay", "s3://b/k", "--function", "app:handle"), Exit.GUARD, "add --live"),
        (("replay", "orders.jsonl", "--function", "none.py:handle"), Exit.HANDLER_NOT_FOUND, "there is no file"),
        (("replay", "orders.jsonl", "--function", "app.py:none"), Exit.HANDLER_NOT_FOUND, "has no 'none'"),
        (
            ("replay", "orders.jsonl", "--function", "app:handle", "--table-key", "id"),
            Exit.INVALID,
            "full DynamoDB export",
        ),
        (("replay", "jobs.jsonl", "--function", "app:stops", "--shard", "s"), Exit.INVALID, "A queue has no shards"),
        (("replay", "jobs.jsonl", "--function", "app:stops", "--store", "sqlite:///x.db"), Exit.INVALID, "begins anew"),
        (("replay", QUEUE, "--function", "app:stops", "--live"), Exit.INVALID, "a queue forgets"),
        (("replay", STREAM, "orders.jsonl", "--function", "app:stops", "--live"), Exit.INVALID, "one stream is"),
        (("replay", "none.jsonl", "--function", "app:handle"), Exit.RECORDING, "No such file"),
        (("replay", "orders.jsonl", "--function", "app:handle", "--to", "soon"), Exit.INVALID, "is no time"),
        (
            ("replay", "orders.jsonl", "--function", "app:handle", "--from", "2026-01-02", "--to", "2026-01-01"),
            Exit.INVALID,
            "--from and --to: there is no time between them",
        ),
        (
            ("record", STREAM, "-o", "x.jsonl", "--live", "--from", "2026-01-02", "--until", "2026-01-01"),
            Exit.INVALID,
            "--from and --until: there is no time between them",
        ),
        (("replay", "orders.jsonl", "--function", "app:handle", "--batch-size", "20000"), Exit.INVALID, "batch_size"),
        (("record", STREAM, "-o", "x.jsonl"), Exit.GUARD, "add --live"),
        (("record", "orders", "-o", "x.jsonl", "--live"), Exit.INVALID, "esm: ARN: 'orders' is not an ARN"),
        (("record", "arn:aws:sqs:r:1:q", "-o", "x.jsonl", "--live"), Exit.INVALID, "--copy"),
        (
            ("record", STREAM, "-o", "x.jsonl", "--redact", "card", "--live"),
            Exit.INVALID,
            "esm: --redact: 'card' is no JSON path",
        ),
        (("record", STREAM, "-o", "x.jsonl", "--duration", "soon", "--live"), Exit.INVALID, "is no span"),
        (("record", STREAM, "-o", "orders.jsonl", "--endpoint-url", "http://127.0.0.1:1"), Exit.RECORDING, "already"),
    ],
)
@pytest.mark.usefixtures("file")
def test_what_cannot_be(esm_: Esm, typed: tuple[str, ...], code: Exit, said: str) -> None:
    ended = esm_(*typed)
    assert ended.code == code, ended.err
    assert any(each in ended.line for each in said.split("|")), ended.err


def test_a_stream_is_recorded_and_replayed(esm_: Esm, stream: Stream, file: Path) -> None:
    stream.put("one", "two", key="k0")
    stream.put('{"card": "4111", "total": 7}', key="k1")
    there = ("--endpoint-url", stream.url, "--json")
    output = ("-o", "live.jsonl.zst", "--trim-horizon", "--records", "3", "--redact", "$.card")
    recorded = esm_("record", stream.arn, *output, *there)
    told = json.loads(recorded.out)
    assert (recorded.code, told["records"], told["files"]) == (Exit.CLEAN, 3, ["live.jsonl.zst"])
    of_file = esm_("replay", "live.jsonl.zst", "--function", "app:handle", "--json")
    assert (of_file.code, json.loads(of_file.out)["records"]) == (Exit.CLEAN, 3)
    of_stream = esm_("replay", stream.arn, "--function", "app:handle", *there)
    assert (of_stream.code, json.loads(of_stream.out)["records"]) == (Exit.CLEAN, 3)


def test_what_cannot_be_read_leaves_no_file(esm_: Esm, stream: Stream) -> None:
    there = ("-o", "new.jsonl", "--endpoint-url", stream.url)
    queue = stream.arn.replace("kinesis", "sqs").replace("stream/", "")
    for typed in ((stream.arn + "-not",), (queue, "--drain")):
        assert esm_("record", *typed, *there).code == Exit.SOURCE_MISSING
    assert not list(esm_.folder.glob("new*"))


def test_a_signal_ends_a_recording_well(esm_: Esm, stream: Stream) -> None:
    stream.put("one", key="k0")
    typed = ("record", stream.arn, "-o", "live.jsonl", "--trim-horizon", "--endpoint-url", stream.url, "--json")
    with esm_.running(*typed, "--log-level", "debug") as running:
        running.until("polled", records=1)
        code, _ = running.end(signal.SIGINT)
    assert code == Exit.CLEAN
    assert running.summary["records"] == 1
    assert (esm_.folder / "live.jsonl").read_text().count("\n") == 3


def test_a_recording_as_a_mappings_source(esm_: Esm, file: Path) -> None:
    """`esm run` ends by itself; the other commands know what was recorded."""
    source = f"event_source_arn={file.as_uri()!r}, function=handle, filter_criteria=[{{'partitionKey': ['k1']}}]"
    with (esm_.folder / "app.py").open("a") as app:
        app.write(f"\nimport esm\nmappings = esm.EventSourceMapping({source})\n")
    ran = esm_("run", "app:mappings", "--store", "memory:", "--json", "--log-level", "error")
    (told,) = json.loads(ran.out)["mappings"]
    assert (ran.code, told["records"], told["state"]) == (Exit.CLEAN, 2, "Disabled")
    assert esm_("plan", "app:mappings").code == Exit.CLEAN
    assert esm_("filter", "lint", "app:mappings").code == Exit.CLEAN
    file.unlink()
    assert "No such file" in esm_("run", "app:mappings", "--store", "memory:").err.splitlines()[-1]


def test_a_recording_in_a_file_of_settings(esm_: Esm, file: Path) -> None:
    mapping = f'[[EventSourceMappings]]\nEventSourceArn = "{file.resolve().as_uri()}"\nFunctionName = "all"\n'
    (esm_.folder / "esm.toml").write_text(f'{mapping}[Functions.all]\nHandler = "app.handle"\n')
    assert esm_("plan", "esm.toml").code == Exit.CLEAN
    ended = esm_("run", "esm.toml", "--store", "memory:", "--json")
    assert ended.code == Exit.CLEAN, ended.err
    (summary,) = json.loads(ended.out)["mappings"]
    assert summary["records"] == summary["read"] > 0
