"""What a template defines, made in a local AWS; and the streams that only the service can name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from textwrap import dedent

import pytest
from aiobotocore.session import get_session

from esm.aws.ask import ask
from esm.aws.session import AwsSession
from esm.errors import SourceNotFoundError, TemplateError
from esm.mapping.settings import EventSourceMapping
from esm.templates.create import Created, create
from esm.templates.load import Plan, plan_of
from esm.templates.pending import is_pending, resolved
from esm.templates.read import read_text
from esm.templates.template import Options

pytestmark = [pytest.mark.anyio, pytest.mark.service]

TEMPLATE = """
    Parameters: {Needed: {Type: String}}
    Conditions: {No: !Equals [a, b]}
    Resources:
      Stream: {Type: AWS::Kinesis::Stream, Properties: {ShardCount: '2'}}
      Demanded: {Type: AWS::Kinesis::Stream, Properties: {StreamModeDetails: {StreamMode: ON_DEMAND}}}
      Table:
        Type: AWS::DynamoDB::Table
        Properties:
          TableName: items
          AttributeDefinitions: [{AttributeName: id, AttributeType: S}, {AttributeName: kind, AttributeType: S}]
          KeySchema: [{AttributeName: id, KeyType: HASH}]
          ProvisionedThroughput: {ReadCapacityUnits: '5', WriteCapacityUnits: 5}
          GlobalSecondaryIndexes:
            - {IndexName: by-kind, KeySchema: [{AttributeName: kind, KeyType: HASH}], Projection: {ProjectionType: ALL}}
          StreamSpecification: {StreamViewType: KEYS_ONLY}
      Simple: {Type: AWS::Serverless::SimpleTable, Properties: {PrimaryKey: {Name: number, Type: Number}}}
      Jobs:
        Type: AWS::SQS::Queue
        Properties:
          FifoQueue: true
          VisibilityTimeout: 45
          RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2}
      Dead: {Type: AWS::SQS::Queue, Properties: {FifoQueue: true}}
      Plain: {Type: AWS::SQS::Queue, Properties: {FifoQueue: false}}
      Topic: {Type: AWS::SNS::Topic, Properties: {TopicName: failures}}
      Bucket: {Type: AWS::S3::Bucket}
      Not: {Type: AWS::SQS::Queue, Condition: No}
      Unknown: {Type: AWS::SQS::Queue, Properties: {QueueName: !Ref Needed}}
      Role: {Type: AWS::IAM::Role}
      Work: {Type: AWS::Lambda::Function, Properties: {Handler: a.b, Code: .}}
      Mapping:
        Type: AWS::Lambda::EventSourceMapping
        Properties: {FunctionName: !Ref Work, EventSourceArn: !GetAtt Table.StreamArn, StartingPosition: LATEST}
"""


def plan(account: str, text: str = TEMPLATE) -> Plan:
    options = Options(account=account, region="us-east-1", stack_name=f"shop{account}", environ={})
    return plan_of(read_text(dedent(text).encode(), "template.yaml"), Path(__file__), options)


@asynccontextmanager
async def signed_in(url: str, account: str) -> AsyncIterator[AwsSession]:
    session = get_session()
    session.set_credentials(account, "secret")
    async with AwsSession(session, endpoint_url=url, region_name="us-east-1") as aws:
        yield aws


async def made(found: Plan, aws: AwsSession) -> list[Created]:
    return [each async for each in create(found.resolver, aws)]


async def test_what_a_template_defines_is_made_once(ministack: str, account: str) -> None:
    found = plan(account)
    async with signed_in(ministack, account) as aws:
        first = {each.logical_id: each for each in await made(found, aws)}
        again = {each.logical_id: each.state for each in await made(found, aws)}

        assert {name: each.state for name, each in first.items() if name != "Unknown"} == dict.fromkeys(
            ["Stream", "Demanded", "Table", "Simple", "Jobs", "Dead", "Plain", "Topic", "Bucket"], "created"
        )
        assert first["Unknown"].state.startswith("left out: parameter Needed has no value")
        assert {name for name, state in again.items() if state == "exists"} == set(first) - {"Unknown", "Topic"}

        where = (aws, "us-east-1")
        name = f"shop{account}"
        stream = await ask(where[0], "kinesis", where[1], "describe_stream_summary", StreamName=f"{name}-Stream")
        assert stream["StreamDescriptionSummary"]["OpenShardCount"] == 2
        table = (await ask(aws, "dynamodb", "us-east-1", "describe_table", TableName="items"))["Table"]
        assert table["StreamSpecification"]["StreamViewType"] == "KEYS_ONLY"
        assert [index["IndexName"] for index in table["GlobalSecondaryIndexes"]] == ["by-kind"]
        simple = await ask(aws, "dynamodb", "us-east-1", "describe_table", TableName=f"{name}-Simple")
        assert simple["Table"]["AttributeDefinitions"] == [{"AttributeName": "number", "AttributeType": "N"}]
        url = (await ask(aws, "sqs", "us-east-1", "get_queue_url", QueueName=f"{name}-Jobs.fifo"))["QueueUrl"]
        answer = await ask(aws, "sqs", "us-east-1", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"])
        assert answer["Attributes"]["VisibilityTimeout"] == "45"
        assert f"{name}-Dead.fifo" in answer["Attributes"]["RedrivePolicy"]


ENCRYPTED = """
    Resources:
      Key: {Type: AWS::KMS::Key}
      Stream:
        Type: AWS::Kinesis::Stream
        Properties:
          StreamEncryption: {EncryptionType: KMS, KeyId: !GetAtt Key.Arn}
          Tags: [{Key: key, Value: !GetAtt Key.KeyId}]
      Queue: {Type: AWS::SQS::Queue, Properties: {KmsMasterKeyId: !GetAtt Key.Arn, VisibilityTimeout: 50}}
      Topic: {Type: AWS::SNS::Topic, Properties: {KmsMasterKeyId: !GetAtt Key.Arn}}
      Bucket: {Type: AWS::S3::Bucket, Properties: {BucketEncryption: !GetAtt Key.Arn}}
      Table:
        Type: AWS::DynamoDB::Table
        Properties:
          AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
          KeySchema: [{AttributeName: id, KeyType: HASH}]
          SSESpecification: {SSEEnabled: true, KMSMasterKeyId: !GetAtt Key.Arn}
