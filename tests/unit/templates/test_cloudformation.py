"""Mappings and functions of plain CloudFormation, as people write it and as the CDK does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.templates.written import one, plan, refused

FUNCTION = """
      Work:
        Type: AWS::Lambda::Function
        Properties:
          {function}
      Jobs: {{Type: AWS::SQS::Queue}}
      Orders: {{Type: AWS::Kinesis::Stream, Properties: {{Name: orders}}}}
      Items: {{Type: AWS::DynamoDB::Table, Properties: {{StreamSpecification: {{StreamViewType: NEW_IMAGE}}}}}}
      Plain: {{Type: AWS::DynamoDB::Table}}
      Live: {{Type: AWS::Lambda::Alias, Properties: {{Name: live, FunctionName: !Ref Work}}}}
      First: {{Type: AWS::Lambda::Version, Properties: {{FunctionName: !GetAtt Work.Arn}}}}
"""
USUAL = "{Handler: app.handle, Runtime: python3.12, Code: .}"
STREAM = "EventSourceArn: !GetAtt Orders.Arn, StartingPosition: LATEST"


def template(mapping: str, function: str = USUAL) -> str:
    return f"""
    Resources:{FUNCTION.format(function=function)}
      Mapping: {{Type: AWS::Lambda::EventSourceMapping, Properties: {{{mapping}}}}}
    """


@pytest.mark.parametrize(
    ("name", "qualified"),
    [
        ("!Ref Work", "shop-Work"),
        ("!GetAtt Work.Arn", "shop-Work"),
        ("!Ref Live", "shop-Work:live"),
        ("!Ref First", "shop-Work:1"),
        ("!Join [':', [!Ref Work, live]]", "shop-Work:live"),
        ("!Sub '${Work.Arn}:$LATEST'", "shop-Work"),
        ("!Sub 'function:${Work}'", "shop-Work"),
    ],
)
def test_a_function_s_name(name: str, qualified: str) -> None:
    found = one(template(f"FunctionName: {name}, {STREAM}"))
    assert found.mapping is not None
    assert found.mapping.function.qualified_name == qualified
    assert (found.function_id, found.refusal) == ("Work", None)


def test_settings_as_text_and_numbers() -> None:
    settings = (
        "BatchSize: '5', ParallelizationFactor: 2, BisectBatchOnFunctionError: yes, Enabled: 'false', "
        "MaximumRetryAttempts: 3, MaximumRecordAgeInSeconds: 60, FunctionResponseTypes: [ReportBatchItemFailures], "
        "DestinationConfig: {OnFailure: {Destination: !GetAtt Jobs.Arn}}, Tags: [{Key: a, Value: b}], "
        'FilterCriteria: {Filters: [{Pattern: \'{"data": {"a": [1]}}\'}]}'
    )
    mapping = one(template(f"FunctionName: !Ref Work, {STREAM}, {settings}")).mapping
    assert mapping is not None
    assert mapping.to_api() == {
        "FunctionName": "shop-Work",
        "EventSourceArn": "arn:aws:kinesis:us-east-1:000000000000:stream/orders",
        "Enabled": False,
        "BatchSize": 5,
        "MaximumBatchingWindowInSeconds": 0,
        "StartingPosition": "LATEST",
        "ParallelizationFactor": 2,
        "MaximumRecordAgeInSeconds": 60,
        "MaximumRetryAttempts": 3,
        "BisectBatchOnFunctionError": True,
        "TumblingWindowInSeconds": 0,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "FilterCriteria": {"Filters": [{"Pattern": '{"data": {"a": [1]}}'}]},
        "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:000000000000:shop-Jobs"}},
        "Tags": {"a": "b"},
    }


@pytest.mark.parametrize(
    ("mapping", "path", "rule"),
    [
        (
            f"FunctionName: !Ref Work, {STREAM}, BatchSize: 10001",
            "BatchSize",
            "less than or equal to 10000 [Validation",
        ),
        (f"FunctionName: !Ref Work, {STREAM}, BatchSize: 1.5", "BatchSize", "Member must be an integer [Validation"),
        (f"FunctionName: !Ref Work, {STREAM}, BatchSize: true", "BatchSize", "Member must be an integer [Validation"),
        (f"FunctionName: !Ref Work, {STREAM}, BatchSize: .nan", "BatchSize", "Member must be an integer [Validation"),
        (f"FunctionName: !Ref Work, {STREAM}, Enabled: 1", "Enabled", "Member must be a boolean [Validation"),
        (f"FunctionName: !Ref Work, {STREAM}, Bogus: 1", "Bogus", "Encountered unsupported property Bogus"),
        (
            f"FunctionName: !Ref Work, {STREAM}, FilterCriteria: {{Filters: [{{Pattern: '{{'}}]}}",
            "FilterCriteria",
            "Inval",
        ),
        ("FunctionName: !Ref Work, EventSourceArn: !GetAtt Orders.Arn", "", "Value null at 'startingPosition'"),
        (STREAM, "", "Value null at 'functionName' failed to satisfy constraint: Member must not be null"),
        (
            "FunctionName: !Ref Work, EventSourceArn: nowhere",
            "EventSourceArn",
            "Member must satisfy regular expression",
        ),
        ("FunctionName: !Ref Work", "", "Unrecognized event source."),
        (
            "FunctionName: !Ref Work, EventSourceArn: !GetAtt Jobs.Arn, BatchSize: 100",
            "BatchSize",
            "Maximum batch window in seconds must be greater than 0",
        ),
        (
            "FunctionName: !Ref Work, EventSourceArn: !GetAtt Jobs.Arn, BisectBatchOnFunctionError: true",
            "BisectBatchOnFunctionError",
            "BisectBatchOnFunctionError isn't supported for this event source type",
        ),
    ],
)
def test_a_setting_that_aws_refuses_refuses_the_file_in_its_words(mapping: str, path: str, rule: str) -> None:
    error = refused(template(mapping))
    assert rule in error.rule
    assert error.path == f"Resources.Mapping.Properties{f'.{path}' if path else ''}"
    assert error.line == 14


@pytest.mark.parametrize(
    ("mapping", "function", "refusal"),
    [
        ("EventSourceArn: 'arn:aws:kafka:us-east-1:1:cluster/a', Topics: [a]", USUAL, "the source is Amazon MSK"),
        ("EventSourceArn: 'arn:aws:mq:us-east-1:1:broker:a', Queues: [a]", USUAL, "the source is Amazon MQ"),
        ("SelfManagedEventSource: {Endpoints: {}}, Topics: [a]", USUAL, "the source is self-managed Kafka"),
        ("EventSourceArn: !GetAtt Plain.StreamArn", USUAL, "table Plain has no StreamSpecification, and so no stream"),
        (STREAM, "{Handler: index.handler, Runtime: nodejs20.x, Code: .}", "function Work: it runs on nodejs20.x"),
        (STREAM, "{PackageType: Image, Code: {ImageUri: a}}", "function Work: it is a container image"),
        (STREAM, "{Handler: a.b, Code: {S3Bucket: a, S3Key: b}}", "function Work: its code is in S3"),
        (STREAM, "{Handler: a.b, Code: s3://bucket/key.zip}", "function Work: its code is at s3://bucket/key.zip"),
        (STREAM, "{Handler: a.b, Code: gone}", "function Work: its code is not there: gone"),
    ],
)
def test_what_cannot_run_here_is_named(mapping: str, function: str, refusal: str) -> None:
    assert str(one(template(f"FunctionName: !Ref Work, {mapping}", function)).refusal).startswith(refusal)


def test_a_function_of_another_template() -> None:
    found = one(template(f"FunctionName: arn:aws:lambda:us-east-1:000000000000:function:other, {STREAM}"))
    assert "other' is not defined in this template" in str(found.refusal)


@pytest.mark.parametrize(
    ("function", "path", "rule"),
    [
        ("{Runtime: python3.12, Code: .}", "", "Runtime and Handler are mandatory parameters"),
        ("{Handler: nothing, Code: .}", "Handler", "Member must satisfy regular expression pattern"),
        ("{Handler: a.b, Code: ., Timeout: 901}", "Timeout", "less than or equal to 900"),
        ("{Handler: a.b, Code: ., Timeout: -.inf}", "Timeout", "Member must be a number"),
        ("{Handler: a.b, Code: ., MemorySize: 1}", "MemorySize", "greater than or equal to 128"),
        ("{Handler: a.b, Code: ., FunctionName: 'a b'}", "FunctionName", "Member must satisfy regular expression"),
        (
            "{Handler: a.b, Code: ., Environment: {Variables: {1A: b}}}",
            "Environment.Variables",
            "Map keys must satisfy",
        ),
        ("{Handler: a.b, Code: ., Environment: {Variables: [a]}}", "Environment.Variables", "a map of strings"),
        ("{Handler: a.b, Code: ., Environment: {Variables: {AA: [a]}}}", "Environment.Variables.AA", "a string"),
        ("{Handler: a.b, Code: ., ReservedConcurrentExecutions: -1}", "ReservedConcurrentExecutions", "or equal to 0"),
    ],
)
def test_a_function_that_aws_refuses_refuses_the_file(function: str, path: str, rule: str) -> None:
    name = "a" if "'a b'" in function else "!Ref Work"
    text = template(f"FunctionName: {name}, {STREAM}", function)
    text = text.replace("FunctionName: a,", "FunctionName: !Sub '${Work}',") if name == "a" else text
    if path == "FunctionName":
        assert "is not defined in this template" in str(one(text).refusal)
        return
    error = refused(text)
    assert rule in error.rule
    assert error.path == f"Resources.Work.Properties{f'.{path}' if path else ''}"


def test_what_a_function_is_called_with() -> None:
    function = (
        "{Handler: pkg/mod.handle, Code: ., Timeout: '20', MemorySize: 256, ReservedConcurrentExecutions: 4, "
        "Environment: {Variables: {QUEUE: !Ref Jobs, TABLE: !Ref Items, FLAG: true, PORT: 80, DB: !GetAtt Db.Address}}"
        ", Layers: ['arn:aws:lambda:us-east-1:017000801446:layer:Powertools:1', !Ref Tools]}"
    )
    text = template(f"FunctionName: !Ref Work, {STREAM}", function)
    text += (
        "  Db: {Type: AWS::RDS::DBInstance}\n      Tools: {Type: AWS::Lambda::LayerVersion, Properties: {Content: .}}\n"
    )
    found = one(text, endpoint_url="http://127.0.0.1:4566")
    assert found.mapping is not None
    function_ = found.mapping.function
    assert (function_.handler, function_.timeout, function_.memory_size) == ("pkg/mod.handle", 20, 256)
    assert function_.reserved_concurrency == 4
    assert function_.environment == {
        "QUEUE": "http://127.0.0.1:4566/000000000000/shop-Jobs",
        "TABLE": "shop-Items",
        "FLAG": "true",
        "PORT": "80",
    }
    assert found.code.folders == (Path(__file__).parent, Path(__file__).parent)
    assert found.notes == (
        "environment variable DB is not set: Address of Db (AWS::RDS::DBInstance) is known only once AWS has made it",
        "Layers.0: the layer is not in this template; what it brings must be installed",
        "the module of pkg/mod.handle is not in its code's folder, and must be installed",
    )


def test_a_table_s_stream_is_pending_and_the_rest_is_known() -> None:
    found = one(template("FunctionName: !Ref Work, EventSourceArn: !GetAtt Items.StreamArn, StartingPosition: LATEST"))
    assert found.is_pending
    assert found.mapping is not None
    assert found.mapping.arn.name == "shop-Items"
    assert found.names == {"Mapping", "Work", "shop-Work"}


def test_a_condition_that_does_not_hold_leaves_a_mapping_out() -> None:
    conditions = "Conditions: {No: !Equals [a, b]}\n    Resources:"
    text = template(f"FunctionName: !Ref Work, {STREAM}").replace("Resources:", conditions)
    assert plan(text.replace("Mapping: {", "Mapping: {Condition: No, ")).planned == ()


def test_the_same_mapping_twice() -> None:
    text = template(f"FunctionName: !Ref Work, {STREAM}")
    text += f"  Again: {{Type: AWS::Lambda::EventSourceMapping, Properties: {{FunctionName: !Ref Work, {STREAM}}}}}\n"
    error = refused(text)
    assert error.rule.endswith("has a mapping of this source already: Mapping [ResourceConflictException]")
    assert error.path == "Resources.Again"


def test_what_is_no_template() -> None:
    assert refused("[1, 2]").rule == "a template is an object, and this is none"
    assert refused("a: 1").rule.startswith("neither a template (Resources)")
    assert refused("Resources: [1]").rule == "Template format error: Resources must be an object"
    assert "Every Resources object must contain a Type member" in refused("Resources: {A: {}}").rule
    assert refused("Resources: {A: {Type: b, Properties: [1]}}").rule == "Properties must be an object"


CDK = """
    {"Resources": {
      "Handler886CB40B": {
        "Type": "AWS::Lambda::Function",
        "Properties": {
          "Code": {"S3Bucket": {"Fn::Sub": "cdk-hnb659fds-assets-${AWS::AccountId}-${AWS::Region}"}, "S3Key": "0f.zip"},
          "Handler": "app.handle", "Runtime": "python3.12",
          "Role": {"Fn::GetAtt": ["HandlerServiceRoleFCDC14AE", "Arn"]}
        },
        "Metadata": {"aws:asset:path": "asset.0f", "aws:asset:is-bundled": false, "aws:asset:property": "Code"}
      },
      "HandlerServiceRoleFCDC14AE": {"Type": "AWS::IAM::Role"},
      "HandlerKinesisEventSource": {
        "Type": "AWS::Lambda::EventSourceMapping",
        "Properties": {
          "BatchSize": 100, "EventSourceArn": {"Fn::GetAtt": ["Stream790BDEE4", "Arn"]},
          "FunctionName": {"Ref": "Handler886CB40B"}, "StartingPosition": "TRIM_HORIZON"
        }
      },
      "Stream790BDEE4": {"Type": "AWS::Kinesis::Stream", "Properties": {"ShardCount": 1}}
     },
     "Parameters": {"BootstrapVersion": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/cdk/version"}}
    }
"""


def test_what_the_cdk_synthesizes(tmp_path: Path) -> None:
    (tmp_path / "asset.0f").mkdir()
    (tmp_path / "asset.0f" / "app.py").touch()
    found = one(CDK, "Shop.template.json", tmp_path)
    assert (found.refusal, found.notes) == (None, ())
    assert found.code.folders == (tmp_path.resolve() / "asset.0f",)


def test_inline_code() -> None:
    function = "{Handler: index.handle, Runtime: python3.12, Code: {ZipFile: 'def handle(event, context): pass'}}"
    found = one(template(f"FunctionName: !Ref Work, {STREAM}", function))
    assert (found.refusal, found.notes) == (None, ())
    assert found.code.inline == "def handle(event, context): pass"


def test_regions_and_accounts() -> None:
    mapping = one(template(f"FunctionName: !Ref Work, {STREAM}"), region="cn-north-1", account="123456789012").mapping
    assert mapping is not None
    assert mapping.event_source_arn == "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/orders"


def test_a_loop_is_named_and_not_passed_over() -> None:
    text = (
        template(f"FunctionName: !Ref Work, {STREAM}")
        + """
      Fn::ForEach::Queues:
        - Name
        - [a, b]
        - "Mapping${Name}": {Type: AWS::Lambda::EventSourceMapping, Properties: {FunctionName: !Ref Work}}
      Fn::ForEach::Topics: [Name, [a, b], {"Topic${Name}": {Type: AWS::SNS::Topic}}]
    """
    )
    mapping, loop = plan(text).planned
    assert mapping.mapping is not None
    assert loop.logical_id == "Fn::ForEach::Queues"
    assert "Fn::ForEach" in str(loop.refusal)
    assert loop.line == 16


def test_an_alias_of_a_length_that_none_has_is_refused_with_its_place() -> None:
    error = refused(template(f"FunctionName: 'shop-Work:{'x' * 200}', {STREAM}"))
    assert error.path == "Resources.Mapping.Properties.FunctionName"
    assert "version" in error.rule
