"""`esm plan FILE` and `esm run FILE`, as they are typed."""

from __future__ import annotations

import json

import pytest

from tests.surface.typed import Esm

TEMPLATE = """\
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, AllowedValues: [dev, prod], Default: dev}
Resources:
  Orders: {Type: AWS::Kinesis::Stream, Properties: {Name: !Sub "orders-${Stage}"}}
  Jobs: {Type: AWS::SQS::Queue}
  Work:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: python3.12
      Handler: app.handle
      CodeUri: src
      Events:
        Ordered: {Type: Kinesis, Properties: {Stream: !GetAtt Orders.Arn, StartingPosition: TRIM_HORIZON, BatchSize: 7}}
  Other:
    Type: AWS::Serverless::Function
    Properties:
      Runtime: nodejs20.x
      Handler: index.handle
      CodeUri: src
      Events:
        Asked: {Type: SQS, Properties: {Queue: !GetAtt Jobs.Arn}}
"""
HANDLER = "import os\n\nprint('imported', os.environ.get('STAGE'))\n\n\ndef handle(event, context):\n    pass\n"


@pytest.fixture
def typed(esm_: Esm) -> Esm:
    """The command in a folder with a template and the code of its function."""
    (esm_.folder / "template.yaml").write_text(TEMPLATE)
    (esm_.folder / "src").mkdir()
    (esm_.folder / "src/app.py").write_text(HANDLER)
    return esm_


def test_a_plan_lists_every_mapping_and_imports_nothing(typed: Esm) -> None:
    ended = typed("plan", "template.yaml", "--parameter", "Stage=prod", "--account", "123456789012")
    assert ended.code == 15
    assert "Work < arn:aws:kinesis:eu-west-1:123456789012:stream/orders-prod" in ended.out
    assert "mapping   WorkOrdered (template.yaml:14)" in ended.out
    assert "batch_size = 7  *" in ended.out
    assert f"function  app.handle in {typed.folder.resolve()}/src/app.py, timeout 3 s" in ended.out
    assert "! cannot run here: function Other: it runs on nodejs20.x, and only Python functions run here" in ended.out
    assert "imported" not in ended.out


def test_a_plan_of_what_can_run(typed: Esm) -> None:
    ended = typed("plan", "template.yaml", "--except", "OtherAsked", "--json")
    assert ended.code == 0
    (mapping,) = json.loads(ended.out)
    assert mapping["LogicalId"] == "WorkOrdered"
    assert mapping["EventSourceArn"].endswith(":stream/orders-dev")
    assert (mapping["BatchSize"], mapping["Refusal"], mapping["Notes"]) == (7, None, [])


@pytest.mark.parametrize("only", ["WorkOrdered", "Work", "{stack}-Work"])
def test_mappings_are_chosen_by_id_function_and_name(typed: Esm, only: str) -> None:
    ended = typed("plan", "template.yaml", "--stack-name", "shop", "--only", only.format(stack="shop"))
    assert (ended.code, ended.out.count("  mapping  ")) == (0, 1)


def test_a_run_of_what_cannot_run_is_refused_before_anything(typed: Esm) -> None:
    ended = typed("run", "template.yaml", "--endpoint-url", "http://127.0.0.1:9")
    assert ended.code == 15
    assert ended.line.startswith(
        "esm: template.yaml:22: OtherAsked cannot run here: function Other: it runs on nodejs20.x"
    )
    assert ended.line.endswith("--except OtherAsked leaves it out")


def test_real_sources_are_read_on_purpose_only(typed: Esm) -> None:
    ended = typed("run", "template.yaml", "--only", "Work")
    assert ended.code == 8
    assert "would read arn:aws:kinesis:eu-west-1:000000000000:stream/orders-dev at AWS: add --live" in ended.line


def test_real_sources_are_somebody_s(typed: Esm) -> None:
    ended = typed("run", "template.yaml", "--only", "Work", "--live")
    assert ended.code == 2
    assert ended.line == "esm: --live reads what the template defines in your account: give --account"


