"""`esm redrive` as it is typed."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import suppress

import boto3
import pytest

from esm.records.failure import failure_document, json_text
from esm.runtime.program import ECHO_MS
from tests.surface.streams import REGION, Stream
from tests.surface.typed import Esm

APP = """
import esm

def handle(event, context):
    print("got", len(event["Records"]))
    if any(item["kinesis"]["partitionKey"] == "bad" for item in event["Records"]):
        raise ValueError("bad")
"""
SLOW = """
import time

def handle(event, context):
    print('{"event": "began"}', flush=True)
    time.sleep(2)
"""
SECOND_SLOW = """
import time

calls = []

def handle(event, context):
    calls.append(event)
    print('{"event": "began", "call": %d}' % len(calls), flush=True)
    while len(calls) > 1:
        print("chatter", end="")
        time.sleep(0.002)
"""
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:failed"


class Failed:
    """A stream of three records, and a queue that two failure records are in."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.numbers = [*stream.put("1", "2"), *stream.put("3", key="bad")]
        self.sqs = boto3.client(
            "sqs",
            region_name=REGION,
            endpoint_url=stream.url,
            aws_access_key_id=stream.account,
            aws_secret_access_key="secret",
        )
        self.url = self.sqs.create_queue(QueueName="failed")["QueueUrl"]
        self.arn = f"arn:aws:sqs:{REGION}:{stream.account}:failed"
        for first, last in ((0, 1), (2, 2)):
            self.sqs.send_message(QueueUrl=self.url, MessageBody=self.document(first, last))

    def document(self, first: int, last: int) -> str:
        return json_text(
            failure_document(
                request_id="11111111-2222-4333-8444-555555555555",
                function_arn="arn:aws:lambda:eu-west-1:123456789012:function:handle",
                condition="RetryAttemptsExhausted",
                invoke_count=3,
                answered=True,
                function_error="Unhandled",
                executed_version="$LATEST",
                at=0,
                shard_id="shardId-000000000000",
                stream_arn=self.stream.arn,
                first=(self.numbers[first], 0),
                last=(self.numbers[last], 0),
                batch_size=last - first + 1,
            )
        ).decode()

    def left(self) -> int:
        names = ["ApproximateNumberOfMessages"]
        told = self.sqs.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)
        return int(told["Attributes"][names[0]])


@pytest.fixture
def failed(stream: Stream) -> Failed:
    return Failed(stream)


@pytest.mark.service
def test_what_succeeds_is_deleted_and_what_fails_stays(esm_: Esm, failed: Failed) -> None:
    esm_.app(APP)
    to = ("--function", "app:handle", "--endpoint-url", failed.stream.url, "--region", REGION)
    dry = esm_("redrive", failed.arn, *to, "--dry-run")
    assert dry.code == 0, dry.err
    assert "2 would be redriven; 3 records" in dry.out
    assert "got" not in dry.out
    assert failed.left() == 2
    ended = esm_("redrive", failed.arn, *to)
    assert ended.code == 14, ended.err
    assert "2 documents: 1 redriven, 1 failed; 2 records" in ended.out
    assert "ValueError: bad" in ended.err
    assert failed.left() == 1


@pytest.mark.service
def test_json_says_the_same_for_machines(esm_: Esm, failed: Failed) -> None:
    esm_.app(APP)
    to = ("--function", "app.handle", "--endpoint-url", failed.stream.url)
    ended = esm_("redrive", failed.arn, *to, "--one-by-one", "--json", "--dry-run")
    told = json.loads(ended.out)
    assert [each["Outcome"] for each in told["Documents"]] == ["would be redriven"] * 2
    first = told["Documents"][0]
    assert (first["StartSequenceNumber"], first["EndSequenceNumber"]) == (failed.numbers[0], failed.numbers[1])
    assert (first["Records"], first["BatchSize"], told["Left"]) == (2, 2, 0)


