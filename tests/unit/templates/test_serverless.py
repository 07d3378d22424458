"""serverless.yml: its events as mappings, and its variables as far as they are known."""

from __future__ import annotations

from pathlib import Path

import pytest

from esm.errors import TemplateError
from esm.templates.dotenv import parse_dotenv
from esm.templates.mappings import Planned
from tests.unit.templates.written import one, plan, refused

TEMPLATE = """\
service: shop
provider:
  name: aws
  runtime: python3.12
  region: eu-west-1
functions:
  take-orders:
    handler: src/orders.handle
    events:
      - {event}
resources:
  Resources:
    Items:
      Type: AWS::DynamoDB::Table
      Properties: {{TableName: "items-${{sls:stage}}", StreamSpecification: {{StreamViewType: NEW_IMAGE}}}}
    Jobs: {{Type: AWS::SQS::Queue}}
custom:
  {custom}
"""
ORDERS = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"


def event(written: str) -> Planned:
    return one(TEMPLATE.format(event=written, custom="a: b"), "serverless.yml", region=None, stack_name=None)


def test_a_stream_by_its_arn_has_the_framework_s_defaults() -> None:
    found = event(f"stream: {ORDERS}")
    assert found.mapping is not None
    assert (found.mapping.event_source_arn, found.mapping.batch_size) == (ORDERS, 10)
    assert found.mapping.starting_position == "TRIM_HORIZON"
    function = found.mapping.function
    assert (function.name, function.timeout, function.memory_size) == ("shop-dev-take-orders", 6, 1024)
    assert (found.logical_id, found.function_id) == (
        "TakeDashordersEventSourceMapping0",
        "TakeDashordersLambdaFunction",
    )
    assert found.line == 10


def test_every_setting_of_a_stream() -> None:
    found = event(
        "stream: {type: dynamodb, arn: !GetAtt Items.StreamArn, batchSize: 5, startingPosition: LATEST, "
        "enabled: false, batchWindow: 3, parallelizationFactor: 2, maximumRetryAttempts: 4, "
        "maximumRecordAgeInSeconds: 60, bisectBatchOnFunctionError: true, "
        "functionResponseType: ReportBatchItemFailures, "
        "filterPatterns: [{eventName: [INSERT]}], destinations: {onFailure: {arn: !GetAtt Jobs.Arn, type: sqs}}}"
    )
    assert found.is_pending
    assert found.mapping is not None
    assert found.mapping.to_api() == {
        "FunctionName": "shop-dev-take-orders",
        "EventSourceArn": "arn:aws:dynamodb:eu-west-1:000000000000:table/items-dev/stream/pending",
        "Enabled": False,
        "BatchSize": 5,
        "MaximumBatchingWindowInSeconds": 3,
        "StartingPosition": "LATEST",
        "ParallelizationFactor": 2,
        "MaximumRecordAgeInSeconds": 60,
        "MaximumRetryAttempts": 4,
        "BisectBatchOnFunctionError": True,
        "TumblingWindowInSeconds": 0,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "FilterCriteria": {"Filters": [{"Pattern": '{"eventName":["INSERT"]}'}]},
        "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:eu-west-1:000000000000:shop-dev-Jobs"}},
    }


@pytest.mark.parametrize("written", ["sqs: !GetAtt Jobs.Arn", "sqs: {arn: {Fn::GetAtt: [Jobs, Arn]}}"])
def test_a_queue(written: str) -> None:
    mapping = event(written).mapping
    assert mapping is not None
    assert mapping.event_source_arn == "arn:aws:sqs:eu-west-1:000000000000:shop-dev-Jobs"


def test_every_setting_of_a_queue() -> None:
    mapping = event(
        "sqs: {arn: !GetAtt Jobs.Arn, batchSize: 20, maximumBatchingWindow: 1, maximumConcurrency: 4}"
    ).mapping
    assert mapping is not None
    assert (mapping.batch_size, mapping.maximum_batching_window_in_seconds, mapping.maximum_concurrency) == (20, 1, 4)


