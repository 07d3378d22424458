"""The functions of a template: what each is called with, and what keeps one from running here.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-lambda-function.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from esm.errors import MappingError, TemplateError
from esm.mapping.function import Function
from esm.templates.code import LAYERS, Code, function_code, layer_folders, located
from esm.templates.document import Path
from esm.templates.intrinsics import Scope
from esm.templates.names import Names
from esm.templates.parameters import as_text
from esm.templates.properties import coerced
from esm.templates.template import Unresolved

__all__ = ["Lambda", "Lambdas"]

_NAME = re.compile(
    r"(?:(?:arn:aws[a-zA-Z-]*:lambda:[a-zA-Z0-9-]*:)?(?:[0-9]{12}:)?function:)?"
    r"(?P<name>[a-zA-Z0-9-_]+)(?::(?P<version>\$LATEST|[a-zA-Z0-9-_]+))?"
)
"""A name, an ARN, or the end of one; with or without a version or alias."""
_NONE = "not.python"
_NOT_PYTHON = "only Python functions run here"
_MANDATORY = "Runtime and Handler are mandatory parameters for functions created with deployment packages."
_PROPERTY = {"handler": "Handler", "memory_size": "MemorySize", "name": "FunctionName", "timeout": "Timeout"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Lambda:
    """One function of a template.

    `refusal`: why it cannot run here; `None`: it can. `notes`: what is otherwise than in Lambda, and harms nothing.
    """

    logical_id: str
    function: Function
    code: Code
    refusal: str | None = None
    notes: tuple[str, ...] = ()


class Lambdas:
    """The functions of one template, each read once."""

    def __init__(self, scope: Scope, names: Names) -> None:
        self._scope, self._names = scope, names
        self._resources = scope.template.section("Resources")
        self._read: dict[str, Lambda] = {}

    def named(self, text: str) -> Lambda:
        """The function that a mapping's `FunctionName` means. Raises `Unresolved` when the template has none such."""
        found = _NAME.fullmatch(text)
        logical_id = self._logical_id(found["name"]) if found else None
        if found is None or logical_id is None:
            raise Unresolved(f"function {text[:100]!r} is not defined in this template")
        lambda_ = self._lambda(logical_id)
        version = found["version"]
        if version is None or version == "$LATEST":
            return lambda_
        return replace(lambda_, function=replace(lambda_.function, version=version))

    def _logical_id(self, name: str) -> str | None:
        for logical_id, resource in self._resources.items():
            if isinstance(resource, dict) and resource.get("Type") == "AWS::Lambda::Function":
                try:
                    known = self._names.name(logical_id)
                except Unresolved:
                    continue
                if known == name:
                    return logical_id
        return None

    def _lambda(self, logical_id: str) -> Lambda:
        if logical_id not in self._read:
            self._read[logical_id] = _Reader(self._scope, self._names, logical_id, self._resources).read()
        return self._read[logical_id]