@pytest.mark.service
def test_what_a_function_prints_is_not_among_the_outcome(esm_: Esm, failed: Failed) -> None:
    esm_.app(APP)
    ended = esm_("redrive", failed.arn, "--function", "app:handle", "--endpoint-url", failed.stream.url, "--json")
    assert json.loads(ended.out)["Left"] == 1
    assert "got 2" in ended.err


@pytest.mark.service
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_document_under_way_and_gives_the_others_back(
    esm_: Esm, failed: Failed, number: signal.Signals
) -> None:
    esm_.app(SLOW)
    to = ("--function", "app:handle", "--endpoint-url", failed.stream.url, "--region", REGION)
    with esm_.running("redrive", failed.arn, *to) as running:
        running.until("began")
        code, _ = running.end(number)
    assert (code, failed.left()) == (14, 1), "the first is done with, the second is shown again"
    assert "1 document: 1 redriven; 2 records" in running.out


@pytest.mark.service
def test_a_second_signal_cuts_it_off_and_nothing_is_lost(esm_: Esm, failed: Failed) -> None:
    esm_.app(SLOW.replace("sleep(2)", "sleep(60)"))
    to = ("--function", "app:handle", "--endpoint-url", failed.stream.url, "--region", REGION)
    with esm_.running("redrive", failed.arn, *to) as running:
        running.until("began")
        running.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):  # later than an echo of the first would come
            running.process.wait(2 * ECHO_MS / 1000)
        code, seconds = running.end(signal.SIGTERM)
    assert (code, failed.left()) == (71, 2)
    assert seconds < 10
    assert "Traceback" not in running.said
    assert running.out == "", "there is nothing to tell of"


@pytest.mark.service
def test_what_is_done_is_told_though_the_next_is_cut_off_and_prints_on(esm_: Esm, failed: Failed) -> None:
    esm_.app(SECOND_SLOW)
    to = ("--function", "app:handle", "--endpoint-url", failed.stream.url, "--region", REGION)
    with esm_.running("redrive", failed.arn, *to, "--json") as running:
        running.until("began", call=2)
        running.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            running.process.wait(2 * ECHO_MS / 1000)
        code, _ = running.end(signal.SIGTERM)
    assert (code, failed.left()) == (71, 1)
    assert [each["Outcome"] for each in json.loads(running.out)["Documents"]] == ["redriven"]


@pytest.mark.service
def test_a_line_is_a_line_whatever_a_function_raises(esm_: Esm, failed: Failed) -> None:
    esm_.app("def handle(event, context):\n    raise ValueError('one\\n\\x1b[2Jtwo')\n")
    ended = esm_("redrive", failed.arn, "--function", "app:handle", "--endpoint-url", failed.stream.url)
    assert "ValueError: one\\n\\x1b[2Jtwo" in ended.err
    assert len(ended.err.splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((".", "--function", "app:handle", "--endpoint-url", "http://127.0.0.1:9"), 16, ".: cannot be read"),
        ((QUEUE, "--function", "app:handle"), 8, "--live"),
        ((QUEUE, "--endpoint-url", "http://127.0.0.1:9"), 2, "either --function"),
        ((QUEUE, "--function", "app:nobody", "--endpoint-url", "http://127.0.0.1:9"), 3, "nobody"),
        (("missing.jsonl", "--function", "app:handle", "--endpoint-url", "http://127.0.0.1:9"), 16, "missing.jsonl"),
        (("s3://", "--function", "app:handle", "--endpoint-url", "http://127.0.0.1:9"), 2, "source='s3://'"),
        (("arn:aws:sns:x:1:y", "--function", "app:handle", "--endpoint-url", "http://127.0.0.1:9"), 2, "source="),
        ((QUEUE, "--function", "app:handle", "--endpoint-url", "http://127.0.0.1:9"), 6, QUEUE),
    ],
)
def test_what_cannot_begin_says_why_in_a_line(esm_: Esm, arguments: tuple[str, ...], code: int, said: str) -> None:
    esm_.app(APP)
    ended = esm_("redrive", *arguments)
    assert ended.code == code, ended.err
    assert said in ended.line
