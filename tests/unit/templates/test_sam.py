"""SAM: what AWS's transform makes of functions, at the places where they stand in the file."""

from __future__ import annotations

import importlib.util
import socket
from pathlib import Path
from typing import Any

import pytest

from esm.errors import NotInstalledError
from tests.unit.templates.written import plan, refused

TEMPLATE = """\
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    Runtime: python3.12
    Timeout: 20
    CodeUri: .
    Environment: {Variables: {FROM: globals, BOTH: globals}}
Resources:
  Orders: {Type: AWS::Kinesis::Stream}
  Items: {Type: AWS::DynamoDB::Table, Properties: {StreamSpecification: {StreamViewType: NEW_IMAGE}}}
  Jobs: {Type: AWS::SQS::Queue}
  Api: {Type: AWS::Serverless::Api, Properties: {StageName: v1, DefinitionUri: api.yaml, Nonsense: true}}
  Steps: {Type: AWS::Serverless::StateMachine, Properties: {}}
  Work:
    Type: AWS::Serverless::Function
    Properties:
      Handler: app.handle
      AutoPublishAlias: live
      Policies: [NoSuchPolicy: {A: b}]
      Environment: {Variables: {BOTH: own}}
      Events:
        Web: {Type: Api, Properties: {Path: /, Method: get}}
        Nightly: {Type: Schedule, Properties: {Schedule: rate(1 day)}}
        Ordered:
          Type: Kinesis
          Properties:
            Stream: !GetAtt Orders.Arn
            StartingPosition: LATEST
            BatchSize: '7'
        Changed: {Type: DynamoDB, Properties: {Stream: !GetAtt Items.StreamArn, StartingPosition: TRIM_HORIZON}}
        Asked: {Type: SQS, Properties: {Queue: !GetAtt Jobs.Arn, Enabled: no}}
        Logged:
          Type: MSK
          Properties: {Stream: 'arn:aws:kafka:us-east-1:1:cluster/a', Topics: [a], StartingPosition: LATEST}
"""


def test_events_that_are_mappings() -> None:
    ordered, changed, asked, logged = plan(TEMPLATE).planned
    assert [each.logical_id for each in (ordered, changed, asked, logged)] == [
        "WorkOrdered",
        "WorkChanged",
        "WorkAsked",
        "WorkLogged",
    ]
    assert [each.line for each in (ordered, changed, asked, logged)] == [24, 30, 31, 32]
    assert ordered.mapping is not None
    assert ordered.mapping.batch_size == 7
    function = ordered.mapping.function
    assert (function.qualified_name, function.timeout) == ("shop-Work:live", 20)
    assert function.environment == {"FROM": "globals", "BOTH": "own"}
    assert changed.is_pending
    assert asked.mapping is not None
    assert not asked.mapping.enabled
    assert "Amazon MSK" in str(logged.refusal)


@pytest.mark.parametrize(
    ("before", "after", "place", "rule"),
    [
        (
            "BatchSize: '7'",
            "BatchSize: 0",
            "29:",
            "Work.Properties.Events.Ordered.Properties.BatchSize = 0: 1 validation",
        ),
        ("BatchSize: '7'", "Bogus: 7", "29:", "Work.Properties.Events.Ordered.Properties.Bogus = 7: "),
        (
            "BatchSize: '7'",
            "BatchSize: seven",
            "29:",
            "Work.Properties.Events.Ordered.Properties.BatchSize = 'seven': Resource with id [WorkOrdered]",
        ),
        ("StartingPosition: LATEST\n", "\n", "24:", "Work.Properties.Events.Ordered"),
        (
            "Stream: !GetAtt Orders.Arn",
            "Stream: orders",
            "27:",
            "Events.Ordered.Properties.Stream = 'orders': 1 validation",
        ),
        (
            "Handler: app.handle",
            "Handler: nothing",
            "17:",
            "Resources.Work.Properties.Handler = 'nothing': 1 validation",
        ),
        ("Handler: app.handle", "Timeout: 5", "14:", "Resources.Work: "),
        (
            "AutoPublishAlias: live",
            "AutoPublishAlias: [a]",
            "18:",
            "Resources.Work.Properties.AutoPublishAlias = list: ",
        ),
        ("Type: Kinesis", "Type: [Kinesis]", "24:", "Work.Properties.Events.Ordered: "),
        ("      Events:\n", "      Events: [a]\n      More:\n", "21:", "Resources.Work.Properties.Events = list: "),
        ("    Timeout: 20", "    Timeout: 20000", "16:", "Resources.Work.Properties.Timeout = 20000: 1 validation"),
        ("Globals:\n  Function:", "Globals:\n  Function: a\n  More:", "2:1", "Globals"),
    ],
)
def test_what_is_wrong_is_said_of_its_place_in_the_file(before: str, after: str, place: str, rule: str) -> None:
    assert before in TEMPLATE
    said = str(refused(TEMPLATE.replace(before, after, 1)))
    assert said.startswith(f"template.yaml:{place}"), said
    assert rule in said