class _Reader:
    """Reads one function's resource."""

    def __init__(self, scope: Scope, names: Names, logical_id: str, resources: Mapping[str, Any]) -> None:
        self._scope, self._names, self._id = scope, names, logical_id
        self._resources = resources
        self._path: Path = ("Resources", logical_id, "Properties")
        properties = resources[logical_id].get("Properties")
        self._properties: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
        self._notes: list[str] = []
        self._refusal: str | None = None

    def read(self) -> Lambda:
        function = self._function()
        code = self._code()
        if self._refusal is None and code.inline is None and located(str(function.handler), code) is None:
            self._notes.append(f"the module of {function.handler} is not in its code's folder, and must be installed")
        notes = tuple(dict.fromkeys(self._notes))
        refusal = f"function {self._id}: {self._refusal}" if self._refusal else None
        return Lambda(logical_id=self._id, function=function, code=code, refusal=refusal, notes=notes)

    def _function(self) -> Function:
        try:
            return Function(
                self._handler(),
                name=self._names.name(self._id),
                timeout=self._number("Timeout", 3),
                memory_size=self._number("MemorySize", 128),
                reserved_concurrency=self._number("ReservedConcurrentExecutions", None),
                environment=dict(self._environment()),
            )
        except MappingError as error:
            raise self._refused(error) from None

    def _handler(self) -> str:
        runtime = self._known("Runtime", "python")
        if self._known("PackageType", "Zip") == "Image":
            self._refusal = f"it is a container image, and {_NOT_PYTHON}"
        elif not runtime.startswith("python"):
            self._refusal = f"it runs on {runtime[:40]}, and {_NOT_PYTHON}"
        if self._refusal is not None:
            return self._foreign_handler()
        if "Handler" not in self._properties:
            raise self._scope.template.refused(self._path, _MANDATORY)
        return self._scope.text(self._properties["Handler"], (*self._path, "Handler"))

    def _foreign_handler(self) -> str:
        """What is called in another language, as far as its name is like ours."""
        try:
            return str(Function(self._known("Handler", _NONE)).handler)
        except MappingError:
            return _NONE

    def _known(self, name: str, default: str) -> str:
        """A property's text, or the default: also for one that is known only elsewhere."""
        if name not in self._properties:
            return default
        try:
            return self._scope.text(self._properties[name], (*self._path, name))
        except Unresolved as unknown:
            self._notes.append(f"{name}: {unknown}; taken as {default}")
            return default

    def _number(self, name: str, default: Any) -> Any:
        if self._properties.get(name) is None:
            return default
        try:
            return coerced(name, self._scope.value(self._properties[name], (*self._path, name)))
        except Unresolved as unknown:
            self._notes.append(f"{name}: {unknown}; taken as {default}")
            return default

    def _environment(self) -> Iterator[tuple[str, str]]:
        """Variables that are known here; the others are left as the process has them."""
        given = self._properties.get("Environment")
        variables = given.get("Variables") if isinstance(given, dict) else given
        path = (*self._path, "Environment", "Variables")
        for name in given if isinstance(given, dict) else ():
            if name != "Variables":
                rule = "Encountered unsupported property; an environment has Variables"
                raise self._scope.template.refused((*self._path, "Environment", name), rule)
        if variables is None:
            return
        if not isinstance(variables, dict):
            raise self._scope.template.refused(path, "a map of strings is expected here")
        for name, value in variables.items():
            try:
                found = self._scope.value(value, (*path, name))
            except Unresolved as unknown:
                self._notes.append(f"environment variable {name} is not set: {unknown}")
                continue
            if isinstance(found, dict | list):
                raise self._scope.template.refused((*path, name), "a string is expected here")
            if found is None or isinstance(found, str | int | float):
                yield name, as_text(found)

    def _code(self) -> Code:
        folders = [folder for layer in self._layers() for folder in layer]
        try:
            code = function_code(self._scope, self._id, self._resources[self._id])
        except Unresolved as unknown:
            self._refusal = self._refusal or str(unknown)
            return Code(folders=tuple(folders))
        return replace(code, folders=(*code.folders, *folders))

    def _layers(self) -> Iterator[list[Any]]:
        layers = self._properties.get("Layers")
        if layers is not None and not isinstance(layers, list):
            layers = [layers]
        for at, layer in enumerate(layers or ()):
            logical_id = layer.get("Ref") if isinstance(layer, dict) else None
            known = self._resources.get(logical_id) if isinstance(logical_id, str) else None
            if not isinstance(known, dict) or known.get("Type") not in LAYERS:
                self._notes.append(f"Layers.{at}: the layer is not in this template; what it brings must be installed")
                continue
            try:
                yield list(layer_folders(self._scope, str(logical_id), known))
            except Unresolved as unknown:
                self._notes.append(f"Layers.{at}: {unknown}")

    def _refused(self, error: MappingError) -> TemplateError:
        name = _PROPERTY.get(error.field or "", "")
        if error.field == "reserved_concurrency":
            name = "ReservedConcurrentExecutions"
        path: Path = (*self._path, name) if name else self._path
        if error.field == "environment":
            path = (*self._path, "Environment", "Variables")
        return self._scope.template.refused(path, f"{error.message} [{error.code}]", error.value)
