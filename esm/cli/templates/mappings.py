"""The mappings of a template, for the commands: chosen, guarded, their code found, their sources made or looked up."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from esm.aws.session import AwsSession
from esm.cli import guard
from esm.cli.exits import Exit, Failure, of_mapping
from esm.errors import SourceError
from esm.handlers.resolve import resolve
from esm.mapping.function import Function
from esm.mapping.settings import EventSourceMapping
from esm.telemetry.logs import announce, quiet_sdk
from esm.templates.clashes import clashing
from esm.templates.create import create
from esm.templates.inline import inline_folder
from esm.templates.load import Plan, load_template
from esm.templates.mappings import Planned
from esm.templates.pending import is_pending, resolved
from esm.templates.read import read
from esm.templates.template import Options

__all__ = ["Endpoint", "Typed", "choose", "file_mappings", "open_plan", "placed_mappings", "runnable"]


_LOCAL_ACCOUNT = "000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What was typed about a template. `parameter`: `NAME=VALUE` each; `imports`: a file of values by export name."""

    parameter: Sequence[str] = ()
    account: str = _LOCAL_ACCOUNT
    stack_name: str | None = None
    imports: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where sources are: `url`, `None` for AWS; `live`: AWS is meant. `create_resources`: what is missing is made."""

    url: str | None
    region: str | None
    live: bool
    create_resources: bool = False


def open_plan(target: str, typed: Typed, *, region: str | None, endpoint_url: str | None) -> Plan:
    """The plan of the file `target`. Touches nothing outside this machine. Raises `Failure`, `TemplateError`."""
    if not re.fullmatch(r"[0-9]{12}", typed.account):
        raise Failure(Exit.INVALID, f"--account={typed.account!r}: an account has 12 digits")
    options = Options(
        parameters=dict(_parameter(text) for text in typed.parameter),
        account=typed.account,
        region=region,
        stack_name=typed.stack_name,
        imports=_imports(typed.imports),
        endpoint_url=endpoint_url,
    )
    plan = load_template(Path(target), options)
    if not plan.planned:
        raise Failure(Exit.INVALID, f"{target}: this template has no event source mapping")
    return plan


def choose(plan: Plan, only: Sequence[str], without: Sequence[str]) -> list[Planned]:
    """Those that `only` names (all, when it is empty) and `without` does not: by logical id, function or uuid."""
    for option, names in (("--only", only), ("--except", without)):
        for name in names:
            if not any(name in each.names for each in plan.planned):
                known = ", ".join(each.logical_id for each in plan.planned)
                raise Failure(Exit.INVALID, f"{option}={name!r}: the template has no such mapping; there are {known}")
    chosen = [each for each in plan.planned if (not only or each.names & {*only}) and not each.names & {*without}]
    if not chosen:
        raise Failure(Exit.INVALID, "no mapping is left to run: see --only and --except")
    return chosen


def runnable(plan: Plan, chosen: Sequence[Planned]) -> list[Planned]:
    """Those of the chosen that can run. Raises `Failure` for one that should and cannot: silence would hide it."""
    for each in chosen:
        if each.refusal is not None and (each.mapping is None or each.mapping.enabled):
            where = f"{plan.file}:{each.line}" if each.line else plan.file
            line = f"{where}: {each.logical_id} cannot run here: {each.refusal}"
            raise Failure(Exit.UNSUPPORTED, f"{line}; --except {each.logical_id} leaves it out")
    return [each for each in chosen if each.refusal is None]


def file_mappings(
    target: str, typed: Typed, only: Sequence[str], without: Sequence[str], at: Endpoint
) -> list[EventSourceMapping]:
    """The mappings of the file `target` that were chosen, ready to run. Says what will be read before anything is.

    Raises `Failure`, `TemplateError` and `HandlerNotFoundError`.
    """
    plan = open_plan(target, typed, region=at.region, endpoint_url=at.url)
    planned = runnable(plan, choose(plan, only, without))
    mappings = _mappings(planned)
    guard.check_enabled(mappings)
    guard.check(mappings, at.url, live=at.live)
    _check_account(mappings, at)
    for each in planned:
        _announce(each, at)
    _surround(plan, at)
    placed = _with_code(planned)
    for mapping in placed:
        if mapping.function.isolation != "process":
            resolve(mapping.function.handler)
    return _with_sources(plan, placed, at)


def _check_account(mappings: Sequence[EventSourceMapping], at: Endpoint) -> None:
    """Raises `Failure` when what a template defines would be looked for in an account that AWS has not got."""
    of_aws = [mapping for mapping in mappings if mapping.source_kind != "file"]
    if at.url is None and any(mapping.arn.account == _LOCAL_ACCOUNT for mapping in of_aws):
        raise Failure(Exit.INVALID, "--live reads what the template defines in your account: give --account")


def placed_mappings(
    target: str, typed: Typed, only: Sequence[str], without: Sequence[str], at: Endpoint
) -> list[EventSourceMapping]:
    """The same without a look at functions or sources: whether they are there is not known, and nothing is made.

    Raises `Failure` and `TemplateError`.
    """
    plan = open_plan(target, typed, region=at.region, endpoint_url=at.url)
    planned = runnable(plan, choose(plan, only, without))
    guard.check(_mappings(planned), at.url, live=at.live)
    _surround(plan, at)
    return _with_code(planned)


def _mappings(planned: Sequence[Planned]) -> list[EventSourceMapping]:
    return [each.mapping for each in planned if each.mapping is not None]


def _announce(planned: Planned, at: Endpoint) -> None:
    mapping = planned.mapping
    if mapping is not None and mapping.enabled:
        source = f"the stream of table {mapping.arn.name}" if planned.is_pending else mapping.event_source_arn
        endpoint = "AWS" if at.url is None else guard.shown(at.url)
        function = mapping.function.qualified_name
        announce("mapping_planned", id=planned.logical_id, function=function, source=source, endpoint=endpoint)


def _surround(plan: Plan, at: Endpoint) -> None:
    """What Lambda tells a function of its region; and the endpoint, so that what it calls is the same AWS."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        os.environ.setdefault(name, plan.resolver.template.region)
    if at.url is not None:
        os.environ.setdefault("AWS_ENDPOINT_URL", at.url)


