"""`esm doctor` against a local AWS, and against one that refuses."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from email.utils import formatdate
from pathlib import Path
from typing import Any

import boto3
import pytest

import esm
from esm.aws.session import AwsSession
from esm.clock import SystemClock
from esm.management.doctor.examine import examine
from esm.management.doctor.findings import Findings, Verdict
from tests.servers.scripted import ScriptedServer, Step, answer, error
from tests.servers.sessions import signed_in
from tests.surface.streams import REGION, Stream
from tests.surface.typed import Esm

APP = """
import esm

def handle(event, context):
    return None

mappings = esm.EventSourceMapping(
    event_source_arn="{arn}", function=esm.Function(handle, timeout={timeout}), **{more!r})
"""
ARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"


def app(arn: str, timeout: float = 3.0, **more: Any) -> str:
    return APP.format(arn=arn, timeout=timeout, more=more)


def queue(url: str, account: str, **attributes: str) -> str:
    client = boto3.client(
        "sqs", region_name=REGION, endpoint_url=url, aws_access_key_id=account, aws_secret_access_key="secret"
    )
    made = client.create_queue(QueueName="orders", Attributes=attributes)["QueueUrl"]
    arn: str = client.get_queue_attributes(QueueUrl=made, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    client.send_message(QueueUrl=made, MessageBody="waits")
    client.close()
    return arn


@pytest.mark.service
def test_a_stream_that_can_be_read_is_well(esm_: Esm, stream: Stream) -> None:
    esm_.app(app(stream.arn, starting_position="LATEST"))
    ended = esm_("doctor", "app:mappings", "--endpoint-url", stream.url, "--region", REGION)
    assert ended.code == 0, ended.out + ended.err
    assert "the stream is ACTIVE: 1 open shards, records are kept for 24 h" in ended.out
    assert "policy" not in ended.out
    assert "\x1b" not in ended.out, "no colour where there is no terminal"


@pytest.mark.service
def test_a_record_age_beyond_the_retention_is_told(esm_: Esm, stream: Stream) -> None:
    esm_.app(app(stream.arn, starting_position="LATEST", maximum_record_age_in_seconds=604800))
    ended = esm_("doctor", "app:mappings", "--endpoint-url", stream.url)
    assert ended.code == 11
    assert "maximum_record_age_in_seconds=604800 is longer than the stream keeps records (86400 s)" in ended.out


@pytest.mark.service
def test_a_queue_that_hides_too_shortly_is_told_in_awss_words(esm_: Esm, ministack: str, account: str) -> None:
    esm_.app(app(queue(ministack, account, VisibilityTimeout="30"), timeout=60))
    ended = esm_("doctor", "app:mappings", "--endpoint-url", ministack, "--json")
    assert ended.code == 11, ended.err
    said = [finding["Said"] for finding in json.loads(ended.out)["Findings"] if finding["Verdict"] == "problem"]
    assert said == ["Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds"]


@pytest.mark.service
def test_a_queue_is_looked_at_without_receiving(esm_: Esm, ministack: str, account: str) -> None:
    esm_.app(app(queue(ministack, account, VisibilityTimeout="30"), timeout=5))
    ended = esm_("doctor", "app:mappings", "--endpoint-url", ministack)
    assert ended.code == 11
    assert "about 1 messages wait" in ended.out
    assert "no dead-letter queue" in ended.out
    again = esm_("doctor", "app:mappings", "--endpoint-url", ministack)
    assert again.out == ended.out


@pytest.mark.service
def test_a_source_or_a_destination_that_is_missing_is_named(esm_: Esm, ministack: str) -> None:
    missing = "arn:aws:sqs:eu-west-1:123456789012:nobody"
    esm_.app(app(ARN, starting_position="LATEST", destination_config=missing))
    ended = esm_("doctor", "app:mappings", "--endpoint-url", ministack)
    assert ended.code == 11
    assert ended.out.count(f"{ARN} does not exist") == 1, ended.out
    assert f"destination {missing}: " in ended.out


def test_of_files_alone_nobody_is_asked(esm_: Esm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    header = {"esm_recording": 1, "kind": "kinesis", "source": ARN, "id": "r"}
    (esm_.folder / "r.jsonl").write_text(json.dumps(header) + "\n")
    esm_.app(app((esm_.folder / "r.jsonl").as_uri()))
    ended = esm_("doctor", "app:mappings")
    assert ended.code == 0, ended.err
    assert "the recording can be read" in ended.out
    assert "credentials" not in ended.out


def test_a_package_that_a_recording_needs_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    recording = (tmp_path / "r.jsonl.zst").as_uri()
    found = examined(mapping(event_source_arn=recording, starting_position=None))
    said = [each.said for each in found.found if each.verdict is Verdict.PROBLEM]
    assert said == ["r.jsonl.zst needs zstandard: pip install 'asyncio-esm[replay]'"]


@pytest.mark.service
def test_a_templates_functions_are_looked_for_where_its_code_is(esm_: Esm, ministack: str) -> None:
    application = Path(__file__).parents[2] / "examples" / "sam_app"
    shutil.copytree(application, esm_.folder / "cafe")
    (esm_.folder / "cafe" / "functions" / "orders" / "app.py").unlink()
    ended = esm_("doctor", "cafe/template.yaml", "--endpoint-url", ministack, "--account", "123456789012")
    assert ended.code == 11, ended.err
    said = [
        line.split(maxsplit=1) for line in ended.out.splitlines() if "function is found" in line or "handler" in line
    ]
    assert sorted(verdict for verdict, _ in said) == ["ok", "ok", "problem"], ended.out
    assert "123456789012" in ended.out


def test_a_function_of_a_process_of_its_own_is_looked_for_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "lone.py").write_text("raise SystemExit('it is not for this process')")
    there, gone = (
        examined(mapping(function=esm.Function(f"{name}.handle", isolation="process", folder=str(tmp_path))), NOBODY)
        for name in ("lone", "nowhere")
    )
    assert "the function is found: handle" in str(there.found)
    assert "there is no module 'nowhere'" in str(gone.found)


def test_aws_is_not_asked_by_accident(esm_: Esm) -> None:
    esm_.app(app(ARN, starting_position="LATEST"))
    ended = esm_("doctor", "app:mappings")
    assert ended.code == 8
    assert "--live" in ended.line


def test_help_teaches() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "esm", "doctor", "--help"], capture_output=True, text=True, check=True, timeout=30
    )
    assert "esm doctor app:mappings --endpoint-url" in done.stdout


# -- refusals ------------------------------------------------------------------------------------------------------

NOBODY = error("NotImplemented", status=501)  # of STS: whose credentials they are stays unknown
SUMMARY = {"StreamDescriptionSummary": {"StreamStatus": "ACTIVE", "RetentionPeriodHours": 24, "OpenShardCount": 1}}


def mapping(**settings: Any) -> esm.EventSourceMapping:
    whole: dict[str, Any] = {"event_source_arn": ARN, "starting_position": "LATEST"} | settings
    whole.setdefault("function", lambda event, context: None)
    return esm.EventSourceMapping(**whole)


def aws_at(url: str) -> AwsSession:
    return AwsSession(signed_in(), endpoint_url=url, region_name=REGION)


def examined(mapping: esm.EventSourceMapping, *steps: Step) -> Findings:
    async def main() -> Findings:
        async with ScriptedServer(steps) as server, aws_at(server.url) as session:
            return await examine([mapping], session, SystemClock())

    return asyncio.run(main())


def test_what_is_denied_becomes_a_policy_that_is_ready_to_paste() -> None:
    listed = {"Shards": [{"ShardId": "shardId-000000000000"}]}
    denied = error("AccessDeniedException", "User is not authorized")
    found = examined(mapping(), NOBODY, answer(SUMMARY), answer(listed), denied)
    assert found.policy() == {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["kinesis:GetShardIterator"], "Resource": ARN}],
    }
    assert not found.sound


def test_all_that_is_denied_of_one_source_stands_in_one_statement() -> None:
    found = examined(mapping(), NOBODY, error("AccessDeniedException"))
    policy = found.policy()
    assert policy is not None
    assert [statement["Action"] for statement in policy["Statement"]] == [
        ["kinesis:DescribeStreamSummary", "kinesis:ListShards"]
    ]


def test_a_queues_deletes_are_tried_with_a_handle_that_no_message_has() -> None:
    arn = "arn:aws:sqs:eu-west-1:123456789012:orders"
    attributes = {"Attributes": {"VisibilityTimeout": "30", "ApproximateNumberOfMessages": "0"}}
    invalid, denied = error("ReceiptHandleIsInvalid"), error("AccessDenied", status=403)
    queue_mapping = mapping(event_source_arn=arn, starting_position=None)
    found = examined(queue_mapping, NOBODY, answer(attributes), invalid, denied)
    assert found.denied == {arn: {"sqs:ChangeMessageVisibility"}}


def test_an_answer_that_is_not_awss_is_a_finding() -> None:
    found = examined(mapping(), NOBODY, answer({"hello": "world"}))
    said = [each.said for each in found.found if each.verdict is Verdict.PROBLEM]
    assert said[0] == f"kinesis:DescribeStreamSummary on {ARN} was answered without StreamDescriptionSummary"


def test_credentials_that_are_refused_are_no_missing_policy() -> None:
    found = examined(mapping(), NOBODY, error("ExpiredTokenException", "The security token is expired"))
    assert found.policy() is None
    assert [each.said for each in found.found if each.verdict is Verdict.PROBLEM] == [
        f"kinesis:DescribeStreamSummary on {ARN} failed: ExpiredTokenException: The security token is expired"
    ]


def test_a_filter_on_an_image_that_the_stream_does_not_show_is_told() -> None:
    arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000"
    stream = {"StreamDescription": {"StreamStatus": "ENABLED", "StreamViewType": "KEYS_ONLY", "Shards": []}}
    patterns = [{"dynamodb": {"NewImage": {"kind": {"S": ["order"]}}}}]
    found = examined(mapping(event_source_arn=arn, filter_criteria=patterns), NOBODY, answer(stream))
    warned = [each.said for each in found.found if each.verdict is Verdict.WARNING]
    assert warned == [
        "a filter looks at NewImage, which records of view type KEYS_ONLY do not have: it matches nothing"
    ]


@pytest.mark.parametrize(("off_s", "verdict"), [(60, Verdict.WARNING), (-3600, Verdict.PROBLEM)])
def test_a_wrong_clock_is_told(off_s: int, verdict: Verdict) -> None:
    class Off:
        def now(self) -> int:
            return SystemClock().now() + off_s * 1000

    who = (
        b'<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>'
        b"<Arn>arn:aws:iam::123456789012:user/ops</Arn></GetCallerIdentityResult></GetCallerIdentityResponse>"
    )
    date = formatdate(usegmt=True)

    async def main() -> Findings:
        steps = [answer(who, headers={"Date": date, "Content-Type": "text/xml"}), error("AccessDeniedException")]
        async with ScriptedServer(steps) as server, aws_at(server.url) as session:
            return await examine([mapping()], session, Off())

    found = asyncio.run(main())
    assert [each.verdict for each in found.found if "clock" in each.said] == [verdict]
