"""Nothing secret and no payload in any log line, and no line that a record has written itself."""

from __future__ import annotations

import io
import json
import logging
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from esm.aws.failures import send_message
from esm.aws.kinesis import KinesisCalls
from esm.aws.session import AwsSession
from esm.errors import DestinationError, SourceError
from esm.mapping.settings import EventSourceMapping
from esm.telemetry import facts
from esm.telemetry.logs import LogObserver, configure_logging, quiet_sdk
from esm.testing import Put, simulate
from tests.faults.world import ARN, lines_to
from tests.servers.scripted import ScriptedServer, Step, answer, error
from tests.servers.sessions import bare

KEY, SECRET, TOKEN = "AKIACANARYCANARY0001", "canary/secret/canary/secret/0123456789ab", "canary-token-0123456789"
PAYLOAD = b64encode(b"canary in a record").decode()
CANARIES = (KEY, SECRET, TOKEN, PAYLOAD, "canary in a record", "Signature=")
RECORD = {"Data": PAYLOAD, "PartitionKey": "k", "SequenceNumber": "1", "ApproximateArrivalTimestamp": 1.0}
QUEUE = "arn:aws:sqs:eu-west-1:123456789012:failed"
REFUSED = f"The signature of {KEY} does not match. The Canonical String for this request should have been"
STEPS: list[tuple[str, Step]] = [
    ("a page", answer({"Records": [RECORD], "NextShardIterator": "next", "MillisBehindLatest": 0})),
    ("refused", error("InvalidSignatureException", f"{REFUSED}\n'POST\n/\n\nx-amz-security-token:{TOKEN}", 403)),
    ("no JSON", answer(f'{{"Records": [{{"Data": "{PAYLOAD}"'.encode())),
]


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """All that any logger writes at any level; afterwards levels are as they were."""
    stream, root = io.StringIO(), logging.getLogger()
    handler = logging.StreamHandler(stream)
    names = ("", "botocore", "aiobotocore")
    before = {name: logging.getLogger(name).level for name in names}
    root.addHandler(handler)
    for name in names:
        logging.getLogger(name).setLevel(0 if name else 1)
    yield stream
    root.removeHandler(handler)
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


async def call(step: Step, *, fast: bool, sends: bool = False) -> str:
    """One call with canaries; what it raised, as text."""
    session = bare()
    session.set_credentials(KEY, SECRET, TOKEN)
    async with (
        ScriptedServer([step]) as server,
        AwsSession(session, endpoint_url=server.url, region_name="eu-west-1", fast=fast) as aws,
    ):
        try:
            if sends:
                await send_message(aws, QUEUE, PAYLOAD)
            else:
                await KinesisCalls(aws).get_records(ARN, "iterator", 10)
        except (SourceError, DestinationError) as raised:
            return str(raised)
        return ""


@pytest.mark.anyio
@pytest.mark.service
@pytest.mark.parametrize("step", [step for _, step in STEPS], ids=[name for name, _ in STEPS])
async def test_the_fast_plane_writes_nothing_of_a_request_at_any_level(written: io.StringIO, step: Step) -> None:
    logging.getLogger("nobody").debug("is heard")
    text = await call(step, fast=True)
    assert "is heard" in written.getvalue()
    assert not [canary for canary in CANARIES if canary in written.getvalue() + text]


@pytest.mark.anyio
@pytest.mark.service
@pytest.mark.parametrize("sends", [False, True], ids=["GetRecords", "SendMessage"])
async def test_the_sdk_writes_whole_requests_until_it_is_told_not_to(written: io.StringIO, *, sends: bool) -> None:
    await call(error("InternalFailure", "no", 500), fast=False, sends=sends)
    assert TOKEN in written.getvalue(), "if the SDK does not do this any more, `quiet_sdk` is not needed any more"
    written.truncate(0)
    quiet_sdk()
    text = await call(error("InternalFailure", "no", 500), fast=False, sends=sends)
    assert not [canary for canary in CANARIES if canary in written.getvalue() + text]


def test_quieting_the_sdk_makes_nothing_louder(written: io.StringIO) -> None:
    logging.getLogger("botocore").setLevel(logging.ERROR)
    quiet_sdk()
    assert logging.getLogger("botocore").level == logging.ERROR
    assert logging.getLogger("aiobotocore").level == logging.INFO
    assert logging.getLogger().level == 1


def test_no_fact_and_no_log_line_of_a_whole_run_holds_a_payload() -> None:
    """A function that fails, a batch that is halved, given up and described: all of it is told, without the record."""

    def fails(_event: dict[str, Any], _context: Any) -> None:
        raise ValueError("out of stock")

    mapping = EventSourceMapping(
        event_source_arn=ARN,
        function=fails,
        starting_position="TRIM_HORIZON",
        bisect_batch_on_function_error=True,
        maximum_retry_attempts=1,
        destination_config=QUEUE,
        filter_criteria=[{"data": {"text": [{"anything-but": "x"}]}}],
    )
    data = json.dumps({"text": "canary in a record"})
    encoded = b64encode(data.encode()).decode()
    trace = simulate(mapping, [Put(data, key="canary-key", at=-1.0) for _ in range(4)])
    stream = io.StringIO()
    observer = LogObserver(lines_to(stream, level=0))
    for fact in trace.facts:
        observer.notice(fact)
    assert {type(fact) for fact in trace.facts} > {facts.InvocationEnded, facts.RecordsDiscarded, facts.Polled}
    assert "out of stock" in stream.getvalue()
    for canary in ("canary", encoded, encoded[:40]):
        assert canary not in stream.getvalue()
        assert canary not in repr(trace.facts)
        assert canary not in json.dumps(trace.failure_documents)


HOSTILE = [
    "no\n2025-01-01 [info] all is well",
    "well\x1b[2J",
    "well\x9b2J",
    "well\u2028\u202e",
    "well\x00",
    "well\ud800",
]


@pytest.mark.parametrize("as_json", [False, True], ids=["for people", "JSON"])
@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
@pytest.mark.usefixtures("written")
def test_what_a_record_says_through_an_error_is_one_line_and_moves_no_cursor(hostile: str, *, as_json: bool) -> None:
    ended = facts.InvocationEnded(
        at=0,
        mapping="m",
        shard="s",
        request_id="r",
        lane=0,
        records=1,
        outcome="failed",
        failed_records=1,
        duration_ms=1,
        error_type="ValueError",
        error_message=hostile,
    )
    stream = io.StringIO()
    configure_logging(json=as_json, stream=stream)
    try:
        LogObserver().notice(ended)
    finally:
        structlog.reset_defaults()
    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()
    assert "well" in line