@pytest.mark.parametrize(
    ("written", "path", "rule"),
    [
        (f"stream: {{arn: {ORDERS}, batchSize: 0}}", "stream.batchSize", "greater than or equal to 1"),
        (
            f"stream: {{arn: {ORDERS}, batchSise: 1}}",
            "stream.batchSise",
            "there is no such setting; there are arn, batch",
        ),
        (f"stream: {{arn: {ORDERS}, filterPatterns: a}}", "stream.filterPatterns", "a list of patterns is expected"),
        (f"stream: {{arn: {ORDERS}, destinations: a}}", "stream.destinations", "onFailure is expected here"),
        (f"sqs: {ORDERS.replace('kinesis', 'sns')}", "sqs.arn", "Unrecognized event source"),
    ],
)
def test_what_is_wrong_is_said_of_its_place_in_the_file(written: str, path: str, rule: str) -> None:
    error = refused(TEMPLATE.format(event=written, custom="a: b"), "serverless.yml", region=None)
    assert rule in error.rule
    assert error.path == f"functions.take-orders.events.0.{path}"
    assert error.line == 10


@pytest.mark.parametrize(
    ("kind", "name"), [("msk", "Amazon MSK"), ("kafka", "self-managed Kafka"), ("rabbitmq", "Amazon MQ")]
)
def test_other_sources_are_named(kind: str, name: str) -> None:
    assert f"the source is {name}" in str(event(f"{kind}: {{arn: a}}").refusal)


@pytest.mark.parametrize(
    ("written", "custom", "stream"),
    [
        ("${self:custom.a}", "a: b", "b"),
        ("${self:custom.a.b.0}", "a: {b: [c]}", "c"),
        ("${self:custom.a}", "a: x-${self:custom.b}\n  b: y-${sls:stage}", "x-y-dev"),
        ("${self:custom.${sls:stage}.name}", "dev: {name: n}", "n"),
        ("${self:custom.gone, 'other'}", "a: b", "other"),
        ("${self:custom.gone, self:custom.a}", "a: b", "b"),
        ("${opt:name, ${env:NAME}}", "a: b", "from-env"),
        ("${opt:given}", "a: b", "typed"),
        ("${param:given}", "a: b", "typed"),
        ('${opt:gone, "q-r"}', "a: b", "q-r"),
        ("${aws:region}-${aws:accountId}", "a: b", "eu-west-1-000000000000"),
        ("${AWS::Region}-#{AWS::AccountId}", "a: b", "eu-west-1-000000000000"),
        ("${file(names.yml):orders.0}", "a: b", "from-file"),
        ("${self:custom.names.orders.0}", "names: ${file(./names.yml)}", "from-file"),
        ("${cf:other.Name}", "a: b", "imported"),
        ("${strToBool(1)}", "a: b", "true"),
    ],
)
def test_variables(written: str, custom: str, stream: str, tmp_path: Path) -> None:
    (tmp_path / "names.yml").write_text("orders: [from-file]\n")
    (tmp_path / "src").mkdir()
    text = TEMPLATE.format(event=f"stream: 'arn:aws:kinesis:eu-west-1:123456789012:stream/{written}'", custom=custom)
    found = plan(
        text.replace("', 'other'", "', ''other''").replace(", 'other'}", ", ''other''}"),
        "serverless.yml",
        tmp_path,
        region=None,
        parameters={"given": "typed"},
        imports={"other.Name": "imported"},
        environ={"NAME": "from-env"},
    ).planned[0]
    assert found.mapping is not None, found.refusal
    assert found.mapping.arn.name == stream


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("${ssm:/a/b}", "${ssm:/a/b} is known to the Serverless Framework alone"),
        ("${s3:a/b}", "${s3:a/b} is known to the Serverless Framework alone"),
        ("${cf:other.Arn}", "${cf:other.Arn} is of another stack: give its value in the file of --imports"),
        ("${opt:name}", "${opt:name} has no value here: give --parameter name=VALUE"),
        ("${env:NAME}", "${env:NAME} has no value here: set NAME"),
        ("${self:custom.gone}", "${self:custom.gone} has no value here"),
        ("${file(../a.yml):a}", "${file(../a.yml)} is no YAML, JSON or TOML file in this folder"),
        ("${file(/etc/passwd)}", "${file(/etc/passwd)} is no YAML, JSON or TOML file in this folder"),
        ("${file(code.js):a}", "${file(code.js)} is no YAML, JSON or TOML file in this folder"),
        ("${file(gone.yml):a}", "${file(gone.yml):a} has no value here"),
        ("a-${self:custom}", "a variable within a text is a dict or a list"),
    ],
)
def test_variables_that_are_known_only_elsewhere(written: str, reason: str) -> None:
    assert event(f"stream: '{written}'").refusal == reason


