"""Queues: whether they are there, may be used, and hide messages for as long as a function may take."""

from __future__ import annotations

import json
from typing import Any

from esm.arn import Arn
from esm.management.doctor.asking import Asking
from esm.management.doctor.findings import Verdict
from esm.mapping.settings import EventSourceMapping

__all__ = ["examine_queue", "queue_url"]

_NO_HANDLE = "esm-doctor"
"""No message has this receipt handle, so what it is sent with changes nothing."""

_VISIBILITY_FACTOR = 6
_RECEIVES_MIN = 5
"""https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"""


async def examine_queue(asking: Asking, mapping: EventSourceMapping) -> None:
    """What polling a queue takes, without receiving: a receive would count against its messages."""
    arn = mapping.event_source_arn
    url = await queue_url(asking, arn)
    attributes = {"QueueUrl": url, "AttributeNames": ["All"]}
    told = await asking.ask("sqs:GetQueueAttributes", arn, "get_queue_attributes", "Attributes", **attributes)
    if told is None:
        return
    _attributes(asking, mapping, told)
    await asking.may("sqs:DeleteMessage", arn, "delete_message", QueueUrl=url, ReceiptHandle=_NO_HANDLE)
    await asking.may(
        "sqs:ChangeMessageVisibility",
        arn,
        "change_message_visibility",
        QueueUrl=url,
        ReceiptHandle=_NO_HANDLE,
        VisibilityTimeout=0,
    )
    said = "sqs:ReceiveMessage was not tried: it would use up a receive of a message"
    asking.findings.add(asking.subject, Verdict.UNKNOWN, said)


async def queue_url(asking: Asking, queue_arn: str) -> str:
    """Where a queue is asked. Composed, because nobody who polls needs sqs:GetQueueUrl."""
    arn = Arn.parse(queue_arn)
    client = await asking.session.client("sqs", arn.region or None)
    return f"{client.meta.endpoint_url.rstrip('/')}/{arn.account}/{arn.resource}"


def _attributes(asking: Asking, mapping: EventSourceMapping, told: dict[str, str]) -> None:
    add, subject = asking.findings.add, asking.subject
    visibility, timeout = int(told.get("VisibilityTimeout", "30")), mapping.function.timeout
    waiting = told.get("ApproximateNumberOfMessages", "?")
    add(
        subject, Verdict.OK, f"the queue is there: about {waiting} messages wait, each receive hides for {visibility} s"
    )
    wanted = _VISIBILITY_FACTOR * timeout + mapping.maximum_batching_window_in_seconds
    if visibility < timeout:
        # In AWS's words, who refuses to create such a mapping.
        said = f"Queue visibility timeout: {visibility} seconds is less than Function timeout: {timeout:g} seconds"
        add(subject, Verdict.PROBLEM, said)
    elif visibility < wanted:
        said = f"AWS advises a visibility timeout of six times the function's and the batching window: {wanted:g} s"
        add(subject, Verdict.WARNING, f"{said}, this queue's is {visibility} s")
    _redrive(asking, told)


def _redrive(asking: Asking, told: dict[str, str]) -> None:
    policy: dict[str, Any] = json.loads(told.get("RedrivePolicy") or "{}")
    receives = int(policy.get("maxReceiveCount", 0))
    if not receives:
        said = "the queue has no dead-letter queue: a message that always fails comes back until it is too old"
        asking.findings.add(asking.subject, Verdict.WARNING, said)
    elif receives < _RECEIVES_MIN:
        said = (
            f"maxReceiveCount is {receives}, AWS advises {_RECEIVES_MIN} at least: it is soon used up by other faults"
        )
        asking.findings.add(asking.subject, Verdict.WARNING, said)
