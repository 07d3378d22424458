"""Credentials, clocks, certificates, proxies: what surrounds a call."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.credentials import AioCredentials
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import AioSession
from botocore.credentials import ReadOnlyCredentials

from esm.aws.credentials import KEEP_SECONDS
from esm.aws.kinesis import KinesisCalls
from esm.aws.session import AwsSession
from esm.aws.sqs import SqsCalls
from esm.clock import Millis, SystemClock
from esm.errors import SourceDeniedError, SourceError
from tests.servers.certificate import Certificate
from tests.servers.scripted import ScriptedServer, answer, error, hang
from tests.servers.sessions import bare, signed_in

pytestmark = [pytest.mark.anyio, pytest.mark.service]

ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
PAGE = answer({"Records": [], "NextShardIterator": "next"})
PLANES = pytest.mark.parametrize("fast", [True, False], ids=["fast", "sdk"])


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))


def access_keys(server: ScriptedServer) -> list[str]:
    texts = [request.headers["authorization"] for request in server.requests]
    return [text.partition("Credential=")[2].partition("/")[0] for text in texts]


async def read(aws: AwsSession) -> None:
    await KinesisCalls(aws).get_records(ARN, "iterator", 100)


def write_keys(folder: Path, access_key: str) -> None:
    (folder / "credentials").write_text(f"[default]\naws_access_key_id={access_key}\naws_secret_access_key=secret\n")


@PLANES
async def test_expired_keys_in_a_file_are_read_again(tmp_path: Path, *, fast: bool) -> None:
    write_keys(tmp_path, "OLD")
    steps = [error("ExpiredTokenException"), PAGE]
    async with ScriptedServer(steps) as server, AwsSession(bare(), endpoint_url=server.url, fast=fast) as aws:
        with pytest.raises(SourceDeniedError, match="ExpiredTokenException"):
            await read(aws)
        write_keys(tmp_path, "NEW")
        await read(aws)
        assert access_keys(server) == ["OLD", "NEW"]


async def test_keys_of_a_process_are_fetched_anew_though_they_should_still_hold(tmp_path: Path) -> None:
    def issue(access_key: str) -> None:
        keys = {"AccessKeyId": access_key, "SecretAccessKey": "secret", "SessionToken": "t"}
        (tmp_path / "keys").write_text(json.dumps(keys | {"Version": 1, "Expiration": "2099-01-01T00:00:00Z"}))

    (tmp_path / "config").write_text(f"[default]\ncredential_process = /bin/cat {tmp_path / 'keys'}\n")
    issue("OLD")
    steps = [PAGE, error("ExpiredTokenException"), PAGE]
    async with ScriptedServer(steps) as server, AwsSession(bare(), endpoint_url=server.url) as aws:
        await read(aws)
        issue("NEW")
        with pytest.raises(SourceDeniedError, match="ExpiredTokenException"):
            await read(aws)
        for _ in range(2):
            await read(aws)
            aws.credentials._kept_until = 0.0  # a second later
        assert access_keys(server) == ["OLD", "OLD", "NEW", "NEW"]


async def test_refused_keys_whose_file_is_gone(tmp_path: Path) -> None:
    write_keys(tmp_path, "OLD")
    steps = [error("ExpiredTokenException")]
    async with ScriptedServer(steps) as server, AwsSession(bare(), endpoint_url=server.url) as aws:
        for _ in range(2):
            with pytest.raises(SourceDeniedError, match="ExpiredTokenException"):
                await read(aws)
            (tmp_path / "credentials").unlink(missing_ok=True)
        assert access_keys(server) == ["OLD", "OLD"]


@PLANES
async def test_missing_credentials_are_found_once_they_are_there(tmp_path: Path, *, fast: bool) -> None:
    async with ScriptedServer([PAGE]) as server, AwsSession(bare(), endpoint_url=server.url, fast=fast) as aws:
        with pytest.raises(SourceDeniedError, match="NoCredentialsError: Unable to locate credentials"):
            await read(aws)
        write_keys(tmp_path, "NEW")
        await read(aws)
        assert access_keys(server) == ["NEW"]


async def test_a_sessions_own_credentials_are_never_replaced(tmp_path: Path) -> None:
    write_keys(tmp_path, "FILE")
    session = signed_in("FIRST")
    steps = [error("ExpiredTokenException"), error("ExpiredTokenException"), PAGE]
    async with ScriptedServer(steps) as server, AwsSession(session, endpoint_url=server.url) as aws:
        for _ in range(2):
            with pytest.raises(SourceDeniedError):
                await read(aws)
        session.set_credentials("SECOND", "secret")
        await read(aws)
        assert access_keys(server) == ["FIRST", "FIRST", "SECOND"]


class Provided(AioCredentials):  # type: ignore[misc]  # the SDK has no types
    """A user's own credentials object."""

    def __init__(self, *answers: Any) -> None:
        super().__init__("unused", "unused")
        self.answers = list(answers)
        self.asked = 0

    async def get_frozen_credentials(self) -> Any:
        self.asked += 1
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, Exception):
            raise found
        if found is None:
            await asyncio.Event().wait()
        return found


