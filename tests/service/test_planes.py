"""The fast plane and the SDK's: the same bytes out, the same values and errors in, whatever the server does."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiobotocore.session import AioSession

from esm.aws.kinesis import KinesisCalls
from esm.aws.session import AwsSession
from esm.errors import (
    IteratorExpiredError,
    SourceDeniedError,
    SourceError,
    SourceNotFoundError,
    SourceThrottledError,
)
from tests.servers.scripted import (
    Request,
    ScriptedServer,
    Step,
    answer,
    chunked,
    error,
    hang,
    head,
    raw,
    reset,
    trickle,
)
from tests.servers.sessions import signed_in

pytestmark = [pytest.mark.anyio, pytest.mark.service]

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
SECRET = base64.b64encode(b"hunter2 hunter2").decode()
RECORD = {"Data": SECRET, "PartitionKey": "k", "SequenceNumber": "12", "ApproximateArrivalTimestamp": 1.7e9 + 0.123}
PAGE = {"Records": [RECORD], "NextShardIterator": "next", "MillisBehindLatest": 5}
PAGE_TEXT = str(PAGE).replace("'", '"').encode()
HTML = b"<html><body>Log in to the guest network" + b"!" * 500

Outcome = tuple[object, ...]


@asynccontextmanager
async def calling(
    *steps: Step, fast: bool, session: AioSession | None = None, read_timeout: float = 5.0
) -> AsyncIterator[tuple[ScriptedServer, KinesisCalls]]:
    async with (
        ScriptedServer(steps) as server,
        AwsSession(
            session or signed_in(), endpoint_url=server.url, fast=fast, read_timeout=read_timeout, connect_timeout=2.0
        ) as aws,
    ):
        yield server, KinesisCalls(aws)


async def outcome(*steps: Step, fast: bool, read_timeout: float = 5.0) -> Outcome:
    """What one GetRecords gives: values, or the error's kind, code and text."""
    async with calling(*steps, fast=fast, read_timeout=read_timeout) as (_, kinesis):
        try:
            return await kinesis.get_records(ARN, "iterator", 100)
        except SourceError as error:
            return type(error), error.code, error.message


ANSWERS: dict[str, tuple[Step, Outcome]] = {
    "throttled": (
        error("ProvisionedThroughputExceededException", "Rate exceeded for shard shardId-000000000000"),
        (
            SourceThrottledError,
            "ProvisionedThroughputExceededException",
            "Rate exceeded for shard shardId-000000000000",
        ),
    ),
    "namespace and address": (
        error("com.amazonaws.kinesis.v20131202#ExpiredIteratorException:http://x/", "old"),
        (IteratorExpiredError, "ExpiredIteratorException", "old"),
    ),
    "code in a header": (
        answer({"message": "gone"}, 400, {"x-amzn-ErrorType": "ResourceNotFoundException:http://y/"}),
        (SourceNotFoundError, "ResourceNotFoundException", "gone"),
    ),
    "Message": (
        answer({"__type": "AccessDeniedException", "Message": "User: x is not authorized"}, 400),
        (SourceDeniedError, "AccessDeniedException", "User: x is not authorized"),
    ),
    "refusal that is a page": (answer(HTML, 502), (SourceError, "Http502", HTML[:200].decode())),
    "refusal without a word": (answer(b"", 503), (SourceError, "Http503", "HTTP status 503")),
    "forbidden by something between": (answer(b"", 403), (SourceDeniedError, "Http403", "HTTP status 403")),
    "success that is a page": (
        answer(HTML),
        (SourceError, "UnparsableAnswer", f"{len(HTML)} bytes: {HTML[:200].decode()}"),
    ),
}


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "sdk"])
@pytest.mark.parametrize(("step", "expected"), ANSWERS.values(), ids=ANSWERS.keys())
async def test_refusals(step: Step, expected: Outcome, *, fast: bool) -> None:
    assert await outcome(step, fast=fast) == expected


async def test_redirects_are_not_followed() -> None:
    assert await outcome(answer(b"", 302, {"Location": "/"}), fast=True) == (SourceError, "Http302", "HTTP status 302")


SUCCESSES = {
    "whole": answer(PAGE_TEXT),
    "chunked": chunked([PAGE_TEXT[:50], PAGE_TEXT[50:]]),
    "closing": answer(PAGE_TEXT, headers={"Connection": "close"}, then_close=True),
}


@pytest.mark.parametrize("step", SUCCESSES.values(), ids=SUCCESSES.keys())
async def test_the_same_page(step: Step) -> None:
    fast, sdk = await outcome(step, fast=True), await outcome(step, fast=False)
    assert fast == sdk
    page, size = fast
    assert size == len(PAGE_TEXT)
    assert page.records[0].data == SECRET  # type: ignore[attr-defined]  # a page, or it would not have its size
    assert page.records[0].arrived_at == 1_700_000_000_123  # type: ignore[attr-defined]  # as above


