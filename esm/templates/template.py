"""A template in CloudFormation's long form, whatever it was written in, and what it is read with."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Literal

from esm.errors import TemplateError
from esm.templates.document import Document, Path

__all__ = ["Dialect", "Options", "Template", "Unresolved"]

Dialect = Literal["SAM", "CloudFormation", "Serverless", "esm"]

_REGION = "us-east-1"
_STACK_LENGTH = 40
_CDK = ".template.json"


class Unresolved(Exception):  # noqa: N818  # it is no fault: something is known only elsewhere
    """What a value hangs on is not known here; the text says what, and what would help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a template leaves to whoever deploys it.

    `region`: `None` for the template's own, that of the environment, or us-east-1. `stack_name`: `None` for a name made
    from the file's or its folder's. `imports`: values of `Fn::ImportValue` by export name. `environ`: for `${env:...}`.
    `endpoint_url`: where a queue's URL leads; `None`: to AWS.
    """

    parameters: Mapping[str, str] = field(default_factory=dict)
    account: str = "000000000000"
    region: str | None = None
    stack_name: str | None = None
    imports: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    endpoint_url: str | None = None

    def region_or(self, own: str | None) -> str:
        """The region: given, the template's own, the environment's, or chosen."""
        named = (self.region, own, self.environ.get("AWS_REGION"), self.environ.get("AWS_DEFAULT_REGION"))
        return next((region.strip() for region in named if region and region.strip()), _REGION)

    def stack_name_or(self, file: str, folder: FilePath) -> str:
        """The stack's name: given, that of a CDK's template, which is called after it, or made from the folder's."""
        name = FilePath(file).name
        own = name.removesuffix(_CDK) if name.endswith(_CDK) else folder.name
        return self.stack_name or re.sub(r"[^a-zA-Z0-9]+", "-", own).strip("-")[:_STACK_LENGTH] or "stack"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """`body`: the template; `origins`: where in the document a part of the body stands, when that is elsewhere.

    `folder`: where its paths begin. `stack_name`, `region`: what the pseudo parameters say. `generated`: how the ids of
    resources begin that are none of the body's, and are made when the file is deployed.
    """

    document: Document
    dialect: Dialect
    body: Mapping[str, Any]
    folder: FilePath
    stack_name: str
    region: str
    origins: Mapping[Path, Path] = field(default_factory=dict)
    generated: tuple[str, ...] = ()

    def origin(self, path: Path) -> Path:
        """Where in the document the body's `path` stands."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.origins:
                return (*self.origins[path[:end]], *path[end:])
        return path

    def refused(self, path: Path, rule: str, value: object = None) -> TemplateError:
        """The refusal of the file for what stands at the body's `path`."""
        return self.document.refused(self.origin(path), rule, value)

    def section(self, name: str) -> Mapping[str, Any]:
        """A section of the body, empty where there is none. Raises `TemplateError` when it is no dict."""
        section = self.body.get(name)
        if section is None:
            return {}
        if not isinstance(section, dict):
            raise self.refused((name,), f"Template format error: {name} must be an object", section)
        return section
