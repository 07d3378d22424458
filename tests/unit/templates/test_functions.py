"""CloudFormation's functions, in the settings of one mapping; what is wrong is refused in CloudFormation's words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.templates.written import one, refused

TEMPLATE = """
    Parameters:
      Stage: {{Type: String, Default: dev, AllowedValues: [dev, prod]}}
      Size: {{Type: Number, Default: 20, MinValue: 1, MaxValue: 50}}
      Names: {{Type: CommaDelimitedList, Default: "a, jobs ,c"}}
      Short: {{Type: String, Default: abc, MinLength: 2, MaxLength: 5}}
      Needed: {{Type: String}}
      Stored: {{Type: "AWS::SSM::Parameter::Value<String>", Default: /shop/name}}
    Mappings:
      Sizes: {{dev: {{batch: 7}}, prod: {{batch: 70}}}}
    Conditions:
      IsProd: !Equals [!Ref Stage, prod]
      IsDev: !Not [!Condition IsProd]
      Both: !And [!Condition IsDev, !Equals [!Ref Size, "20"]]
      Either: !Or [!Condition IsProd, !Condition Both]
      Unknown: !Equals [!Ref Needed, a]
      Round: !Condition Round
    Resources:
      Jobs: {{Type: AWS::SQS::Queue, Properties: {{QueueName: jobs}}}}
      Function:
        Type: AWS::Lambda::Function
        Properties: {{FunctionName: work, Handler: app.handle, Runtime: python3.12, Code: .}}
      Mapping:
        Type: AWS::Lambda::EventSourceMapping
        Properties:
          FunctionName: !Ref Function
          EventSourceArn: {source}
          BatchSize: {size}
"""
QUEUE = "arn:aws:sqs:us-east-1:000000000000:jobs"


def source(written: str, **given: Any) -> str:
    mapping = one(TEMPLATE.format(source=written, size=1), **given).mapping
    assert mapping is not None
    return mapping.event_source_arn


@pytest.mark.parametrize(
    "written",
    [
        "!GetAtt Jobs.Arn",
        "{Fn::GetAtt: [Jobs, Arn]}",
        "!Sub 'arn:${AWS::Partition}:sqs:${AWS::Region}:${AWS::AccountId}:${Jobs.QueueName}'",
        "!Sub ['arn:aws:sqs:us-east-1:000000000000:${Name}', {Name: !Select [1, !Ref Names]}]",
        "!Join [':', [arn:aws:sqs:us-east-1, !Ref AWS::AccountId, !Select ['1', !Split ['/', a/jobs]]]]",
        "!If [IsProd, nowhere, !GetAtt Jobs.Arn]",
        "!If [Either, !GetAtt Jobs.Arn, nowhere]",
        "!ImportValue {Fn::Sub: '${Stage}-jobs'}",
    ],
)
def test_a_queue_s_arn(written: str) -> None:
    assert source(written, imports={"dev-jobs": QUEUE}) == QUEUE


def test_a_literal_dollar_and_what_is_no_name() -> None:
    error = refused(TEMPLATE.format(source="!Sub 'arn:${!Jobs}${'", size=1))
    assert error.value == "arn:${Jobs}${"


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("!FindInMap [Sizes, !Ref Stage, batch]", 7),
        ("!FindInMap [Sizes, gone, batch, {DefaultValue: 3}]", 3),
        ("!Length {Fn::Split: [',', 'a,b,c,d']}", 4),
        ("'9'", 9),
        ("!Ref AWS::NoValue", 10),
        ("!If [IsDev, !Ref AWS::NoValue, 5]", 10),
    ],
)
def test_a_batch_size(written: str, size: int) -> None:
    mapping = one(TEMPLATE.format(source=QUEUE, size=written)).mapping
    assert mapping is not None
    assert mapping.batch_size == size


def test_a_parameter_that_is_given() -> None:
    text = TEMPLATE.format(source=QUEUE, size="!If [IsProd, 8, !Ref Size]")
    assert one(text, parameters={"Stage": "prod"}).mapping.batch_size == 8  # type: ignore[union-attr]  # it is there
    assert refused(text, parameters={"Size": "100"}).rule == "Parameter 'Size' must satisfy MaxValue 50"


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"Stage": "test"}, "Parameter 'Stage' must be one of AllowedValues: dev, prod"),
        ({"Size": "many"}, "Parameter 'Size' must be a number."),
        ({"Size": "0"}, "Parameter 'Size' must satisfy MinValue 1"),
        ({"Short": "a"}, "Parameter 'Short' must satisfy MinLength 2"),
        ({"Short": "abcdef"}, "Parameter 'Short' must satisfy MaxLength 5"),
        ({"Nowhere": "a", "Gone": "b"}, "Parameters: [Gone, Nowhere] do not exist in the template"),
    ],
)
def test_a_parameter_that_is_not_taken(given: dict[str, str], rule: str) -> None:
    assert refused(TEMPLATE.format(source=QUEUE, size=1), parameters=given).rule == rule


def test_a_secret_parameter_is_not_shown() -> None:
    text = TEMPLATE.replace("Short: {{Type", "Short: {{NoEcho: true, Type").format(source=QUEUE, size=1)
    assert "hunter2" not in str(refused(text, parameters={"Short": "hunter2"}))


SECRET = """
Parameters: {{Word: {{Type: String, NoEcho: true, Default: hunter2}}}}
Resources:
  F:
    Type: AWS::Lambda::Function
    Properties: {{Runtime: python3.12, Handler: {handler}, Code: {{S3Bucket: b, S3Key: k}}}}
  M:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {{FunctionName: {function}, EventSourceArn: "arn:aws:sqs:eu-west-1:000000000000:q", BatchSize: {size}}}
