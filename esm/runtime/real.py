"""The world outside, as it really is."""

from __future__ import annotations

import os
import socket
from functools import partial
from random import Random

from esm.aws.dynamodb_streams import DynamoDBStreamsCalls
from esm.aws.dynamodb_streams_api import DynamoDBStreamsApi
from esm.aws.kinesis import KinesisCalls
from esm.aws.kinesis_api import KinesisApi
from esm.aws.session import CONNECTIONS, AwsSession
from esm.aws.sqs import SqsCalls
from esm.aws.sqs_api import SqsApi
from esm.clock import Clock, SystemClock
from esm.destinations.destination import Destination
from esm.destinations.open import open_destination
from esm.errors import MappingError
from esm.handlers.invoke import FunctionInvoker
from esm.handlers.invoker import Invoker
from esm.handlers.shared import SharedProcesses
from esm.mapping.settings import EventSourceMapping
from esm.runtime.ports import OnAbandoned, Ports
from esm.sources.dynamodb import DynamoDBSource
from esm.sources.kinesis import KinesisSource
from esm.sources.reader import StreamSource
from esm.sources.sqs import SqsSource
from esm.telemetry.facts import CallsThroughSdk
from esm.telemetry.observer import Observers

__all__ = ["dynamodb_source", "function_arn", "kinesis_source", "queue_source", "real_ports", "role_arn", "worker_id"]


def real_ports(
    *,
    endpoint_url: str | None,
    region_name: str | None,
    session: object,
    connections: int = CONNECTIONS,
    processes: int | None = None,
    fast: bool = True,
    observers: Observers | None = None,
) -> Ports:
    """Ports to AWS, or to whatever answers at `endpoint_url`. Nothing is called yet.

    `connections`: to each endpoint. `processes`: of each function that has its own; `None`: as many as cores. `fast`:
    whether hot calls may bypass the SDK; `observers` are told when they do not.
    """
    clock = SystemClock()
    aws = AwsSession(
        session=session,
        endpoint_url=endpoint_url,
        region_name=region_name,
        fast=fast,
        connections=connections,
        on_fallback=None if observers is None else partial(_tell, observers, clock),
    )
    kinesis, dynamodb, sqs = KinesisCalls(aws), DynamoDBStreamsCalls(aws), SqsCalls(aws)
    shared = SharedProcesses(clock, processes=processes)

    def open_source(mapping: EventSourceMapping) -> StreamSource:
        if mapping.source_kind == "dynamodb":
            return dynamodb_source(dynamodb, mapping, clock)
        return kinesis_source(kinesis, mapping, clock)

    async def open_to(destination: str) -> Destination:
        return await open_destination(destination, aws)

    return Ports(
        clock=clock,
        rng=Random(),  # noqa: S311  # names and jitter, no secrets; seeded by the system, which is not asked for each
        open_source=open_source,
        open_destination=open_to,
        open_invoker=partial(_open_invoker, shared, clock),
        close=aws.close,
        open_queue=partial(queue_source, sqs),
        threads=True,
    )


def _open_invoker(
    shared: SharedProcesses, clock: Clock, mapping: EventSourceMapping, on_abandoned: OnAbandoned
) -> Invoker:
    function, arn = mapping.function, function_arn(mapping)
    if function.isolation == "process":
        return shared.open(function, arn, on_abandoned)
    return FunctionInvoker(function, arn=arn, clock=clock, on_abandoned=on_abandoned)


def _tell(observers: Observers, clock: Clock, service: str, reason: str) -> None:
    observers.notice(CallsThroughSdk(at=clock.now(), service=service, reason=reason))


def kinesis_source(api: KinesisApi, mapping: EventSourceMapping, clock: Clock) -> KinesisSource:
    """The stream of a mapping. Raises `MappingError` when it is none of Kinesis."""
    if mapping.source_kind != "kinesis":
        raise MappingError(
            f"There is no poller for {mapping.source_kind} sources yet.",
            field="event_source_arn",
            value=mapping.event_source_arn,
        )
    return KinesisSource(
        api,
        stream_arn=mapping.stream_arn,
        event_source_arn=mapping.event_source_arn,
        region=mapping.arn.region,
        role_arn=role_arn(mapping),
        clock=clock,
    )


def dynamodb_source(api: DynamoDBStreamsApi, mapping: EventSourceMapping, clock: Clock) -> DynamoDBSource:
    """The table's stream of a mapping."""
    return DynamoDBSource(api, stream_arn=mapping.stream_arn, region=mapping.arn.region, clock=clock)


def queue_source(api: SqsApi, mapping: EventSourceMapping) -> SqsSource:
    """The queue of a mapping."""
    windowed = mapping.maximum_batching_window_in_seconds > 0
    return SqsSource(api, queue_arn=mapping.event_source_arn, region=mapping.arn.region, windowed=windowed)


def worker_id(rng: Random) -> str:
    """A name no other worker has: host, process and chance."""
    return f"{socket.gethostname()}-{os.getpid()}-{rng.getrandbits(32):08x}"


def function_arn(mapping: EventSourceMapping) -> str:
    """The ARN that a function of this name would have beside its source, with the qualifier when there is one."""
    arn, function = mapping.arn, mapping.function
    qualifier = "" if function.version == "$LATEST" else f":{function.version}"
    return f"arn:{arn.partition}:lambda:{arn.region}:{arn.account}:function:{function.name}{qualifier}"


def role_arn(mapping: EventSourceMapping) -> str:
    """What events name as the execution role: there is none outside Lambda, so a name that says so (chosen)."""
    return f"arn:{mapping.arn.partition}:iam::{mapping.arn.account}:role/esm"