"""


async def test_what_is_unknown_and_not_needed_keeps_nothing_from_being_made(ministack: str, account: str) -> None:
    async with signed_in(ministack, account) as aws:
        states = {each.logical_id: each.state for each in await made(plan(account, ENCRYPTED), aws)}
    assert states == dict.fromkeys(["Stream", "Queue", "Topic", "Bucket", "Table"], "created")


@pytest.mark.parametrize(
    ("resource", "place", "rule"),
    [
        ("Kinesis::Stream, Properties: {ShardCount: two}", "ShardCount", "a whole number is expected here"),
        (
            "Kinesis::Stream, Properties: {StreamModeDetails: ON_DEMAND}",
            "StreamModeDetails",
            "an object is expected here",
        ),
        ("DynamoDB::Table, Properties: {KeySchema: id}", "KeySchema", "a list is expected here"),
        (
            "DynamoDB::Table, Properties: {GlobalSecondaryIndexes: [id]}",
            "GlobalSecondaryIndexes.0",
            "an object is expected here",
        ),
        (
            "DynamoDB::Table, Properties: {GlobalSecondaryIndexes: [{ProvisionedThroughput: {ReadCapacityUnits: {}}}]}",
            "GlobalSecondaryIndexes.0.ProvisionedThroughput.ReadCapacityUnits",
            "a whole number is expected here",
        ),
        ("DynamoDB::Table, Properties: {KeySchema: [{Name: id}]}", "", "Parameter validation failed"),
    ],
)
async def test_what_no_request_can_be_made_of_refuses_the_file(
    ministack: str, account: str, resource: str, place: str, rule: str
) -> None:
    text = f"Resources:\n  First: {{Type: AWS::SQS::Queue}}\n  R: {{Type: AWS::{resource}}}\n"
    async with signed_in(ministack, account) as aws:
        with pytest.raises(TemplateError, match=rule) as caught:
            await made(plan(account, text), aws)
    assert caught.value.path == ".".join(filter(None, ("Resources.R.Properties", place)))
    assert caught.value.line == 3


async def test_a_table_s_stream_is_looked_up(ministack: str, account: str) -> None:
    found = plan(account)
    (mapping,) = [each.mapping for each in found.planned if each.mapping is not None]
    assert is_pending(mapping)
    other = EventSourceMapping(event_source_arn=f"arn:aws:sqs:us-east-1:{account}:a", function=mapping.function)
    async with signed_in(ministack, account) as aws:
        with pytest.raises(SourceNotFoundError):
            await resolved([mapping], aws)
        await made(found, aws)
        stream, same = await resolved([mapping, other], aws)
    assert same is other
    assert not is_pending(stream)
    assert stream.arn.name == "items"
    assert stream.uuid != mapping.uuid
    assert (stream.batch_size, stream.starting_position) == (mapping.batch_size, "LATEST")