def test_resources_are_created_in_a_local_aws_only(typed: Esm) -> None:
    ended = typed("run", "template.yaml", "--only", "Work", "--live", "--account", "123456789012", "--create-resources")
    assert ended.code == 8
    assert "--create-resources is for a local AWS" in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("--parameter", "Stage=test"),
            "template.yaml:3:3: Parameters.Stage = 'test': Parameter 'Stage' must be one of",
        ),
        (("--parameter", "Stage"), "--parameter='Stage': write NAME=VALUE"),
        (("--account", "12"), "--account='12': an account has 12 digits"),
        (("--only", "Nobody"), "--only='Nobody': the template has no such mapping; there are WorkOrdered, OtherAsked"),
    ],
)
def test_what_is_typed_wrong(typed: Esm, arguments: tuple[str, ...], said: str) -> None:
    ended = typed("plan", "template.yaml", *arguments)
    assert ended.code == 2
    assert said in ended.line


def test_a_file_that_is_wrong_is_one_line(typed: Esm) -> None:
    (typed.folder / "template.yaml").write_text(TEMPLATE.replace("BatchSize: 7", "BatchSize: seven"))
    for command in ("plan", "run"):
        ended = typed(command, "template.yaml")
        assert ended.code == 2
        assert "template.yaml:14:" in ended.line
        assert len(ended.line) < 500


def test_a_file_that_is_not_there_or_holds_no_mapping(typed: Esm) -> None:
    assert "gone.yaml: cannot be read: No such file or directory" in typed("plan", "gone.yaml").line
    (typed.folder / "none.yaml").write_text("Resources: {A: {Type: AWS::SQS::Queue}}\n")
    assert "this template has no event source mapping" in typed("plan", "none.yaml").line


def test_values_of_other_stacks(typed: Esm) -> None:
    text = TEMPLATE.replace("!GetAtt Orders.Arn", "!ImportValue orders-arn")
    (typed.folder / "template.yaml").write_text(text)
    (typed.folder / "exports.yaml").write_text("orders-arn: arn:aws:kinesis:us-east-1:000000000000:stream/theirs\n")
    ended = typed("plan", "template.yaml", "--only", "WorkOrdered", "--imports", "exports.yaml")
    assert ended.code == 0
    assert ":stream/theirs" in ended.out


def test_filters_of_a_template(typed: Esm) -> None:
    text = TEMPLATE.replace("BatchSize: 7", 'FilterCriteria: {Filters: [{Pattern: \'{"data": {"a": [1]}}\'}]}')
    (typed.folder / "template.yaml").write_text(text)
    assert typed("filter", "lint", "template.yaml").code == 0


def test_a_module_s_mappings_load_nothing_of_templates(esm_: Esm) -> None:
    esm_.app(
        "import esm\n\n\ndef handle(event, context): ...\n\n\n"
        "arn = 'arn:aws:sqs:us-east-1:000000000000:a'\n"
        "mappings = [esm.EventSourceMapping(event_source_arn=arn, function=handle)]\n"
    )
    program = (
        "import sys\nfrom esm.cli.command_line import run_command_line\n"
        "code = run_command_line(['plan', 'app:mappings'])\n"
        "loaded = sorted(n for n in sys.modules if n.startswith(('esm.templates', 'yaml', 'samtranslator', 'boto3')))\n"
        "print(code, loaded)\n"
    )
    (esm_.folder / "program.py").write_text(program)
    with esm_.running(python=(str(esm_.folder / "program.py"),)) as running:
        running.process.wait(30)
    assert running.out.splitlines()[-1] == "0 ['esm.templates', 'esm.templates.suffixes']"


RECORDING = """\
{"esm_recording": 1, "kind": "kinesis", "source": "arn:aws:kinesis:eu-west-1:000000000000:stream/orders", "id": "1"}
{"shard_id": "s", "sequence_number": "1", "partition_key": "k1", "approximate_arrival_timestamp": 1.25, "data": "dGVh"}
"""


def test_a_file_of_esms_own_may_name_a_recording(esm_: Esm) -> None:
    (esm_.folder / "orders.jsonl").write_text(RECORDING)
    (esm_.folder / "code.py").write_text("def handle(event, context): print('saw', len(event['Records']))\n")
    (esm_.folder / "esm.toml").write_text(
        f"""\
EventSourceMappings = [{{ EventSourceArn = "file://{esm_.folder.resolve()}/orders.jsonl", FunctionName = "orders" }}]
Functions.orders.Handler = "code.handle"
"""
    )
    ended = esm_("run", "esm.toml", "--store", "memory:")
    assert (ended.code, "saw 1" in ended.out) == (0, True)