"""
PLAIN = {"handler": "app.one", "function": "!Ref F", "size": "1"}


@pytest.mark.parametrize("where", [{"handler": "!Ref Word"}, {"size": "!Ref Word"}, {"size": "!Sub 'x ${Word}'"}])
def test_what_is_wrong_is_said_without_the_secret_in_it(where: dict[str, str]) -> None:
    said = str(refused(SECRET.format(**PLAIN | where)))
    assert "hunter2" not in said
    assert "****" in said


def test_a_refusal_does_not_show_a_secret() -> None:
    assert (
        one(SECRET.format(**PLAIN | {"function": "!Ref Word"})).refusal
        == "function '****' is not defined in this template"
    )


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("!Ref Needed", "parameter Needed has no value: give --parameter Needed=VALUE"),
        ("!Ref Stored", "parameter Stored has no value: give --parameter Stored=VALUE"),
        ("!ImportValue other", "the export 'other' is of another stack: give its value in the file of --imports"),
        ("!GetAtt Jobs.Nothing", "Nothing of Jobs (AWS::SQS::Queue) is known only once AWS has made it"),
        ("!Select [0, {Fn::GetAZs: ''}]", "Fn::GetAZs is known to CloudFormation alone"),
        ("'{{resolve:ssm:/a}}'", "a dynamic reference {{resolve:...}} is known to CloudFormation alone"),
        ("!Sub '{{resolve:ssm:/${Stage}}}'", "a dynamic reference {{resolve:...}} is known to CloudFormation alone"),
        ("!If [Unknown, a, b]", "parameter Needed has no value: give --parameter Needed=VALUE"),
    ],
)
def test_what_is_known_only_elsewhere_refuses_the_mapping_and_not_the_file(written: str, reason: str) -> None:
    found = one(TEMPLATE.format(source=written, size=1))
    assert found.mapping is None
    assert found.refusal == reason


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("!Ref Gone", "Unresolved resource dependencies [Gone] in the Resources block of the template"),
        ("!Ref [a]", "every Ref object must have a single String value."),
        ("!GetAtt Gone.Arn", "instance of Fn::GetAtt references undefined resource Gone"),
        ("!GetAtt Jobs", "every Fn::GetAtt object requires two non-empty parameters"),
        ("!Sub '${Gone}'", "Unresolved resource dependencies [Gone]"),
        ("!Sub [1, 2, 3]", "One or more Fn::Sub intrinsic functions don't specify expected arguments"),
        ("!Join [a]", "every Fn::Join object requires two parameters"),
        ("!Join ['', a]", "every Fn::Join object requires two parameters"),
        ("!Select [5, [a]]", "Fn::Select cannot select nonexistent value at index 5"),
        ("!Select [a, [a]]", "Fn::Select requires a list argument with two elements"),
        ("!Split ['', a]", "every Fn::Split object requires two parameters"),
        ("!If [Gone, 1, 2]", "Unresolved condition dependencies [Gone]"),
        ("!If [IsProd, 1]", "Fn::If requires a condition's name and two values"),
        ("!FindInMap [Sizes, gone, batch]", "Unable to get mapping for Sizes::gone::batch"),
        ("!FindInMap [Sizes]", "every Fn::FindInMap object requires three parameters"),
        ("!Length 5", "Fn::Length requires a list"),
        ("!ToJsonString {Ref: AWS::NoValue}", "Fn::ToJsonString requires an object or an array"),
        ("[a]", "Member must be a string"),
    ],
)
def test_what_is_wrong_refuses_the_file(written: str, rule: str) -> None:
    error = refused(TEMPLATE.format(source=written, size=1))
    assert rule in error.rule
    assert error.line == 27


def test_conditions_that_are_made_of_each_other() -> None:
    error = refused(TEMPLATE.format(source="!If [Round, 1, 2]", size=1))
    assert error.rule == "Template error: Circular dependency of condition Round"
    assert error.line == 17


def test_names_that_are_made_of_each_other() -> None:
    text = """
        Resources:
          A: {Type: AWS::SQS::Queue, Properties: {QueueName: !Ref B}}
          B: {Type: AWS::SNS::Topic, Properties: {TopicName: !GetAtt A.QueueName}}
          M: {Type: AWS::Lambda::EventSourceMapping, Properties: {FunctionName: f, EventSourceArn: !GetAtt A.Arn}}
          F: {Type: AWS::Lambda::Function, Properties: {FunctionName: !GetAtt A.QueueName, Handler: a.b}}
    """
    assert "Circular dependency between resources: [F, A, B]" in refused(text).rule


def test_a_text_that_grows_without_end() -> None:
    parameters = "  P0: {Type: String, Default: " + "x" * 1_000 + "}\n"
    queues = "".join(
        f"  Q{n}: {{Type: AWS::SQS::Queue, Properties: {{QueueName: !Sub '{name * 20}'}}}}\n"
        for n, name in enumerate(["${P0}", "${Q0.QueueName}", "${Q1.QueueName}", "${Q2.QueueName}"])
    )
    mapping = "  M: {Type: AWS::Lambda::EventSourceMapping, Properties: {FunctionName: !GetAtt Q3.QueueName}}\n"
    error = refused(f"Parameters:\n{parameters}Resources:\n{queues}{mapping}")
    assert "characters" in error.rule
