"""A template read to its end: its mappings as they would run, and what it defines besides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from types import MappingProxyType

from esm.errors import TemplateError
from esm.templates import own, sam, serverless
from esm.templates.document import Document
from esm.templates.mappings import Planned, planned
from esm.templates.read import read
from esm.templates.resolver import Resolver
from esm.templates.template import Dialect, Options, Template

__all__ = ["Plan", "load_template", "plan_of", "template_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a template comes to. `planned`: its mappings, in its order; `resolver`: what its other values come to."""

    file: str
    dialect: Dialect
    planned: tuple[Planned, ...]
    resolver: Resolver


_STARS = "****"
"""What CloudFormation shows in place of a `NoEcho` parameter's value."""


def load_template(path: FilePath, options: Options) -> Plan:
    """The template at `path`. Nothing outside this machine is touched. Raises `TemplateError`, `NotInstalledError`."""
    return plan_of(read(path), path, options)


def plan_of(document: Document, path: FilePath, options: Options) -> Plan:
    """The plan of a file that was read."""
    try:
        template = template_of(document, path, options)
        resolver = Resolver(template, options)
        found = _planned(resolver)
    except RecursionError:
        raise document.refused((), "its values hang on each other in too long a chain") from None
    return Plan(file=document.file, dialect=template.dialect, planned=found, resolver=resolver)


def _planned(resolver: Resolver) -> tuple[Planned, ...]:
    """The mappings, and what is wrong with them, without the values of `NoEcho` parameters."""
    secrets = resolver.parameters.secrets
    try:
        found = planned(resolver)
    except TemplateError as error:
        raise _without(error, secrets) from None
    return tuple(
        replace(
            each,
            refusal=None if each.refusal is None else _hidden(each.refusal, secrets),
            notes=tuple(_hidden(note, secrets) for note in each.notes),
        )
        for each in found
    )


def _without(error: TemplateError, secrets: Sequence[str]) -> TemplateError:
    shown = error.value if isinstance(error.value, bool | dict | list | None) else _hidden(str(error.value), secrets)
    return TemplateError(
        _hidden(error.rule, secrets),
        file=error.file,
        path=(error.path,) if error.path else (),
        line=error.line,
        column=error.column,
        value=error.value if shown == str(error.value) else shown,
    )


def _hidden(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, _STARS)
    return text


def template_of(document: Document, path: FilePath, options: Options) -> Template:
    """A file in CloudFormation's long form."""
    folder = path.absolute().parent
    return _COMPILERS[_dialect(document)](document, folder, options)


def _cloudformation(document: Document, folder: FilePath, options: Options) -> Template:
    return Template(
        document=document,
        dialect="CloudFormation",
        body=document.value,
        folder=folder,
        stack_name=options.stack_name_or(document.file, folder),
        region=options.region_or(None),
    )


def _dialect(document: Document) -> Dialect:
    value = document.value
    if not isinstance(value, dict):
        raise document.refused((), "a template is an object, and this is none")
    if own.is_own(value):
        return "esm"
    if "Resources" in value:
        return "SAM" if sam.is_sam(value) else "CloudFormation"
    if serverless.is_serverless(value):
        return "Serverless"
    rule = "neither a template (Resources), a serverless.yml (service) nor a file of esm (EventSourceMappings)"
    raise document.refused((), rule)


_COMPILERS: Mapping[Dialect, Callable[[Document, FilePath, Options], Template]] = MappingProxyType(
    {
        "CloudFormation": _cloudformation,
        "SAM": sam.compiled,
        "Serverless": serverless.compiled,
        "esm": own.compiled,
    }
)
