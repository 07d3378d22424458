"""Streams: whether they are there, may be read, and keep records for as long as a mapping counts on."""

from __future__ import annotations

from typing import Any

from esm.clock import Millis
from esm.management.doctor.asking import Asking
from esm.management.doctor.findings import Verdict
from esm.mapping.settings import EventSourceMapping

__all__ = ["examine_dynamodb", "examine_kinesis"]

_DYNAMODB_RETENTION_S = 24 * 3600
"""https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html"""


async def examine_kinesis(asking: Asking, mapping: EventSourceMapping, now: Millis) -> None:
    """The four operations that reading takes, and what the stream says of itself."""
    arn = mapping.stream_arn
    action, wanted = "kinesis:DescribeStreamSummary", "StreamDescriptionSummary"
    stream = await asking.ask(action, arn, "describe_stream_summary", wanted, StreamARN=arn)
    if stream is not None:
        _kinesis_summary(asking, mapping, stream, now)
    elif action not in asking.findings.denied.get(arn, ()):
        return  # missing, or not to be reached: the other operations would say the same once more
    shards = await asking.ask("kinesis:ListShards", arn, "list_shards", "Shards", StreamARN=arn)
    if shards:
        shard_id = shards[-1]["ShardId"]
        await _read(asking, "kinesis", arn, {"StreamARN": arn, "ShardId": shard_id}, {"StreamARN": arn})


async def examine_dynamodb(asking: Asking, mapping: EventSourceMapping, now: Millis) -> None:
    """The three operations that reading takes, and what the table's stream says of itself."""
    arn = mapping.stream_arn
    action, wanted = "dynamodb:DescribeStream", "StreamDescription"
    stream = await asking.ask(action, arn, "describe_stream", wanted, StreamArn=arn)
    if stream is None:
        return
    state, view = stream.get("StreamStatus", "?"), stream.get("StreamViewType", "")
    asking.findings.add(asking.subject, _state(state), f"the stream is {state}, its records show {view}")
    for image in ("NewImage", "OldImage"):
        if image in str(mapping.filters) and not _shows(view, image):
            said = f"a filter looks at {image}, which records of view type {view} do not have: it matches nothing"
            asking.findings.add(asking.subject, Verdict.WARNING, said)
    _kept(asking, mapping, _DYNAMODB_RETENTION_S, now)
    if stream.get("Shards"):
        shard_id = stream["Shards"][-1]["ShardId"]
        await _read(asking, "dynamodb", arn, {"StreamArn": arn, "ShardId": shard_id}, {})


async def _read(asking: Asking, prefix: str, arn: str, shard: dict[str, str], stream: dict[str, str]) -> None:
    """One record from the tip of one shard, which is then read by nobody less."""
    action, place = f"{prefix}:GetShardIterator", {"ShardIteratorType": "LATEST"} | shard
    iterator = await asking.ask(action, arn, "get_shard_iterator", "ShardIterator", **place)
    if iterator is not None:
        page: dict[str, Any] = {"ShardIterator": iterator, "Limit": 1, **stream}
        await asking.ask(f"{prefix}:GetRecords", arn, "get_records", "Records", **page)


def _kinesis_summary(asking: Asking, mapping: EventSourceMapping, stream: dict[str, Any], now: Millis) -> None:
    state, hours = stream.get("StreamStatus", "?"), stream.get("RetentionPeriodHours", 24)
    said = f"the stream is {state}: {stream.get('OpenShardCount', '?')} open shards, records are kept for {hours} h"
    asking.findings.add(asking.subject, _state(state), said)
    if stream.get("EncryptionType") == "KMS":
        said = f"its records are encrypted with {stream.get('KeyId')}: a key of your own needs kms:Decrypt, too"
        asking.findings.add(asking.subject, Verdict.OK, said)
    _kept(asking, mapping, hours * 3600, now)


def _kept(asking: Asking, mapping: EventSourceMapping, retention_s: int, now: Millis) -> None:
    age = mapping.maximum_record_age_in_seconds
    if age > retention_s:
        said = f"maximum_record_age_in_seconds={age} is longer than the stream keeps records ({retention_s} s)"
        asking.findings.add(asking.subject, Verdict.WARNING, f"{said}: they are gone before they are given up")
    start = mapping.starting_position_timestamp_ms
    if start is not None and now - start > retention_s * 1000:
        said = f"starting_position_timestamp is older than what the stream keeps ({retention_s} s)"
        asking.findings.add(asking.subject, Verdict.WARNING, f"{said}: reading begins with the oldest record kept")


def _state(state: str) -> Verdict:
    if state in ("ACTIVE", "ENABLED", "UPDATING"):
        return Verdict.OK
    return Verdict.WARNING if state in ("CREATING", "ENABLING", "DISABLING") else Verdict.PROBLEM


def _shows(view: str, image: str) -> bool:
    shown = {"NEW_AND_OLD_IMAGES": ("NewImage", "OldImage"), "NEW_IMAGE": ("NewImage",), "OLD_IMAGE": ("OldImage",)}
    return image in shown.get(view, ())
