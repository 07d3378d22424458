"""What a template's resources will be called: names, ARNs and URLs in the account and region given.

CloudFormation adds chance to a name that the template does not give; here it is the stack's name and the logical id.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from zlib import crc32

from esm.templates.document import Path
from esm.templates.intrinsics import Scope
from esm.templates.template import Unresolved

__all__ = ["PENDING", "Names", "partition_of"]

PENDING = "/stream/pending"
"""How the ARN of a table's stream ends until the service was asked: it has the time in it at which it was enabled."""

_MAX_CHAIN = 40
"""Names that are made of names (chosen)."""


class _Kind(NamedTuple):
    """`named_by`: the property that names a resource; `arn`: behind the partition; `ref`: what `Ref` gives."""

    named_by: str
    arn: str
    ref: str = "name"
    longest: int = 64


_KINDS: Mapping[str, _Kind] = MappingProxyType(
    {
        "AWS::DynamoDB::GlobalTable": _Kind("TableName", "dynamodb:{region}:{account}:table/{name}", longest=255),
        "AWS::DynamoDB::Table": _Kind("TableName", "dynamodb:{region}:{account}:table/{name}", longest=255),
        "AWS::Events::EventBus": _Kind("Name", "events:{region}:{account}:event-bus/{name}", longest=256),
        "AWS::IAM::Role": _Kind("RoleName", "iam::{account}:role/{name}"),
        "AWS::Kinesis::Stream": _Kind("Name", "kinesis:{region}:{account}:stream/{name}", longest=128),
        "AWS::KinesisFirehose::DeliveryStream": _Kind(
            "DeliveryStreamName", "firehose:{region}:{account}:deliverystream/{name}"
        ),
        "AWS::Lambda::Function": _Kind("FunctionName", "lambda:{region}:{account}:function:{name}"),
        "AWS::Lambda::LayerVersion": _Kind("LayerName", "lambda:{region}:{account}:layer:{name}:1", "arn", 140),
        "AWS::Logs::LogGroup": _Kind("LogGroupName", "logs:{region}:{account}:log-group:{name}:*", longest=512),
        "AWS::Serverless::LayerVersion": _Kind("LayerName", "lambda:{region}:{account}:layer:{name}:1", "arn", 140),
        "AWS::Serverless::SimpleTable": _Kind("TableName", "dynamodb:{region}:{account}:table/{name}", longest=255),
        "AWS::S3::Bucket": _Kind("BucketName", "s3:::{name}", longest=63),
        "AWS::SNS::Topic": _Kind("TopicName", "sns:{region}:{account}:{name}", "arn", 256),
        "AWS::SQS::Queue": _Kind("QueueName", "sqs:{region}:{account}:{name}", "url", 80),
        "AWS::StepFunctions::StateMachine": _Kind(
            "StateMachineName", "states:{region}:{account}:stateMachine:{name}", "arn", 80
        ),
    }
)
_TABLES = ("AWS::DynamoDB::GlobalTable", "AWS::DynamoDB::Table")
_NAME_ATTRIBUTES = frozenset({"QueueName", "TopicName"})
_ARN_ATTRIBUTES = frozenset({"Arn", "TopicArn", "LayerVersionArn"})