def provided(*answers: Any) -> tuple[AioSession, Provided]:
    session, credentials = bare(), Provided(*answers)
    session._credentials = credentials
    return session, credentials


async def test_credentials_are_asked_for_once_a_second_at_most() -> None:
    session, credentials = provided(ReadOnlyCredentials("A", "s", "t", None))
    async with ScriptedServer([PAGE]) as server, AwsSession(session, endpoint_url=server.url) as aws:
        began = asyncio.get_running_loop().time()
        for _ in range(20):
            await read(aws)
        passed = asyncio.get_running_loop().time() - began
        assert 1 <= credentials.asked <= 1 + passed
        assert {request.headers["x-amz-security-token"] for request in server.requests} == {"t"}


async def test_credentials_are_asked_for_again_when_that_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    session, _ = provided(ReadOnlyCredentials("A", "s", "t", None), ReadOnlyCredentials("A", "s", "renewed", None))
    async with ScriptedServer([PAGE]) as server, AwsSession(session, endpoint_url=server.url) as aws:
        await read(aws)
        loop = asyncio.get_running_loop()
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + KEEP_SECONDS)
        await read(aws)
        assert [request.headers["x-amz-security-token"] for request in server.requests] == ["t", "renewed"]


@pytest.mark.parametrize(
    "bad",
    [None, RuntimeError("secret=hunter2"), ReadOnlyCredentials("A", "s", "t\r\nX: y", None)],
    ids=["hangs", "raises", "not fit for a header"],
)
async def test_a_provider_that_fails_is_asked_again(bad: Any) -> None:
    session, _ = provided(bad, ReadOnlyCredentials("A", "s", None, None))
    async with (
        ScriptedServer([PAGE]) as server,
        AwsSession(session, endpoint_url=server.url, read_timeout=0.3) as aws,
    ):
        with pytest.raises(SourceDeniedError, match="CredentialRetrievalError") as caught:
            await read(aws)
        assert "hunter2" not in str(caught.value)
        await read(aws)
        assert len(server.requests) == 1


class WrongClock:
    """The system's clock, and a constant."""

    def __init__(self, ahead: Millis) -> None:
        self._clock, self._ahead = SystemClock(), ahead

    def now(self) -> Millis:
        return self._clock.now() + self._ahead


def dated(code: str, at: Millis) -> Any:
    date = format_datetime(datetime.fromtimestamp(at / 1000, UTC), usegmt=True)
    return error(code, "Signature expired", 400, {"Date": date})


def signed_at(server: ScriptedServer) -> list[float]:
    texts = [request.headers["x-amz-date"] for request in server.requests]
    return [datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() for text in texts]


@pytest.mark.parametrize("code", ["InvalidSignatureException", "RequestTimeTooSkewed", "RequestExpired"])
@pytest.mark.parametrize("ahead", [-3_600_000, 86_400_000])
async def test_a_wrong_clock_is_corrected_once_and_for_all(code: str, ahead: Millis) -> None:
    true = SystemClock().now()
    async with (
        ScriptedServer([dated(code, true), PAGE]) as server,
        AwsSession(signed_in(), endpoint_url=server.url, clock=WrongClock(ahead)) as aws,
    ):
        await read(aws)
        await read(aws)
        first, *others = signed_at(server)
        assert abs(first * 1000 - true - ahead) < 30_000
        assert len(others) == 2
        assert all(abs(other * 1000 - true) < 30_000 for other in others)


async def test_a_wrong_secret_is_not_taken_for_a_wrong_clock() -> None:
    steps = [dated("InvalidSignatureException", SystemClock().now())]
    async with ScriptedServer(steps) as server, AwsSession(signed_in(), endpoint_url=server.url) as aws:
        with pytest.raises(SourceDeniedError, match="InvalidSignatureException"):
            await read(aws)
        assert len(server.requests) == 1


async def test_a_refusal_without_a_date_moves_no_clock() -> None:
    steps = [error("RequestExpired"), error("RequestExpired", headers={"Date": "yesterday"})]
    async with ScriptedServer(steps) as server, AwsSession(signed_in(), endpoint_url=server.url) as aws:
        for tries in (1, 2):
            with pytest.raises(SourceDeniedError):
                await read(aws)
            assert len(server.requests) == tries


@PLANES
async def test_https_with_a_bundle_of_authorities(
    monkeypatch: pytest.MonkeyPatch, certificate: Certificate, *, fast: bool
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certificate.authority))
    async with (
        ScriptedServer([PAGE], tls=certificate.server()) as server,
        AwsSession(signed_in(), endpoint_url=server.url, fast=fast) as aws,
    ):
        await read(aws)
        await read(aws)
        assert server.connections == 1


@PLANES
async def test_https_without_it(certificate: Certificate, *, fast: bool) -> None:
    async with (
        ScriptedServer([PAGE], tls=certificate.server()) as server,
        AwsSession(signed_in(), endpoint_url=server.url, fast=fast) as aws,
    ):
        with pytest.raises(SourceError, match="TlsError: the TLS handshake failed"):
            await read(aws)
        assert not server.requests


