"""On-failure destinations: whether they are there. Nothing is sent to them."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from esm.arn import Arn
from esm.aws.ask import ask
from esm.errors import SourceDeniedError, SourceError
from esm.management.doctor.asking import Asking
from esm.management.doctor.findings import Verdict
from esm.management.doctor.queues import queue_url

__all__ = ["examine_destination"]

_SENDS = {"sqs": "sqs:SendMessage", "sns": "sns:Publish", "s3": "s3:PutObject"}


async def examine_destination(asking: Asking, destination: str) -> None:
    """Looks for the queue, topic, bucket or folder. Sending is not tried: what is sent stays there."""
    if destination.startswith("file:"):
        _examine_folder(asking, destination)
        return
    kind = destination.split(":")[2]
    region = None if kind == "s3" else Arn.parse(destination).region or None
    there = replace(asking, service=kind, region=region)
    try:
        await _look_for(there, kind, destination)
    except SourceDeniedError as error:
        said = f"whether {destination} is there cannot be seen with these credentials ({error.code})"
        asking.findings.add(asking.subject, Verdict.UNKNOWN, said)
    except SourceError as error:
        asking.findings.add(asking.subject, Verdict.PROBLEM, f"destination {destination}: {error}")
    else:
        said = f"destination {destination} is there; {_SENDS[kind]} was not tried, as what is sent would stay"
        asking.findings.add(asking.subject, Verdict.OK, said)


async def _look_for(there: Asking, kind: str, destination: str) -> None:
    session, region = there.session, there.region
    if kind == "sqs":
        url = await queue_url(there, destination)
        await ask(session, kind, region, "get_queue_attributes", QueueUrl=url, AttributeNames=["QueueArn"])
    elif kind == "sns":
        await ask(session, kind, region, "get_topic_attributes", TopicArn=destination)
    else:
        await ask(session, kind, region, "head_bucket", Bucket=destination.split(":")[5].partition("/")[0])


def _examine_folder(asking: Asking, destination: str) -> None:
    folder = Path(unquote(urlsplit(destination).path)).parent
    writable = folder.is_dir() and os.access(folder, os.W_OK)
    said = f"destination {destination}: {'the folder may be written' if writable else 'no folder that may be written'}"
    asking.findings.add(asking.subject, Verdict.OK if writable else Verdict.PROBLEM, said)
