"""The ARNs of tables' streams that only the service knows: asked for when a mapping is about to run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from esm.aws.ask import ask
from esm.aws.session import AwsSession
from esm.errors import SourceNotFoundError
from esm.mapping.rules import derived_uuid
from esm.mapping.settings import EventSourceMapping
from esm.templates.names import PENDING

__all__ = ["is_pending", "resolved"]


def is_pending(mapping: EventSourceMapping) -> bool:
    """Whether the ARN of its table's stream is not known yet."""
    return mapping.event_source_arn.endswith(PENDING)


async def resolved(mappings: Iterable[EventSourceMapping], session: AwsSession) -> list[EventSourceMapping]:
    """The mappings, each with its table's newest stream. Raises `SourceError`, its not-found kind for no stream."""
    return [await _resolved(mapping, session) if is_pending(mapping) else mapping for mapping in mappings]


async def _resolved(mapping: EventSourceMapping, session: AwsSession) -> EventSourceMapping:
    table = mapping.arn.name
    answer = await ask(session, "dynamodbstreams", mapping.arn.region, "list_streams", TableName=table)
    # A label is the time at which the stream was enabled: the last of them is the table's, others are being forgotten.
    streams = sorted(answer.get("Streams", ()), key=lambda stream: str(stream["StreamLabel"]))
    if not streams:
        raise SourceNotFoundError("ResourceNotFoundException", f"table {table} has no stream")
    arn = str(streams[-1]["StreamArn"])
    own = mapping.uuid == derived_uuid(mapping.event_source_arn, mapping.function)
    return replace(mapping, event_source_arn=arn, uuid=derived_uuid(arn, mapping.function) if own else mapping.uuid)
