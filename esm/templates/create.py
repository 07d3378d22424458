"""Creates what a template defines and mappings need, in a local AWS: streams, tables, queues, topics and buckets.

What is there already is left as it is, so a second run creates nothing. https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from esm.aws.ask import ask
from esm.aws.session import AwsSession
from esm.errors import SourceError, SourceNotFoundError
from esm.templates.create_shapes import check_shapes
from esm.templates.create_tables import TABLE_PROPERTIES, create_table
from esm.templates.document import Path
from esm.templates.mappings import resources
from esm.templates.parameters import as_text
from esm.templates.resolver import Resolver
from esm.templates.template import Unresolved

__all__ = ["CREATED", "Created", "create"]

_PATIENCE_S, _EVERY_S = 60.0, 0.2
"""How long a resource gets to be ready, and how often it is looked at (chosen)."""
_QUEUE_ATTRIBUTES = (
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "DelaySeconds",
    "FifoQueue",
    "FifoThroughputLimit",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "VisibilityTimeout",
)


class Created(NamedTuple):
    """What became of a resource. `state`: `created`, `exists`, or why it was left out."""

    logical_id: str
    kind: str
    name: str
    state: str


class _Door(NamedTuple):
    """A service in a region."""

    session: AwsSession
    region: str

    async def ask(self, service: str, operation: str, **parameters: Any) -> Any:
        return await ask(self.session, service, self.region, operation, **parameters)


class _Wanted(NamedTuple):
    """A resource as it is to be. `properties`: those that it is made of; `unknown`: why it is left out."""

    logical_id: str
    kind: str
    name: str
    properties: Mapping[str, Any]
    path: Path
    unknown: str | None = None


async def create(resolver: Resolver, session: AwsSession) -> AsyncIterator[Created]:
    """Creates every resource of the kinds above, one after the other; gives each when it is ready.

    Raises `TemplateError`, before the first is made, for properties that no request can be made of; and `SourceError`
    when the service refuses, or a resource is not ready in time.
    """
    door = _Door(session, resolver.template.region)
    redrives: list[tuple[str, Any]] = []
    for wanted in list(_wanted(resolver)):
        if wanted.unknown is not None:
            yield Created(wanted.logical_id, wanted.kind, wanted.name, f"left out: {wanted.unknown}")
            continue
        try:
            made = await CREATED[wanted.kind].make(door, wanted.name, wanted.properties)
        except SourceError as error:
            if error.code == "ParamValidationError":  # of the SDK, which has asked nobody
                raise resolver.template.refused(wanted.path, " ".join(error.message.split())) from None
            raise
        if made and wanted.properties.get("RedrivePolicy"):
            redrives.append((wanted.name, wanted.properties["RedrivePolicy"]))
        yield Created(wanted.logical_id, wanted.kind, wanted.name, "created" if made else "exists")
    for name, policy in redrives:  # when every queue is there
        await _redrive(door, name, policy)


def _wanted(resolver: Resolver) -> Iterator[_Wanted]:
    """What is to be there. What nothing is made of, as a key of KMS, may be unknown. Raises `TemplateError`."""
    for logical_id, resource in resources(resolver):
        kind = resource["Type"]
        if kind not in CREATED:
            continue
        path: Path = ("Resources", logical_id, "Properties")
        given = resource.get("Properties") or {}
        try:
            properties = resolver.value({key: given[key] for key in CREATED[kind].made_of if key in given}, path)
            wanted = _Wanted(logical_id, kind, resolver.names.name(logical_id), properties, path)
        except Unresolved as unknown:
            yield _Wanted(logical_id, kind, logical_id, {}, path, str(unknown))
            continue
        check_shapes(resolver.template, properties, path)
        yield wanted


async def _create_stream(door: _Door, name: str, properties: Mapping[str, Any]) -> bool:
    async def is_active() -> bool:
        answer = await door.ask("kinesis", "describe_stream_summary", StreamName=name)
        return bool(answer["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE")

    mode = properties.get("StreamModeDetails")
    given = {"StreamModeDetails": mode} if mode else {}
    if not mode or mode.get("StreamMode") != "ON_DEMAND":
        given["ShardCount"] = int(as_text(properties.get("ShardCount")) or 1)
    return await _made(is_active, lambda: door.ask("kinesis", "create_stream", StreamName=name, **given), name)


async def _create_table(door: _Door, name: str, properties: Mapping[str, Any]) -> bool:
    async def is_active() -> bool:
        answer = await door.ask("dynamodb", "describe_table", TableName=name)
        return bool(answer["Table"]["TableStatus"] == "ACTIVE")

    wanted = create_table(name, properties)
    return await _made(is_active, lambda: door.ask("dynamodb", "create_table", **wanted), name)


async def _create_queue(door: _Door, name: str, properties: Mapping[str, Any]) -> bool:
    async def is_there() -> bool:
        return bool(await door.ask("sqs", "get_queue_url", QueueName=name))

    attributes = {key: as_text(properties[key]) for key in _QUEUE_ATTRIBUTES if key in properties}
    if attributes.get("FifoQueue") == "false":
        del attributes["FifoQueue"]  # the service knows only that a queue is one
    return await _made(is_there, lambda: door.ask("sqs", "create_queue", QueueName=name, Attributes=attributes), name)


async def _redrive(door: _Door, name: str, policy: Any) -> None:
    url = (await door.ask("sqs", "get_queue_url", QueueName=name))["QueueUrl"]
    text = policy if isinstance(policy, str) else json.dumps(policy)
    await door.ask("sqs", "set_queue_attributes", QueueUrl=url, Attributes={"RedrivePolicy": text})


async def _create_topic(door: _Door, name: str, properties: Mapping[str, Any]) -> bool:
    attributes = {"FifoTopic": "true"} if as_text(properties.get("FifoTopic")) == "true" else {}
    await door.ask("sns", "create_topic", Name=name, Attributes=attributes)  # the same again where it is there
    return True


async def _create_bucket(door: _Door, name: str, _: Mapping[str, Any]) -> bool:
    async def is_there() -> bool:
        answer = await door.ask("s3", "list_buckets")  # a HEAD has no body, and so no code of what is wrong
        if name not in [bucket["Name"] for bucket in answer.get("Buckets", ())]:
            raise SourceNotFoundError("NoSuchBucket", name)
        return True

    place = {} if door.region == "us-east-1" else {"LocationConstraint": door.region}
    given = {"CreateBucketConfiguration": place} if place else {}
    return await _made(is_there, lambda: door.ask("s3", "create_bucket", Bucket=name, **given), name)


async def _made(ready: Callable[[], Awaitable[bool]], make: Callable[[], Awaitable[Any]], name: str) -> bool:
    """Whether it had to be made; it is ready then. Raises `SourceError`."""
    made = False
    try:
        if await ready():
            return False
    except SourceNotFoundError:
        await make()
        made = True
    try:
        async with asyncio.timeout(_PATIENCE_S):
            while not await _is(ready):  # noqa: ASYNC110  # a service tells nobody that something is ready
                await asyncio.sleep(_EVERY_S)
    except TimeoutError:
        raise SourceError("NotReady", f"{name} is not ready after {_PATIENCE_S:g} s") from None
    return made


async def _is(ready: Callable[[], Awaitable[bool]]) -> bool:
    try:
        return await ready()
    except SourceNotFoundError:
        return False  # not seen yet


class _Recipe(NamedTuple):
    """How a kind of resource is created. `make`: whether it had to be; `made_of`: the properties that it takes."""

    make: Callable[[_Door, str, Mapping[str, Any]], Awaitable[bool]]
    made_of: tuple[str, ...] = ()


CREATED: Mapping[str, _Recipe] = MappingProxyType(
    {
        "AWS::DynamoDB::GlobalTable": _Recipe(_create_table, TABLE_PROPERTIES),
        "AWS::DynamoDB::Table": _Recipe(_create_table, TABLE_PROPERTIES),
        "AWS::Kinesis::Stream": _Recipe(_create_stream, ("ShardCount", "StreamModeDetails")),
        "AWS::S3::Bucket": _Recipe(_create_bucket),
        "AWS::SNS::Topic": _Recipe(_create_topic, ("FifoTopic",)),
        "AWS::SQS::Queue": _Recipe(_create_queue, (*_QUEUE_ATTRIBUTES, "RedrivePolicy")),
        "AWS::Serverless::SimpleTable": _Recipe(_create_table, TABLE_PROPERTIES),
    }
)
"""How each kind of resource is created."""
