"""esm's own short file: mappings and functions under Lambda's names, in TOML, YAML or JSON.

[[EventSourceMappings]]
EventSourceArn = "arn:aws:kinesis:us-east-1:000000000000:stream/orders"
FunctionName = "orders"
StartingPosition = "TRIM_HORIZON"

[Functions.orders]
Handler = "app.handle"
CodeUri = "src"
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from esm.templates.code import LOCAL
from esm.templates.document import Document, Path
from esm.templates.properties import OWN, PROPERTIES
from esm.templates.template import Options, Template

__all__ = ["FUNCTION_PROPERTIES", "MAPPING_PROPERTIES", "compiled", "is_own"]

FUNCTION_PROPERTIES = frozenset(
    {"CodeUri", "Environment", "Handler", "Layers", "MemorySize", "ReservedConcurrentExecutions", "Timeout"}
)
MAPPING_PROPERTIES = (PROPERTIES | OWN) - {"Tags", "KmsKeyArn"}

_MAPPINGS, _FUNCTIONS, _SCHEMA = "EventSourceMappings", "Functions", "$schema"


def is_own(value: Mapping[str, Any]) -> bool:
    """Whether a file is esm's own."""
    return _MAPPINGS in value and "Resources" not in value


def compiled(document: Document, folder: FilePath, options: Options) -> Template:
    """The file as a template. Raises `TemplateError`."""
    _check_keys(document, (), document.value, {_MAPPINGS, _FUNCTIONS, _SCHEMA})
    resources: dict[str, Any] = {}
    origins: dict[Path, Path] = {}
    for name, properties in _dict(document, (_FUNCTIONS,), document.value.get(_FUNCTIONS, {})).items():
        origins["Resources", name] = (_FUNCTIONS, name)
        resources |= _function(document, name, properties)
        origins["Resources", name, "Properties"] = (_FUNCTIONS, name)
        origins["Resources", name, "Properties", "Code"] = (_FUNCTIONS, name, "CodeUri")
    mappings = document.value[_MAPPINGS]
    if not isinstance(mappings, list):
        raise document.refused((_MAPPINGS,), "a list of mappings is expected here", mappings)
    for at, properties in enumerate(mappings):
        path: Path = (_MAPPINGS, at)
        _check_keys(document, path, _dict(document, path, properties), MAPPING_PROPERTIES)
        _check_function(document, path, properties, resources)
        # A function's name has no dot: no resource of either kind is called like one of the other.
        logical_id = f"{_MAPPINGS}.{at}"
        origins["Resources", logical_id] = path
        origins["Resources", logical_id, "Properties"] = path
        resources[logical_id] = {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}
    return Template(
        document=document,
        dialect="esm",
        body={"Resources": resources},
        folder=folder,
        stack_name=options.stack_name_or(document.file, folder),
        region=options.region_or(None),
        origins=origins,
    )


def _function(document: Document, name: str, properties: Any) -> dict[str, Any]:
    """The resources of one function: its layers, then itself."""
    path: Path = (_FUNCTIONS, name)
    given = dict(_dict(document, path, properties))
    _check_keys(document, path, given, FUNCTION_PROPERTIES)
    code = given.pop("CodeUri", ".")
    if not isinstance(code, str):
        raise document.refused((*path, "CodeUri"), "a folder's path is expected here", code)
    layers = given.pop("Layers", [])
    if not isinstance(layers, list) or not all(isinstance(layer, str) for layer in layers):
        raise document.refused((*path, "Layers"), "a list of folders' paths is expected here", layers)
    made: dict[str, Any] = {
        f"{name}.Layers.{at}": {"Type": "AWS::Lambda::LayerVersion", "Properties": {"Content": {LOCAL: layer}}}
        for at, layer in enumerate(layers)
    }
    given |= {"FunctionName": name, "Code": {LOCAL: code}, "Layers": [{"Ref": layer} for layer in made]}
    return {**made, name: {"Type": "AWS::Lambda::Function", "Properties": given}}


def _check_function(document: Document, path: Path, properties: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    name = properties.get("FunctionName")
    if isinstance(name, str) and name.partition(":")[0] not in known:
        there = ", ".join(sorted(known)[:10]) or "none"
        raise document.refused((*path, "FunctionName"), f"there is no such function under Functions: {there}", name)


def _dict(document: Document, path: Path, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise document.refused(path, "an object is expected here", value)
    return value


def _check_keys(document: Document, path: Path, value: Mapping[str, Any], allowed: set[str] | frozenset[str]) -> None:
    for key in value:
        if key not in allowed:
            rule = f"there is no such key; there are {', '.join(sorted(allowed))}"
            raise document.refused((*path, key), rule)
