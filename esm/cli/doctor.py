"""`esm doctor`: what an examination found, for people and for machines."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from itertools import groupby

import click

from esm.aws.session import AwsSession
from esm.cli import guard
from esm.clock import SystemClock
from esm.errors import SourceError
from esm.management.doctor.examine import examine
from esm.management.doctor.findings import Finding, Findings, Verdict
from esm.mapping.settings import EventSourceMapping
from esm.telemetry.logs import quiet_sdk

__all__ = ["diagnosis", "findings_json", "findings_text"]

_COLOURS = {Verdict.OK: "green", Verdict.UNKNOWN: "cyan", Verdict.WARNING: "yellow", Verdict.PROBLEM: "red"}


def diagnosis(
    mappings: Sequence[EventSourceMapping], *, endpoint_url: str | None, region: str | None, live: bool
) -> Findings:
    """Examines them. Raises `Failure` without an endpoint or `--live`."""
    guard.check(mappings, endpoint_url, live=live)
    quiet_sdk()
    return asyncio.run(_examine(mappings, endpoint_url, region))


async def _examine(mappings: Sequence[EventSourceMapping], endpoint_url: str | None, region: str | None) -> Findings:
    # Something must be named for what has no region of its own, as S3 and STS.
    region = region or next((m.arn.region for m in mappings if m.source_kind != "file" and m.arn.region), None)
    async with AwsSession(endpoint_url=endpoint_url, region_name=region) as session:
        return await examine([await _known(mapping, session) for mapping in mappings], session, SystemClock())


async def _known(mapping: EventSourceMapping, session: AwsSession) -> EventSourceMapping:
    """With its table's stream; as it is where that cannot be told, which the examination will then say."""
    from esm.templates.pending import resolved  # noqa: PLC0415  # a module's mappings need none of it

    try:
        (known,) = await resolved([mapping], session)
    except SourceError:
        return mapping
    return known


def findings_text(findings: Findings) -> str:
    """Each mapping with what was found of it, and the missing policy, ready to paste."""
    lines = []
    for subject, found in groupby(findings.found, key=lambda finding: finding.subject):
        lines += ["", subject] if subject else []
        lines += [_line(finding) for finding in found]
    policy = findings.policy()
    if policy is not None:
        lines += ["", "This policy is missing:", json.dumps(policy, indent=2)]
    return "\n".join(lines)


def findings_json(findings: Findings) -> str:
    """The same as JSON; `Policy` is null when nothing was denied."""
    found = [{"Mapping": f.subject, "Verdict": f.verdict.value, "Said": f.said} for f in findings.found]
    return json.dumps({"Findings": found, "Policy": findings.policy()}, indent=2)


def _line(finding: Finding) -> str:
    mark = click.style(f"{finding.verdict.value:<8}", fg=_COLOURS[finding.verdict])
    return f"  {mark} {finding.said}"