async def test_a_bundle_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nonexistent/authority.pem")
    async with AwsSession(signed_in(), endpoint_url="https://localhost:1") as aws:
        with pytest.raises(SourceError):
            await read(aws)


async def reason(aws: AwsSession) -> str:
    return (await aws.data_plane("kinesis", "eu-west-1")).reason


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ""),
        ({"HTTP_PROXY": "http://127.0.0.1:1"}, ""),
        ({"HTTPS_PROXY": "http://127.0.0.1:1"}, "a proxy is configured"),
        ({"https_proxy": "http://127.0.0.1:1"}, "a proxy is configured"),
        ({"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": "localhost,kinesis.eu-west-1.amazonaws.com"}, ""),
        ({"HTTPS_PROXY": "http://127.0.0.1:1", "NO_PROXY": ".other.example"}, "a proxy is configured"),
    ],
)
async def test_proxies_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    async with AwsSession(signed_in()) as aws:
        assert await reason(aws) == expected


class OtherHttp(AIOHTTPSession):  # type: ignore[misc]  # the SDK has no types
    pass


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (AioConfig(), ""),
        (AioConfig(proxies={"https": "http://127.0.0.1:1"}), "a proxy is configured"),
        (AioConfig(http_session_cls=OtherHttp), "http_session_cls is configured"),
        (AioConfig(signature_version="v4a"), "signature_version is v4a"),
        (AioConfig(client_cert="/cert.pem"), "a client certificate is configured"),
        (AioConfig(connector_args={"force_close": True}), ""),
    ],
)
async def test_what_a_user_configured(config: AioConfig, expected: str) -> None:
    session = signed_in()
    session.set_default_client_config(config)
    async with AwsSession(session) as aws:
        assert await reason(aws) == expected


async def test_the_slow_plane_on_request() -> None:
    async with AwsSession(signed_in(), fast=False) as aws:
        assert await reason(aws) == "fast=False"


async def test_requests_go_through_the_proxy() -> None:
    session = signed_in()
    async with ScriptedServer([PAGE]) as proxy:
        session.set_default_client_config(AioConfig(proxies={"http": proxy.url}))
        async with AwsSession(session, endpoint_url="http://kinesis.nowhere.invalid") as aws:
            await read(aws)
        assert proxy.requests[0].headers["host"] == "kinesis.nowhere.invalid"


async def test_clients_and_planes_are_shared_and_of_the_region_asked_for() -> None:
    async with AwsSession(signed_in(), region_name="eu-north-1") as aws:
        here, there = await aws.client("sqs"), await aws.client("sqs", "ap-south-1")
        assert (here.meta.region_name, there.meta.region_name) == ("eu-north-1", "ap-south-1")
        assert await aws.client("sqs") is here
        clients = await asyncio.gather(*(aws.client("sns") for _ in range(5)))
        assert len({id(client) for client in clients}) == 1
        planes = await asyncio.gather(*(aws.data_plane("kinesis", "eu-west-1") for _ in range(5)))
        assert len({id(plane) for plane in planes}) == 1


@pytest.mark.parametrize(
    ("settings", "code"),
    [({}, "NoRegionError"), ({"region_name": "eu-west-1", "endpoint_url": "not a url"}, "InvalidEndpoint")],
)
async def test_a_client_that_cannot_be_made(settings: dict[str, str], code: str) -> None:
    async with AwsSession(signed_in(), **settings) as aws:  # type: ignore[arg-type]  # texts, all of them
        with pytest.raises(SourceError) as caught:
            await aws.client("kinesis")
        assert caught.value.code == code


@PLANES
async def test_long_polls_are_all_out_however_few_connections_others_may_have(*, fast: bool) -> None:
    """One that waits for a connection hears of no message for as long as the others last."""
    polls = 8

    async def url_of_queue(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = writer.get_extra_info("sockname")
        await answer({"QueueUrl": f"http://{host}:{port}/123456789012/jobs"})(_, writer)

    attributes = answer({"Attributes": {"VisibilityTimeout": "30"}})
    steps = [url_of_queue, attributes, *([hang()] * polls)]
    async with (
        ScriptedServer(steps) as server,
        AwsSession(signed_in(), endpoint_url=server.url, fast=fast, connections=1) as aws,
        asyncio.TaskGroup() as tasks,
    ):
        calls = SqsCalls(aws)
        queue = "arn:aws:sqs:eu-west-1:123456789012:jobs"
        await calls.get_queue_attributes(queue)

        async def poll() -> None:
            await calls.receive_message(queue, 10, wait_seconds=20, visibility_seconds=30)

        out = [tasks.create_task(poll()) for _ in range(polls)]
        async with asyncio.timeout(10):
            while len(server.requests) < 2 + polls:  # noqa: ASYNC110  # the server tells nobody
                await asyncio.sleep(0.01)
        for waiting in out:
            waiting.cancel()
