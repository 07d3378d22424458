"""serverless.yml: its functions and their `stream` and `sqs` events, as the template that the framework would make.

https://www.serverless.com/framework/docs/providers/aws/guide/serverless.yml
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any

from esm.templates.code import LOCAL
from esm.templates.document import Document, Path
from esm.templates.intrinsics import UNKNOWN
from esm.templates.serverless_events import NOT_READ, mapping_of
from esm.templates.template import Options, Template
from esm.templates.variables import Variables

__all__ = ["compiled", "is_serverless"]

_TIMEOUT, _MEMORY = 6, 1024
"""The framework's own defaults."""
_SECTIONS = ("Conditions", "Mappings", "Parameters", "Resources")


def is_serverless(value: Mapping[str, Any]) -> bool:
    """Whether a file is a serverless.yml."""
    return "service" in value and bool({"functions", "provider"} & set(value))


def compiled(document: Document, folder: FilePath, options: Options) -> Template:
    """The template that the framework would make, as far as mappings hang on it. Raises `TemplateError`."""
    variables = Variables(document, folder, options)
    value = variables.value()
    provider = value.get("provider")
    provider = provider if isinstance(provider, dict) else {}
    stage = options.parameters.get("stage") or _text(provider.get("stage")) or "dev"
    service = value.get("service")
    service = service.get("name") if isinstance(service, dict) else service
    compiler = _Compiler(document, value, provider, f"{_text(service) or 'service'}-{stage}")
    compiler.compile()
    return Template(
        document=document,
        dialect="Serverless",
        body=compiler.body,
        folder=folder,
        stack_name=options.stack_name or compiler.prefix,
        region=options.region_or(_text(provider.get("region"))),
        origins=compiler.origins,
        generated=("",),  # the framework and its plugins make what they like
    )


class _Compiler:
    """Collects the resources. `prefix`: the service and stage, which begin a function's name."""

    def __init__(self, document: Document, value: dict[str, Any], provider: dict[str, Any], prefix: str) -> None:
        self.document, self.value, self.provider, self.prefix = document, value, provider, prefix
        self.body: dict[str, Any] = {section: {} for section in _SECTIONS}
        self.origins: dict[Path, Path] = {}

    def compile(self) -> None:
        self._own_resources()
        for name, layer in self._dicts(("layers",)):
            content = {"Content": {LOCAL: layer.get("path", ".")}}
            logical_id = f"{_capitalized(name)}LambdaLayer"
            self._add(logical_id, {"Type": "AWS::Lambda::LayerVersion", "Properties": content}, ("layers", name))
        for path, name, function in self._functions():
            self._function(path, name, function)

    def _own_resources(self) -> None:
        given = self.value.get("resources")
        for at, part in enumerate(given if isinstance(given, list) else [given]):
            path: Path = ("resources", at) if isinstance(given, list) else ("resources",)
            for section in _SECTIONS:
                self._merge(section, part.get(section) if isinstance(part, dict) else None, path)

    def _merge(self, section: str, part: Any, path: Path) -> None:
        for name, value in part.items() if isinstance(part, dict) else ():
            self.body[section][name] = value
            self.origins[section, name] = (*path, section, name)

    def _functions(self) -> Iterator[tuple[Path, str, dict[str, Any]]]:
        """Each function with its place; several dicts of them are one."""
        given = self.value.get("functions")
        for at, part in enumerate(given if isinstance(given, list) else [given]):
            path: Path = ("functions", at) if isinstance(given, list) else ("functions",)
            if part is None or (isinstance(part, dict) and UNKNOWN in part):
                continue
            if not isinstance(part, dict):
                raise self.document.refused(path, "an object of functions is expected here", part)
            for name, function in part.items():
                if not isinstance(function, dict):
                    raise self.document.refused((*path, name), "an object is expected here", function)
                yield (*path, name), name, function

    def _function(self, path: Path, name: str, function: dict[str, Any]) -> None:
        logical_id = f"{_capitalized(name)}LambdaFunction"
        properties = {key: value for key, value in self._properties(path, name, function).items() if value is not None}
        self._add(logical_id, {"Type": "AWS::Lambda::Function", "Properties": properties}, path)
        for key, name_here in _PLACES.items():
            self.origins["Resources", logical_id, "Properties", key] = (*path, name_here)
        self.origins["Resources", logical_id, "Properties", "Environment", "Variables"] = (*path, "environment")
        events = function.get("events") or []
        if not isinstance(events, list):
            raise self.document.refused((*path, "events"), "a list of events is expected here", events)
        for at, event in enumerate(events):
            kind = next(iter(event)) if isinstance(event, dict) and event else ""
            if kind in ("stream", "sqs") or kind in NOT_READ:
                self._event((*path, "events", at, kind), logical_id, at, event[kind])

    def _event(self, path: Path, function_id: str, at: int, given: Any) -> None:
        logical_id = f"{function_id.removesuffix('LambdaFunction')}EventSourceMapping{at}"
        kind = str(path[-1])
        properties, places = mapping_of(self.document, path, kind, given)
        properties["FunctionName"] = {"Fn::GetAtt": [function_id, "Arn"]}
        self._add(logical_id, {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}, path)
        self.origins["Resources", logical_id, "Properties"] = path
        for key, name_here in places.items():
            self.origins["Resources", logical_id, "Properties", key] = (*path, name_here)

    def _properties(self, path: Path, name: str, function: dict[str, Any]) -> dict[str, Any]:
        image = function.get("image")
        return {
            "FunctionName": function.get("name", f"{self.prefix}-{name}"),
            "Handler": function.get("handler"),
            "PackageType": "Image" if image is not None else None,
            "Runtime": function.get("runtime", self.provider.get("runtime")),
            "Timeout": function.get("timeout", self.provider.get("timeout", _TIMEOUT)),
            "MemorySize": function.get("memorySize", self.provider.get("memorySize", _MEMORY)),
            "ReservedConcurrentExecutions": function.get("reservedConcurrency"),
            "Environment": {"Variables": self._environment(path, function)},
            "Layers": function.get("layers", self.provider.get("layers")),
            "Code": {"ImageUri": "image"} if image is not None else {LOCAL: self._code(function)},
        }

    def _environment(self, path: Path, function: dict[str, Any]) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for place, given in ((("provider",), self.provider.get("environment")), (path, function.get("environment"))):
            if given is None or (isinstance(given, dict) and UNKNOWN in given):
                continue
            if not isinstance(given, dict):
                raise self.document.refused((*place, "environment"), "a map of strings is expected here")
            merged |= given
        return merged

    def _code(self, function: dict[str, Any]) -> Any:
        """The service's folder, or that of the function's own package or module."""
        package = function.get("package")
        artifact = package.get("artifact") if isinstance(package, dict) else None
        return artifact or function.get("module") or "."

    def _dicts(self, path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
        section = self.value.get(str(path[0]))
        for name, value in section.items() if isinstance(section, dict) else ():
            if isinstance(value, dict):
                yield name, value

    def _add(self, logical_id: str, resource: dict[str, Any], path: Path) -> None:
        self.body["Resources"][logical_id] = resource
        self.origins["Resources", logical_id] = path


_PLACES = {
    "Environment": "environment",
    "FunctionName": "name",
    "Handler": "handler",
    "MemorySize": "memorySize",
    "ReservedConcurrentExecutions": "reservedConcurrency",
    "Timeout": "timeout",
}


def _capitalized(name: str) -> str:
    """A function's name as the framework puts it into logical ids."""
    return f"{name[:1].upper()}{name[1:]}".replace("-", "Dash").replace("_", "Underscore")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
