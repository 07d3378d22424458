"""`esm plan FILE`: what a template's mappings would be, and what keeps one from running."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from esm.cli.plan import settings_lines, warnings
from esm.templates.clashes import clashing
from esm.templates.code import located
from esm.templates.load import Plan
from esm.templates.mappings import Planned

__all__ = ["file_plan_json", "file_plan_text"]

_LATER = "known once the service was asked for the table's stream"


def file_plan_text(plan: Plan, chosen: Sequence[Planned]) -> str:
    """Each mapping with its place, source, function, settings, and whether it can run here."""
    apart = clashing([each for each in chosen if each.refusal is None])
    parts = ["\n".join(_lines(plan, each, apart.get(str(each.function_id)))) for each in chosen]
    return "\n\n".join([f"{plan.file}: {plan.dialect}, region {plan.resolver.template.region}", *parts])


def file_plan_json(chosen: Sequence[Planned]) -> str:
    """The same as JSON: AWS's own dict for each, and what is known besides."""
    apart = clashing([each for each in chosen if each.refusal is None])
    return json.dumps([_as_dict(each, apart.get(str(each.function_id))) for each in chosen], indent=2, default=str)


def _lines(plan: Plan, planned: Planned, apart: str | None) -> Iterator[str]:
    mapping = planned.mapping
    where = f"{plan.file}:{planned.line}" if planned.line else plan.file
    if mapping is None:
        function = f", function {planned.function_id}" if planned.function_id else ""
        yield f"{planned.logical_id} ({where}{function})"
    else:
        function = mapping.function.qualified_name
        yield f"{function} < {_source(planned)}{'' if mapping.enabled else ' (not enabled)'}"
        yield f"  mapping   {planned.logical_id} ({where})"
        yield f"  uuid      {_LATER if planned.is_pending else mapping.uuid}"
        yield f"  function  {_function(planned)}, timeout {mapping.function.timeout:g} s{_apart(apart)}"
        yield from settings_lines(mapping)
    if planned.refusal is not None:
        yield f"  ! cannot run here: {planned.refusal}"
    for note in planned.notes:
        yield f"  - {note}"


def _source(planned: Planned) -> str:
    if planned.mapping is None:
        return ""
    arn = planned.mapping.event_source_arn
    return f"{arn.removesuffix('/pending')} (pending: {_LATER})" if planned.is_pending else arn


def _function(planned: Planned) -> str:
    """What is called, and the file that it stands in. Nothing is imported."""
    if planned.mapping is None or planned.function_id is None:
        return "unknown"
    if planned.code.inline is not None:
        return f"{planned.mapping.function.handler} in the template itself"
    place = located(str(planned.mapping.function.handler), planned.code)
    return f"{planned.mapping.function.handler}{f' in {place}' if place else ''}"


def _apart(reason: str | None) -> str:
    return f", in processes of its own: {reason}" if reason else ""


def _as_dict(planned: Planned, apart: str | None) -> dict[str, Any]:
    mapping = planned.mapping
    about: dict[str, Any] = {"LogicalId": planned.logical_id, "Line": planned.line, "FunctionId": planned.function_id}
    if mapping is not None:
        about |= {"UUID": None if planned.is_pending else mapping.uuid, **mapping.to_api()}
        about |= {"EventSourceArn": _source(planned).partition(" ")[0], "Handler": _function(planned)}
        about |= {"SourceKind": mapping.source_kind, "FilterWarnings": warnings(mapping)}
    return {**about, "OwnProcesses": apart, "Refusal": planned.refusal, "Notes": list(planned.notes)}
