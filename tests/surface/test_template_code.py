"""Code of a template in this process: inline, in a folder, with a layer and variables."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiobotocore.session import get_session

from tests.surface.typed import Esm

TEMPLATE = """\
Resources:
  Jobs: {Type: AWS::SQS::Queue}
  Others: {Type: AWS::SQS::Queue}
  Tools: {Type: AWS::Lambda::LayerVersion, Properties: {Content: layer}}
  Inline:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.12
      Handler: index.handle
      Environment: {Variables: {GREETING: hello, QUEUE: !Ref Others}}
      Code:
        ZipFile: |
          import os

          import boto3


          def handle(event, context):
              for record in event["Records"]:
                  boto3.client("sqs").send_message(QueueUrl=os.environ["QUEUE"], MessageBody=record["body"] + "!")
  InFolder:
    Type: AWS::Lambda::Function
    Properties:
      Runtime: python3.12
      Handler: pkg/mod.handle
      Layers: [!Ref Tools]
      Environment: {Variables: {GREETING: hello}}
      Code: src
  First:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {FunctionName: !Ref Inline, EventSourceArn: !GetAtt Jobs.Arn}
  Second:
    Type: AWS::Lambda::EventSourceMapping
    Properties: {FunctionName: !Ref InFolder, EventSourceArn: !GetAtt Others.Arn}
"""
MODULE = """\
import os

from greetings import greet


def handle(event, context):
    for record in event["Records"]:
        print(greet(os.environ["GREETING"], record["body"]), context.function_name, flush=True)
"""


async def _ask(url: str, account: str) -> None:
    where: dict[str, Any] = {"region_name": "eu-west-1", "endpoint_url": url}
    keys = {"aws_access_key_id": account, "aws_secret_access_key": "secret"}
    async with get_session().create_client("sqs", **where, **keys) as sqs:
        queue = (await sqs.get_queue_url(QueueName="shop-Jobs"))["QueueUrl"]
        await sqs.send_message(QueueUrl=queue, MessageBody="world")


@pytest.mark.service
def test_code_of_a_template_in_this_process(ministack: str, account: str, esm_: Esm) -> None:
    """The first function sends what the second reads: what it calls is the same local AWS."""
    (esm_.folder / "template.yaml").write_text(TEMPLATE)
    for folder in ("src/pkg", "layer/python"):
        (esm_.folder / folder).mkdir(parents=True)
    (esm_.folder / "src/pkg/__init__.py").touch()
    (esm_.folder / "src/pkg/mod.py").write_text(MODULE)
    (esm_.folder / "layer/python/greetings.py").write_text("def greet(word, name):\n    return f'{word} {name}'\n")
    where = ("--endpoint-url", ministack, "--account", account, "--stack-name", "shop", "--create-resources")
    more = ("--json", "--store", "memory:", "--log-level", "debug")
    with esm_.running("run", "template.yaml", *where, *more) as running:
        second = running.until("mapping_read", function="shop-InFolder")["mapping"]
        asyncio.run(_ask(ministack, account))
        running.until("invocation_ended", mapping=second, outcome="succeeded")
        code, _ = running.end()
    assert code == 0, running.said
    assert "hello world! shop-InFolder" in running.out