def _with_code(planned: Sequence[Planned]) -> list[EventSourceMapping]:
    """The mappings with functions that can be called: their code on `sys.path`, their variables set.

    Functions that cannot share this process get processes of their own.
    """
    apart = clashing(planned)
    functions: dict[str | None, Function] = {}
    ready = []
    for each in planned:
        if each.mapping is None:
            continue
        if each.function_id not in functions:
            functions[each.function_id] = _placed(each, apart.get(str(each.function_id)))
        function = replace(functions[each.function_id], version=each.mapping.function.version)
        ready.append(replace(each.mapping, function=function))
    return ready


def _with_sources(plan: Plan, mappings: list[EventSourceMapping], at: Endpoint) -> list[EventSourceMapping]:
    """The mappings with sources that are there: created where asked for, looked up where only the service knows."""
    if at.create_resources and (at.url is None or guard.is_aws(at.url)):
        line = "--create-resources is for a local AWS: give its --endpoint-url; at AWS, deploy the template"
        raise Failure(Exit.GUARD, line)
    if not at.create_resources and not any(is_pending(mapping) for mapping in mappings):
        return mappings
    quiet_sdk()
    try:
        return asyncio.run(_created_or_found(plan, mappings, at))
    except SourceError as error:
        raise of_mapping(error, plan.file, at.url) from error


async def _created_or_found(plan: Plan, mappings: list[EventSourceMapping], at: Endpoint) -> list[EventSourceMapping]:
    region = plan.resolver.template.region
    async with AwsSession(endpoint_url=at.url, region_name=region) as session:
        if at.create_resources:
            async for made in create(plan.resolver, session):
                announce("resource", id=made.logical_id, type=made.kind, name=made.name, state=made.state)
        return await resolved(mappings, session)


def _placed(planned: Planned, apart: str | None) -> Function:
    """A planned mapping's function, where it can be imported from."""
    function = planned.mapping.function if planned.mapping is not None else Function("not.python")
    folders = [str(folder) for folder in planned.code.folders]
    if planned.code.inline is not None:
        folders.insert(0, str(inline_folder(planned.code.inline)))
    if apart is not None:
        announce("process_of_its_own", function=function.name, reason=apart)
        own, layers = folders[:1], folders[1:]
        sys.path.extend(folder for folder in layers if folder not in sys.path)
        return replace(function, isolation="process", folder=own[0] if own else None)
    sys.path[:0] = [folder for folder in folders if folder not in sys.path]
    os.environ.update(function.environment)
    return function


def _parameter(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Failure(Exit.INVALID, f"--parameter={text!r}: write NAME=VALUE")
    return name, value


def _imports(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    document = read(path)
    if not isinstance(document.value, dict):
        raise document.refused((), "a map of values by export name is expected here")
    for name, value in document.value.items():
        if not isinstance(value, str | int):
            raise document.refused((name,), "a string is expected here")
    return {name: str(value) for name, value in document.value.items()}