UNPARSABLE = {
    "empty": b"",
    "cut off": PAGE_TEXT[:-10],
    "flipped byte": PAGE_TEXT.replace(b'"Records"', b"'Records\""),
    "no text": PAGE_TEXT.replace(b"hunter2", b"\xff\xfe").replace(b'"k"', b'"\xff"'),
    "other JSON": b'{"status": "ok"}',
    "a list": b"[]",
    "null": b"null",
    "a record without data": b'{"Records": [{"SequenceNumber": "1"}]}',
    "deep": b'{"Other": ' + b"[" * 100_000,
}


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "sdk"])
@pytest.mark.parametrize("body", UNPARSABLE.values(), ids=UNPARSABLE.keys())
async def test_what_does_not_parse_is_never_an_empty_page(body: bytes, *, fast: bool) -> None:
    kind, code, message = await outcome(answer(body), fast=fast)
    assert (kind, code) == (SourceError, "UnparsableAnswer")
    assert SECRET not in str(message)


BROKEN = {
    "truncated": (raw(head(200, {"Content-Length": "900"}) + PAGE_TEXT, then_close=True), "ConnectionClosed"),
    "unfinished chunks": (chunked([PAGE_TEXT], finished=False), "ConnectionClosed"),
    "reset before": (reset(), "ConnectionClosed"),
    "reset within": (reset(head(200, {"Content-Length": "900"}) + PAGE_TEXT), "ConnectionClosed"),
    "black hole": (hang(), "ReadTimeout"),
    "trickle": (trickle(head(200, {"Content-Length": "900"}) + PAGE_TEXT, 0.05), "ReadTimeout"),
}


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "sdk"])
@pytest.mark.parametrize(("step", "code"), BROKEN.values(), ids=BROKEN.keys())
async def test_broken_answers(step: Step, code: str, *, fast: bool) -> None:
    timeout = 0.3 if code == "ReadTimeout" else 5.0
    told = await outcome(step, fast=fast, read_timeout=timeout)
    assert told[:2] == (SourceError, code)


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "sdk"])
async def test_a_call_is_tried_once_and_the_connection_kept_after_a_refusal(*, fast: bool) -> None:
    async with calling(error("InternalFailure", "sorry", 500), answer(PAGE), fast=fast) as (server, kinesis):
        with pytest.raises(SourceError, match="InternalFailure: sorry"):
            await kinesis.get_records(ARN, "iterator", 100)
        assert len(server.requests) == 1
        await kinesis.get_records(ARN, "iterator", 100)
        assert [request.connection for request in server.requests] == [1, 1]


async def sent(*, fast: bool) -> list[Request]:
    steps = [
        answer(PAGE),
        answer({"ShardIterator": "i"}),
        answer({"Shards": []}),
        answer({"Shards": []}),
        answer({"StreamDescriptionSummary": {"StreamStatus": "ACTIVE"}}),
    ]
    async with calling(*steps, fast=fast, session=signed_in(token="token")) as (server, kinesis):
        await kinesis.get_records(ARN, "iterator", 100)
        await kinesis.get_shard_iterator(ARN, "shardId-000000000000", "AT_TIMESTAMP", timestamp=1_700_000_000.123)
        await kinesis.list_shards(ARN, None)
        await kinesis.list_shards(ARN, "token")
        await kinesis.describe_stream_summary(ARN)
        return server.requests


async def test_the_same_requests() -> None:
    fast, sdk = await sent(fast=True), await sent(fast=False)
    assert [request.body for request in fast] == [request.body for request in sdk]
    assert fast[1].json["Timestamp"] == 1_700_000_000.123
    for name in ("x-amz-target", "content-type", "x-amz-security-token"):
        assert [request.headers[name] for request in fast] == [request.headers[name] for request in sdk]


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "sdk"])
async def test_list_shards_repeats_the_stream_where_a_token_alone_is_refused(*, fast: bool) -> None:
    steps = [error("InvalidArgumentException"), answer({"Shards": [], "NextToken": "more"})]
    async with calling(*steps, fast=fast) as (server, kinesis):
        assert (await kinesis.list_shards(ARN, "token")).next_token == "more"
        assert [request.json for request in server.requests] == [
            {"NextToken": "token"},
            {"NextToken": "token", "StreamARN": ARN},
        ]


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "sdk"])
@pytest.mark.parametrize("code", ["LimitExceededException", "AccessDeniedException"])
async def test_list_shards_is_not_repeated_when_throttled_or_denied(code: str, *, fast: bool) -> None:
    async with calling(error(code), fast=fast) as (server, kinesis):
        with pytest.raises((SourceThrottledError, SourceDeniedError)):
            await kinesis.list_shards(ARN, "token")
        assert len(server.requests) == 1
