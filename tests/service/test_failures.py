"""Failure records to SQS, SNS and S3 of a local server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from esm.aws.failures import publish, put_object, send_message
from esm.aws.session import AwsSession
from esm.errors import DestinationError
from tests.servers.plugin import free_port
from tests.servers.scripted import ScriptedServer, error
from tests.servers.sessions import bare, signed_in
from tests.servers.streams import REGION

pytestmark = [pytest.mark.anyio, pytest.mark.service]

TEXT = '{"päyload": "hunter2"}'


@pytest.fixture
async def session(ministack: str, account: str) -> AsyncIterator[AwsSession]:
    async with AwsSession(signed_in(account), endpoint_url=ministack, region_name=REGION) as made:
        yield made


async def test_a_queue(session: AwsSession, account: str) -> None:
    sqs = await session.client("sqs", REGION)
    url = (await sqs.create_queue(QueueName="failed"))["QueueUrl"]
    await send_message(session, f"arn:aws:sqs:{REGION}:{account}:failed", TEXT)
    messages = (await sqs.receive_message(QueueUrl=url))["Messages"]
    assert [message["Body"] for message in messages] == [TEXT]


async def test_a_topic(session: AwsSession, account: str) -> None:
    sqs, sns = await session.client("sqs", REGION), await session.client("sns", REGION)
    url = (await sqs.create_queue(QueueName="subscriber"))["QueueUrl"]
    topic = (await sns.create_topic(Name="failed"))["TopicArn"]
    queue_arn = f"arn:aws:sqs:{REGION}:{account}:subscriber"
    raw = {"RawMessageDelivery": "true"}
    await sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn, Attributes=raw)
    await publish(session, topic, TEXT)
    messages = (await sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5))["Messages"]
    assert [message["Body"] for message in messages] == [TEXT]


async def test_a_bucket(session: AwsSession) -> None:
    s3 = await session.client("s3")
    await s3.create_bucket(Bucket="failed", CreateBucketConfiguration={"LocationConstraint": REGION})
    key = "aws/lambda/0/shardId-000000000000/2026/11/21/2026-11-21T18.00.00-1"
    await put_object(session, "failed", key, TEXT.encode(), "application/octet-stream")
    stored = await s3.get_object(Bucket="failed", Key=key)
    assert await stored["Body"].read() == TEXT.encode()
    assert stored["ContentType"] == "application/octet-stream"


async def test_what_is_not_there(session: AwsSession, account: str) -> None:
    with pytest.raises(DestinationError, match=r"NonExistentQueue|QueueDoesNotExist"):
        await send_message(session, f"arn:aws:sqs:{REGION}:{account}:nowhere", TEXT)
    with pytest.raises(DestinationError, match="NotFound"):
        await publish(session, f"arn:aws:sns:{REGION}:{account}:nowhere", TEXT)
    with pytest.raises(DestinationError, match="NoSuchBucket"):
        await put_object(session, "nowhere-at-all", "key", TEXT.encode(), "text/plain")


async def test_a_refusal_is_not_retried_and_says_nothing_of_the_record(account: str) -> None:
    async with (
        ScriptedServer([error("InternalFailure", "sorry", 500)]) as server,
        AwsSession(signed_in(account), endpoint_url=server.url) as session,
    ):
        with pytest.raises(DestinationError) as caught:
            await send_message(session, f"arn:aws:sqs:{REGION}:{account}:failed", TEXT)
        assert (caught.value.code, caught.value.message) == ("InternalFailure", "sorry")
        assert len(server.requests) == 1


async def test_nobody_listens(account: str) -> None:
    async with AwsSession(signed_in(account), endpoint_url=f"http://127.0.0.1:{free_port()}") as session:
        with pytest.raises(DestinationError, match="ConnectionFailed"):
            await send_message(session, f"arn:aws:sqs:{REGION}:{account}:failed", TEXT)


async def test_a_queue_without_credentials(monkeypatch: pytest.MonkeyPatch, account: str) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    async with AwsSession(bare()) as session:
        with pytest.raises(DestinationError, match="NoCredentialsError"):
            await send_message(session, f"arn:aws:sqs:{REGION}:{account}:failed", TEXT)