def test_variables_that_name_each_other() -> None:
    text = TEMPLATE.format(event=f"stream: {ORDERS}", custom="a: ${self:custom.b}\n  b: ${self:custom.a}")
    assert "name each other in a circle" in refused(text, "serverless.yml").rule


def test_variables_that_grow_without_end() -> None:
    many = "\n  ".join(f"a{n}: [" + ", ".join([f"'${{self:custom.a{n + 1}}}'"] * 10) + "]" for n in range(9))
    text = TEMPLATE.format(event=f"stream: {ORDERS}", custom=f"{many}\n  a9: [1, 2, 3]")
    assert "more than 50,000 values" in refused(text, "serverless.yml").rule


def test_functions_and_resources_in_parts() -> None:
    text = """
        service: {name: shop}
        provider: {name: aws, runtime: python3.12, environment: {STAGE: "${sls:stage}", KEY: "${ssm:/k}"}}
        functions:
          - one: {handler: a.b, environment: {OWN: x}, events: [{sqs: "arn:aws:sqs:us-east-1:000000000000:a"}]}
          - two: {handler: a.b, runtime: nodejs20.x, events: [{sqs: "arn:aws:sqs:us-east-1:000000000000:b"}]}
          - three: {image: repo, events: [{sqs: "arn:aws:sqs:us-east-1:000000000000:c"}, {http: GET /}]}
        resources: [{Resources: {A: {Type: AWS::SQS::Queue}}}, {Outputs: {}}]
    """
    one_, two, three = plan(text, "serverless.yml", parameters={"stage": "prod"}).planned
    assert one_.mapping is not None
    assert one_.mapping.function.environment == {"STAGE": "prod", "OWN": "x"}
    assert one_.mapping.function.name == "shop-prod-one"
    assert {"one", "OneLambdaFunction", "shop-prod-one", "OneEventSourceMapping0"} <= one_.names
    assert "environment variable KEY is not set" in one_.notes[0]
    assert "it runs on nodejs20.x" in str(two.refusal)
    assert "it is a container image" in str(three.refusal)


@pytest.mark.parametrize("made", ["{Ref: ApiGatewayRestApi}", "{Fn::GetAtt: [GraphQlApi, ApiId]}", "!Sub '${HttpApi}'"])
def test_what_the_framework_makes_is_unknown_here_and_no_fault(made: str) -> None:
    text = TEMPLATE.format(event=f"stream: {ORDERS}", custom="a: b")
    found = one(text.replace("  region:", f"  environment: {{API: {made}}}\n  region:", 1), "serverless.yml")
    assert found.mapping is not None
    note = next(note for note in found.notes if note.startswith("environment variable API is not set: "))
    assert note.endswith(" is made when the template is deployed, and nothing is known of it here")


DOTENV = """\
useDotenv: true
provider: {name: aws, runtime: python3.12, stage: "${opt:stage, env:STAGE, 'dev'}"}
service: shop
functions:
  work:
    name: work
    handler: a.b
    environment: {KEY: "${env:KEY}"}
    events: [{sqs: "arn:aws:sqs:us-east-1:000000000000:${env:QUEUE}"}]
"""