def test_a_mapping_of_its_own_may_name_what_the_transform_makes() -> None:
    mapping = """\
  Alone:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {EventSourceArn: "arn:aws:sqs:us-east-1:000000000000:own", FunctionName: !Ref Work.Alias}
"""
    alone = next(each for each in plan(TEMPLATE + mapping).planned if each.logical_id == "Alone")
    assert alone.mapping is not None
    assert (alone.mapping.function.qualified_name, alone.line) == ("shop-Work:live", 35)
    other = (TEMPLATE + mapping).replace("Work.Alias", "Work.Other")
    alone = next(each for each in plan(other).planned if each.logical_id == "Alone")
    assert alone.refusal == "Work.Other is made when the template is deployed, and nothing is known of it here"


@pytest.mark.parametrize(
    "named",
    ['!Sub "https://${ServerlessRestApi}/Prod/"', "!GetAtt WorkRole.Arn", "!Ref ServerlessHttpApi", "!Ref Api.Stage"],
)
def test_what_the_transform_makes_is_unknown_here_and_no_fault(named: str) -> None:
    ordered = plan(TEMPLATE.replace("{BOTH: own}", f"{{BOTH: own, URL: {named}}}")).planned[0]
    assert ordered.mapping is not None
    note = next(note for note in ordered.notes if note.startswith("environment variable URL is not set: "))
    assert note.endswith(" is made when the template is deployed, and nothing is known of it here")


def test_what_nobody_makes_refuses_the_file() -> None:
    said = str(refused(TEMPLATE.replace("{BOTH: own}", "{BOTH: !Ref Nobody}")))
    assert "Unresolved resource dependencies [Nobody]" in said


def test_code_and_layers(tmp_path: Path) -> None:
    for folder in ("src", "deps/python"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "src/app.py").touch()
    text = TEMPLATE.replace("    CodeUri: .\n", "").replace(
        "AutoPublishAlias: live", "CodeUri: src\n      Layers: [!Ref Deps]"
    )
    text += "  Deps: {Type: AWS::Serverless::LayerVersion, Properties: {ContentUri: deps/}}\n"
    found = plan(text, folder=tmp_path).planned[0]
    assert (found.refusal, found.notes) == (None, ())
    assert found.code.folders == (tmp_path.resolve() / "src", tmp_path.resolve() / "deps/python")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("CodeUri: s3://bucket/key", "its code is at s3://bucket/key"),
        ("CodeUri: {Bucket: bucket, Key: key}", "its code is in S3"),
        ("CodeUri: gone", "its code is not there: gone"),
        ("PackageType: Image\n      ImageUri: a.b/c:d", "it is a container image"),
        ("Runtime: java21", "it runs on java21"),
    ],
)
def test_code_that_is_not_here(given: str, reason: str) -> None:
    text = TEMPLATE.replace("    CodeUri: .\n    ", "    ").replace("AutoPublishAlias: live", given)
    if "Image" in given:
        text = text.replace("      Handler: app.handle\n", "").replace("    Runtime: python3.12\n", "")
    assert reason in str(plan(text).planned[0].refusal)


def test_inline_code() -> None:
    text = TEMPLATE.replace("    CodeUri: .\n", "").replace(
        "AutoPublishAlias: live", "InlineCode: 'def handle(e, c): pass'"
    )
    assert plan(text).planned[0].code.inline == "def handle(e, c): pass"


def test_the_transform_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    assert len(plan(TEMPLATE, region="eu-west-1").planned) == 4


def test_without_the_package_it_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    there = importlib.util.find_spec
    monkeypatch.setattr(
        "esm.templates.sam.find_spec", lambda name: None if name == "samtranslator" else there(name), raising=True
    )
    with pytest.raises(NotInstalledError, match=r"^template\.yaml needs aws-sam-translator: pip install"):
        plan(TEMPLATE)


def test_yaml_without_its_package_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esm.templates.read.find_spec", lambda _: None)
    with pytest.raises(NotInstalledError, match=r"^template\.yaml needs PyYAML: pip install"):
        plan("a: 1")


def test_a_transform_that_gives_up_refuses_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("what it is made for is there")

    monkeypatch.setattr("samtranslator.translator.translator.Translator.translate", broken)
    assert refused(TEMPLATE).rule == "the SAM transform cannot read this template (KeyError)"
