"""The examination: everything that concerns all mappings, then each mapping by itself. It changes nothing anywhere."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from importlib.machinery import PathFinder
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from esm.aws.ask import ask
from esm.aws.session import AwsSession
from esm.clock import Clock
from esm.errors import (
    HandlerNotFoundError,
    MappingError,
    NotInstalledError,
    RecordingError,
    SourceDeniedError,
    SourceError,
)
from esm.handlers.resolve import parts, resolve
from esm.management.doctor.asking import Asking
from esm.management.doctor.destinations import examine_destination
from esm.management.doctor.findings import Findings, Verdict
from esm.management.doctor.queues import examine_queue
from esm.management.doctor.streams import examine_dynamodb, examine_kinesis
from esm.mapping.function import Function
from esm.mapping.settings import EventSourceMapping
from esm.runtime.recorded import as_recorded

__all__ = ["examine"]

_SERVICES = {"kinesis": "kinesis", "dynamodb": "dynamodbstreams", "sqs": "sqs"}
_PACKAGES = ("asyncio-esm", "aiobotocore", "botocore", "msgspec", "uvloop")

SKEW_WARNING_S = 5
SKEW_PROBLEM_S = 300
"""AWS refuses a signature that is further from its clock than five minutes.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html
"""


async def examine(mappings: Sequence[EventSourceMapping], session: AwsSession, clock: Clock) -> Findings:
    """What was found, in order: versions, credentials and clock, then each mapping's function, source, destination.

    Nothing is received, sent or changed; of a stream one record at most is read. Raises nothing for what it finds.
    """
    findings = Findings()
    findings.add("", Verdict.OK, _versions())
    if any(map(_is_at_aws, mappings)) and not await _examine_credentials(findings, session, clock):
        return findings
    for mapping in mappings:
        await _examine_mapping(findings, session, clock, mapping)
    return findings


def _is_at_aws(mapping: EventSourceMapping) -> bool:
    """Whether running it asks AWS for anything: of files alone nobody is asked, not even about credentials."""
    return mapping.source_kind != "file" or not (mapping.on_failure or "file:").startswith("file:")


def _versions() -> str:
    found = [f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)


async def _examine_credentials(findings: Findings, session: AwsSession, clock: Clock) -> bool:
    """Whether there are any. Who they belong to is told when STS answers; a local AWS may not have it."""
    try:
        await session.credentials.current()
    except SourceDeniedError as error:
        what = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE; a local AWS takes any"
        findings.add("", Verdict.PROBLEM, f"no credentials: {error}; {what}")
        return False
    try:
        told = await ask(session, "sts", None, "get_caller_identity")
    except SourceError as error:
        findings.add("", Verdict.UNKNOWN, f"there are credentials; whose cannot be told ({error.code})")
        return True
    findings.add("", Verdict.OK, f"the credentials are of {told.get('Arn')}")
    _examine_clock(findings, told, clock)
    return True


def _examine_clock(findings: Findings, told: dict[str, Any], clock: Clock) -> None:
    date = told.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    try:
        at = parsedate_to_datetime(date).astimezone(UTC)
    except (TypeError, ValueError):
        return
    skew = clock.now() / 1000 - at.timestamp()
    if abs(skew) > SKEW_WARNING_S:
        verdict = Verdict.PROBLEM if abs(skew) > SKEW_PROBLEM_S else Verdict.WARNING
        findings.add("", verdict, f"this machine's clock is {skew:+.0f} s from the service's")


async def _examine_mapping(findings: Findings, session: AwsSession, clock: Clock, mapping: EventSourceMapping) -> None:
    subject = f"{mapping.function.qualified_name} < {mapping.event_source_arn}"
    if not mapping.enabled:
        findings.add(subject, Verdict.OK, "not enabled: not looked at")
        return
    _examine_function(findings, subject, mapping.function)
    if mapping.source_kind == "file":
        _examine_recording(findings, subject, mapping)
        return
    asking = Asking(session, findings, subject, _SERVICES[mapping.source_kind], mapping.arn.region or None)
    try:
        await _examine_source(asking, mapping, clock)
        if mapping.on_failure is not None:
            await examine_destination(asking, mapping.on_failure)
    except SourceError as error:  # before anything could be asked: no region, no such endpoint
        findings.add(subject, Verdict.PROBLEM, str(error))


def _examine_function(findings: Findings, subject: str, function: Function) -> None:
    try:
        if function.folder is None:
            resolve(function.handler)
        else:
            _find_apart(str(function.handler), function.folder)
    except HandlerNotFoundError as error:
        findings.add(subject, Verdict.PROBLEM, str(error))
    else:
        findings.add(subject, Verdict.OK, f"the function is found: {function.name}")


def _find_apart(handler: str, folder: str) -> None:
    """Its module's file; only a process of its own may import it. Raises `HandlerNotFoundError`."""
    module = parts(handler)[0].partition(".")[0]
    if PathFinder.find_spec(module, [folder]) is None:
        raise HandlerNotFoundError(f"handler {handler!r}: there is no module {module!r} in {folder}")


def _examine_recording(findings: Findings, subject: str, mapping: EventSourceMapping) -> None:
    try:
        source = as_recorded(mapping).event_source_arn
    except (MappingError, NotInstalledError, RecordingError) as error:
        findings.add(subject, Verdict.PROBLEM, str(error))
    else:
        findings.add(subject, Verdict.OK, f"the recording can be read: it is of {source}")


async def _examine_source(asking: Asking, mapping: EventSourceMapping, clock: Clock) -> None:
    if mapping.source_kind == "sqs":
        await examine_queue(asking, mapping)
    elif mapping.source_kind == "dynamodb":
        await examine_dynamodb(asking, mapping, clock.now())
    else:
        await examine_kinesis(asking, mapping, clock.now())