class Names:
    """The resources of one template by logical id, those among them whose condition does not hold too."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._resources = scope.template.section("Resources")
        self._names: dict[str, str] = {}
        self._open: list[str] = []

    def __contains__(self, logical_id: str) -> bool:
        """Whether there is such a resource."""
        return logical_id in self._resources

    def ref(self, logical_id: str) -> str:
        """What `Ref` gives of a resource."""
        kind = self._type(logical_id)
        if kind in ("AWS::Lambda::Alias", "AWS::Lambda::Version"):
            return self._qualified(logical_id)
        if kind == "AWS::Kinesis::StreamConsumer":
            return self.attribute(logical_id, "ConsumerARN")
        if kind not in _KINDS:
            return self.name(logical_id)
        ref = _KINDS[kind].ref
        return (
            self.name(logical_id) if ref == "name" else self._arn(logical_id) if ref == "arn" else self._url(logical_id)
        )

    def attribute(self, logical_id: str, attribute: str) -> str:
        """What `Fn::GetAtt` gives of a resource. Raises `Unresolved` for what only AWS knows."""
        kind = self._type(logical_id)
        if kind in _KINDS and attribute in _ARN_ATTRIBUTES:
            return self._arn(logical_id)
        if kind in _KINDS and attribute in _NAME_ATTRIBUTES:
            return self.name(logical_id)
        if kind in _TABLES and attribute == "StreamArn":
            return self._stream(logical_id)
        if kind == "AWS::SQS::Queue" and attribute == "QueueUrl":
            return self._url(logical_id)
        if kind == "AWS::Kinesis::StreamConsumer" and attribute in ("ConsumerARN", "StreamARN"):
            stream = self._property(logical_id, "StreamARN")
            return stream if attribute == "StreamARN" else f"{stream}/consumer/{self.name(logical_id)}:1"
        if kind == "AWS::Lambda::Version" and attribute == "Version":
            return "1"
        raise Unresolved(f"{attribute[:80]} of {logical_id} ({kind}) is known only once AWS has made it")

    def name(self, logical_id: str) -> str:
        """What a resource is called. Raises `Unresolved`, and `TemplateError` for one that is named after itself."""
        if logical_id not in self._names:
            if logical_id in self._open or len(self._open) > _MAX_CHAIN:
                rule = f"Circular dependency between resources: [{', '.join(self._open[-5:])}]"
                raise self._scope.template.refused(("Resources", logical_id), rule)
            self._open.append(logical_id)
            try:
                self._names[logical_id] = self._name(logical_id)
            finally:
                self._open.pop()
        return self._names[logical_id]

    def _name(self, logical_id: str) -> str:
        kind = self._type(logical_id)
        known = _KINDS.get(kind, _Kind("Name", ""))
        own = self._properties(logical_id).get(known.named_by)
        if own is not None:
            return self._scope.text(own, ("Resources", logical_id, "Properties", known.named_by))
        end = ".fifo" if kind == "AWS::SQS::Queue" and self._is_fifo(logical_id) else ""
        made = f"{self._scope.template.stack_name}-{logical_id}"
        if len(made) + len(end) > known.longest:  # cut off, two names might be the same
            made = f"{made[: known.longest - len(end) - 9]}-{crc32(logical_id.encode()):08x}"
        return f"{made.lower() if kind == 'AWS::S3::Bucket' else made}{end}"

    def _is_fifo(self, logical_id: str) -> bool:
        fifo = self._properties(logical_id).get("FifoQueue")
        path = ("Resources", logical_id, "Properties", "FifoQueue")
        return fifo is not None and self._scope.text(fifo, path) == "true"

    def _arn(self, logical_id: str) -> str:
        template, account = self._scope.template, self._scope.options.account
        partition, _ = partition_of(template.region)
        rest = _KINDS[self._type(logical_id)].arn
        return f"arn:{partition}:" + rest.format(region=template.region, account=account, name=self.name(logical_id))

    def _stream(self, logical_id: str) -> str:
        declared = self._properties(logical_id).get("StreamSpecification")
        if declared is None:
            raise Unresolved(f"table {logical_id} has no StreamSpecification, and so no stream")
        return f"{self._arn(logical_id)}{PENDING}"

    def _url(self, logical_id: str) -> str:
        template, options = self._scope.template, self._scope.options
        if options.endpoint_url:
            parts = urlsplit(options.endpoint_url)
            return f"{parts.scheme}://{parts.netloc}/{options.account}/{self.name(logical_id)}"
        _, suffix = partition_of(template.region)
        return f"https://sqs.{template.region}.{suffix}/{options.account}/{self.name(logical_id)}"

    def _qualified(self, logical_id: str) -> str:
        """A version's or an alias's ARN: the function's, and what tells it apart."""
        function = self._property(logical_id, "FunctionName")
        partition, _ = partition_of(self._scope.template.region)
        if not function.startswith("arn:"):
            account, region = self._scope.options.account, self._scope.template.region
            function = f"arn:{partition}:lambda:{region}:{account}:function:{function}"
        if self._type(logical_id) == "AWS::Lambda::Version":
            return f"{function}:1"
        return f"{function}:{self.name(logical_id)}"

    def _property(self, logical_id: str, name: str) -> str:
        path: Path = ("Resources", logical_id, "Properties", name)
        return self._scope.text(self._properties(logical_id).get(name), path)

    def _properties(self, logical_id: str) -> Mapping[str, Any]:
        properties = self._resource(logical_id).get("Properties")
        return properties if isinstance(properties, dict) else {}

    def _type(self, logical_id: str) -> str:
        kind = self._resource(logical_id).get("Type")
        return kind if isinstance(kind, str) else ""

    def _resource(self, logical_id: str) -> Mapping[str, Any]:
        resource = self._resources[logical_id]
        return resource if isinstance(resource, dict) else {}


def partition_of(region: str) -> tuple[str, str]:
    """A region's partition, and how the names of its hosts end."""
    if region.startswith("cn-"):
        return "aws-cn", "amazonaws.com.cn"
    return ("aws-us-gov" if region.startswith("us-gov-") else "aws"), "amazonaws.com"