@pytest.mark.parametrize(
    ("stage", "environ", "wanted"),
    [
        ("dev", {}, ("jobs-dev", "a b")),
        ("prod", {}, ("jobs-prod", None)),  # one file alone
        ("dev", {"QUEUE": "own"}, ("own", "a b")),
        ("../x", {}, ("jobs-dev", "a b")),
    ],
)
def test_a_file_of_variables_beside_it(
    tmp_path: Path, stage: str, environ: dict[str, str], wanted: tuple[str, str | None]
) -> None:
    (tmp_path / ".env").write_text("# for me\nexport KEY='a b' # said\nSTAGE=ignored\nQUEUE=jobs-${SUFFIX:-dev}\n")
    (tmp_path / ".env.prod").write_text('NAME=prod\nQUEUE="jobs-$NAME"\n')
    given = {"parameters": {"stage": stage}, "environ": environ}
    found = one(DOTENV, "serverless.yml", tmp_path, **given)
    assert found.mapping is not None
    assert (found.mapping.arn.name, found.mapping.function.environment.get("KEY")) == wanted
    without = one(DOTENV.replace("true", "false", 1), "serverless.yml", tmp_path, **given)
    assert (without.mapping is None) == ("QUEUE" not in environ)


_KEY = "-----BEGIN KEY-----\na+b=\n# here\nD=1\n-----END KEY-----"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=", ""),
        ("A = b ", "b"),
        ("A=b#c", "b"),
        ('A="b # c"', "b # c"),
        ('A="b\\nc"', "b\nc"),
        ("A=' b '", " b "),
        ("A='$PLACE'", "here"),
        ("A: b", "b"),
        ("A=$PLACE/x", "here/x"),
        ("A=\\$PLACE", "$PLACE"),
        ("A=${NONE:-b}", "b"),
        ("A=${NONE}", ""),
        ("A=$PLACE $", "$PLACE $"),
        ("A=$C", "2"),
        ('A="not closed', '"not closed'),
        ('A="C:\\dir\\"', "C:\\dir\\"),
        ('A="-----BEGIN KEY-----\na+b=\n# $PLACE\nD=1\n-----END KEY-----" # said', _KEY),
        ("A='b\\nc\nd'", "b\\nc\nd"),
        ("A=`b\n'c'\"d\"`", "b\n'c'\"d\""),
        ('A="b\\"\nc"', 'b\\"\nc'),
        ('A=\n"b\n\nc"', "b\n\nc"),
        ("no assignment", None),
    ],
)
def test_lines_of_such_a_file(line: str, value: str | None) -> None:
    """As dotenv 16 and dotenv-expand 10 for Node read them, which are the framework's (observed)."""
    assert parse_dotenv(f"B=1\n{line}\nC=2\n", {"PLACE": "here"}, ".env") == {
        "B": "1",
        **({} if value is None else {"A": value}),
        "C": "2",
    }


@pytest.mark.parametrize("line", ["KEY=$KEY", "KEY=b$B\nB=c$KEY", "KEY=${B}\nB=$C$C\nC='" + "x" * 40_000 + "'"])
def test_a_variable_of_such_a_file_that_never_comes_to_a_value(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"QUEUE=jobs\nNOTE='one\ntwo'\n{line}\n")
    with pytest.raises(TemplateError) as refusal:
        one(DOTENV, "serverless.yml", tmp_path, environ={})
    said = "the names in its value lead to no end, or to more than 65,536 characters"
    assert str(refusal.value) == f"{tmp_path}/.env:4: KEY: {said}"


def test_a_variable_of_several_lines_reaches_the_function(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f'QUEUE=jobs\nKEY="{_KEY}"\n')
    found = one(DOTENV, "serverless.yml", tmp_path, environ={})
    assert found.mapping is not None
    assert found.mapping.function.environment["KEY"] == _KEY


@pytest.mark.parametrize(
    "written", ["stream: {type: dynamodb, batchSize: 1}", "sqs: {enabled: true}", "sqs:", "sqs: {}"]
)
def test_an_event_without_an_arn(written: str) -> None:
    said = str(refused(TEMPLATE.format(event=written, custom="a: b"), "serverless.yml"))
    assert said.startswith("serverless.yml:10:")
    assert said.endswith(": arn is expected here: the source's ARN, or a function that gives it")


@pytest.mark.parametrize("arn", ["{Ref: Source}", "!GetAtt Source.Arn", "{Fn::ImportValue: source}", "${ssm:/source}"])
def test_an_event_that_is_its_arn(arn: str) -> None:
    assert event(f"stream: {arn}").refusal is not None
