"""The files for running it for good: they parse, and what they say to `esm` is what it understands."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest

from esm.aws.dynamodb_streams_api import DynamoDBStreamsApi
from esm.aws.kinesis_api import KinesisApi
from esm.aws.sqs_api import SqsApi
from esm.cli.command_line import command_line
from tests.servers.install import MINISTACK

FOLDER = Path(__file__).parents[2] / "deploy"


def parsed(name: str) -> list[Any]:
    """The documents of a YAML file, by the parser that the local AWS brings with it."""
    convert = "import json, sys, yaml; json.dump(list(yaml.safe_load_all(sys.stdin)), sys.stdout)"
    with (FOLDER / name).open() as file:
        done = subprocess.run(
            [MINISTACK / "bin" / "python", "-c", convert], stdin=file, capture_output=True, check=True
        )
    documents: list[Any] = json.loads(done.stdout)
    return documents


def understood(arguments: list[str]) -> dict[str, Any]:
    """What `esm run` makes of these arguments; it is not run."""
    assert arguments[0] == "run"
    command = command_line.commands["run"]
    return command.make_context("esm run", [*arguments[1:], "--app-dir", str(FOLDER)], resilient_parsing=False).params


def commands() -> dict[str, list[str]]:
    """Every `esm run ...` of every file."""
    (compose,), (*_, deployment) = parsed("compose.yaml"), parsed("kubernetes.yaml")
    unit = configparser.ConfigParser(strict=False)
    unit.read(FOLDER / "esm.service")
    image = re.search(r"^CMD (.*)$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
    assert image is not None
    shell = compose["services"]["worker"]["command"].rpartition("exec esm ")[2].rstrip('"')
    return {
        "Dockerfile": json.loads(image[1]),
        "compose.yaml": shlex.split(shell),
        "esm.service": shlex.split(unit["Service"]["ExecStart"])[1:],
        "kubernetes.yaml": deployment["spec"]["template"]["spec"]["containers"][0]["args"],
    }


@pytest.mark.parametrize("name", ["Dockerfile", "compose.yaml", "esm.service", "kubernetes.yaml"])
def test_a_command_is_understood(name: str) -> None:
    given = understood(commands()[name])
    assert given["target"].endswith(":mappings")
    assert given["live"] or name == "compose.yaml"


def test_what_stops_it_waits_longer_than_the_drain_and_two_seconds() -> None:
    drains = {name: understood(arguments)["drain_timeout"] for name, arguments in commands().items()}
    (compose,), (*_, deployment) = parsed("compose.yaml"), parsed("kubernetes.yaml")
    unit = configparser.ConfigParser(strict=False)
    unit.read(FOLDER / "esm.service")
    patience = {
        "compose.yaml": int(compose["services"]["worker"]["stop_grace_period"].removesuffix("s")),
        "esm.service": unit.getint("Service", "TimeoutStopSec"),
        "kubernetes.yaml": deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"],
    }
    assert {name: seconds > drains[name] + 2 for name, seconds in patience.items()} == dict.fromkeys(patience, True)


def test_one_pod_at_a_time() -> None:
    (*_, deployment) = parsed("kubernetes.yaml")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}


def test_the_policy_allows_every_call_there_is_and_no_more() -> None:
    statements = json.loads((FOLDER / "iam-policy.json").read_text())["Statement"]
    allowed = {
        action
        for statement in statements
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    polls = {
        f"{service}:{''.join(word.capitalize() for word in name.split('_'))}".removesuffix("Batch")
        for service, api in (("kinesis", KinesisApi), ("dynamodb", DynamoDBStreamsApi), ("sqs", SqsApi))
        for name in vars(api)
        if not name.startswith("_")
    }
    gives_up = {"sqs:SendMessage", "sns:Publish", "s3:PutObject"}
    redrives = {"s3:GetObject", "s3:DeleteObject", "s3:ListBucket"}
    looks_up = {"dynamodb:ListStreams", "sqs:GetQueueUrl"}
    assert allowed == polls | gives_up | redrives | looks_up | {"kms:Decrypt"}
    assert not any(statement["Resource"] == "*" for statement in statements)


def test_the_image_runs_the_command_itself() -> None:
    """In the exec form there is no shell in between that would keep the signal."""
    text = (FOLDER / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["esm"]' in text
    assert isinstance(command_line, click.Group)
