"""When hot calls go through the whole SDK: what a user's hooks get to see, and what a worker says of it."""

from __future__ import annotations

import asyncio
import importlib
from functools import partial
from typing import Any

import pytest
from aiobotocore.awsrequest import AioAWSResponse
from aiobotocore.session import AioSession

import esm
from esm.aws.kinesis import KinesisCalls
from esm.aws.session import AwsSession
from esm.errors import SourceError
from esm.telemetry import facts
from tests.servers.accounts import account_on, mapping_of
from tests.servers.scripted import ScriptedServer, answer
from tests.servers.sessions import signed_in

pytestmark = [pytest.mark.anyio, pytest.mark.service]

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
PAGE = answer({"Records": [], "NextShardIterator": "next"})


def count(seen: list[str], event_name: str, **_: Any) -> None:
    seen.append(event_name)


class Hook:
    """A hook that is an object."""

    def __call__(self, **_: Any) -> None:
        """Does nothing."""


async def reason(session: AioSession, service: str) -> str:
    async with AwsSession(session) as aws:
        return (await aws.data_plane(service, "eu-west-1")).reason


@pytest.mark.parametrize("service", ["kinesis", "dynamodbstreams", "sqs"])
async def test_a_session_with_no_hooks_but_the_sdks_is_fast(service: str) -> None:
    assert await reason(signed_in(), service) == ""


async def test_what_powertools_registers_in_every_session_slows_nothing_down() -> None:
    """It adds its name to the user agent, which is no reason to pay more for every call."""
    importlib.import_module("aws_lambda_powertools")
    session = signed_in()
    hooks = session.get_component("event_emitter")._emitter._handlers.prefix_search("request-created")
    assert any(hook.__module__.startswith("aws_lambda_powertools") for hook in hooks)
    assert await reason(session, "kinesis") == ""


@pytest.mark.parametrize(
    ("event", "service", "expected"),
    [
        ("before-send", "kinesis", "a hook is registered for before-send"),
        ("before-send.kinesis", "kinesis", "a hook is registered for before-send"),
        ("before-sign.kinesis.GetRecords", "kinesis", "a hook is registered for before-sign"),
        ("request-created.*.GetRecords", "dynamodbstreams", "a hook is registered for request-created"),
        ("before-parameter-build.sqs.DeleteMessageBatch", "sqs", "a hook is registered for before-parameter-build"),
        ("before-send.kinesis.PutRecord", "kinesis", ""),
        ("before-send.s3", "kinesis", ""),
        ("creating-client-class", "kinesis", ""),
    ],
)
async def test_a_hook_that_hot_calls_would_pass_by(event: str, service: str, expected: str) -> None:
    """https://docs.aws.amazon.com/boto3/latest/guide/events.html"""
    for hook in (partial(count, []), Hook()):
        session = signed_in()
        session.register(event, hook)
        assert await reason(session, service) == expected


async def test_a_hook_sees_the_hot_calls() -> None:
    session, seen = signed_in(), list[str]()
    session.register("before-send.kinesis", partial(count, seen))
    async with ScriptedServer([PAGE]) as server, AwsSession(session, endpoint_url=server.url) as aws:
        await KinesisCalls(aws).get_records(ARN, "iterator", 100)
    assert seen == ["before-send.kinesis.GetRecords"]


async def test_a_hook_that_answers_instead_of_the_service() -> None:
    """One that stands for the network is the service, as mocks do; one that leaves no answer is told of."""

    def answered(status: int) -> AioAWSResponse:
        return AioAWSResponse("http://127.0.0.1:9", status, {"content-type": "text/html"}, _Raw())

    def sent(**_: Any) -> AioAWSResponse:
        return answered(503)

    def called(**_: Any) -> tuple[AioAWSResponse, dict[str, Any]]:
        return answered(200), {"Records": []}

    for event, hook, code in (("before-send", sent, "Http503"), ("before-call", called, "UnparsableAnswer")):
        session = signed_in()
        session.register(f"{event}.kinesis", hook)
        async with AwsSession(session, endpoint_url="http://127.0.0.1:9") as aws:
            with pytest.raises(SourceError) as caught:
                await KinesisCalls(aws).get_records(ARN, "iterator", 100)
            assert caught.value.code == code


class _Raw:
    """The body of an answer that a hook made."""

    async def read(self) -> bytes:
        """It is empty."""
        return b""


@pytest.mark.parametrize(
    ("settings", "hooked", "expected"),
    [
        ({}, True, ["a hook is registered for before-send"]),
        ({"fast": False}, False, ["fast=False"]),
        ({}, False, []),
    ],
    ids=["a hook", "fast=False", "fast"],
)
async def test_a_worker_says_once_why_it_is_not_fast(
    ministack: str, account: str, settings: dict[str, Any], hooked: bool, expected: list[str]
) -> None:
    seen, told, handled = list[str](), list[facts.Fact](), asyncio.Event()

    class Observer:
        def notice(self, fact: facts.Fact) -> None:
            told.append(fact)

    async def handle(_event: Any, _context: Any) -> None:
        handled.set()

    async with account_on(ministack, account) as mine:
        stream = await mine.streams.create(shards=2)
        await mine.fill(stream, [("k", b"1")])
        given = mine.worker_settings | settings
        if hooked:
            given["session"].register("before-send", partial(count, seen))
        async with esm.Worker([mapping_of(stream, handle)], store="memory:", observers=[Observer()], **given):
            async with asyncio.timeout(20):
                await handled.wait()
    of_planes = [fact for fact in told if isinstance(fact, facts.CallsThroughSdk)]
    assert [(fact.service, fact.reason) for fact in of_planes] == [("kinesis", why) for why in expected]
    assert ("before-send.kinesis.GetRecords" in seen) is hooked
