"""Where the code of a template's functions and layers is on this machine.

A path is CloudFormation's before `aws cloudformation package` (`Code: src`), SAM's `CodeUri`, or the asset that the CDK
put beside its template. https://docs.aws.amazon.com/cdk/v2/guide/assets.html
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from esm.templates.document import Path
from esm.templates.intrinsics import Scope
from esm.templates.template import Unresolved

__all__ = ["LAYERS", "LOCAL", "Code", "function_code", "layer_folders", "located"]

LOCAL = "Local"
"""Our own key of `Code` and `Content`: a path beside the template, as another dialect wrote it."""
LAYERS = ("AWS::Lambda::LayerVersion", "AWS::Serverless::LayerVersion")

_ASSET = "aws:asset:path"
_CONTENT = {"AWS::Lambda::LayerVersion": "Content", "AWS::Serverless::LayerVersion": "ContentUri"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """What a function's modules are found in. `folders`: for `sys.path`, in order; the first is its own code.

    `inline`: the text of its one module, `index`, when the template holds it; `folders` are then its layers' alone.
    """

    folders: tuple[FilePath, ...] = ()
    inline: str | None = None


def function_code(scope: Scope, logical_id: str, resource: Mapping[str, Any]) -> Code:
    """A function's own code. Raises `Unresolved` when it is not on this machine."""
    path: Path = ("Resources", logical_id, "Properties", "Code")
    code = _properties(resource).get("Code")
    if isinstance(code, dict) and "ZipFile" in code:
        return Code(inline=scope.text(code["ZipFile"], (*path, "ZipFile")))
    asset = _asset(resource, "Code")
    if asset is None and isinstance(code, dict) and "ImageUri" in code:
        raise Unresolved("it is a container image, and only Python code runs here")
    if asset is None and isinstance(code, dict) and LOCAL not in code:
        raise Unresolved("its code is in S3, not beside the template")
    local = asset or scope.text(code.get(LOCAL) if isinstance(code, dict) else code or ".", path)
    return Code(folders=(_there(scope, local),))


def located(handler: str, code: Code) -> FilePath | None:
    """The file that holds a handler's module; `None` when it is in none of the folders. Nothing is imported."""
    module = handler.partition(":")[0] if ":" in handler else handler.rpartition(".")[0]
    parts = [part for part in module.replace("/", ".").split(".") if part]
    for folder in code.folders:
        if folder.is_file():  # a zip file: what is in it is found when it is imported
            return folder
        place = folder.joinpath(*parts)
        for file in (place.with_name(f"{place.name}.py"), place / "__init__.py"):
            if parts and file.is_file():
                return file
    return None


def layer_folders(scope: Scope, logical_id: str, resource: Mapping[str, Any]) -> Iterator[FilePath]:
    """What a layer brings to `sys.path`: its folders of Python modules.

    https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html
    """
    name = _CONTENT[str(resource.get("Type"))]
    content = _properties(resource).get(name)
    if isinstance(content, dict) and LOCAL in content:
        content = content[LOCAL]
    local = _asset(resource, name) or (content if isinstance(content, str) else None)
    if local is None:
        raise Unresolved(f"layer {logical_id} is in S3, not beside the template")
    folder = _there(scope, local)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    places = (folder / "python", folder / "python" / "lib" / version / "site-packages")
    # A layer that `sam build` has yet to build has its modules at its top.
    found = [place for place in places if place.is_dir()] or [folder]
    yield from found


def _there(scope: Scope, local: str) -> FilePath:
    if local.startswith(("s3://", "http://", "https://")):
        raise Unresolved(f"its code is at {local[:100]}, not beside the template")
    if "\0" in local:
        raise Unresolved("its code is in no folder of this machine")
    folder = (scope.template.folder / local).absolute()
    try:
        there = folder.exists()
    except OSError:
        there = False
    if not there:
        raise Unresolved(f"its code is not there: {local[:100]}")
    return folder.resolve()


def _asset(resource: Mapping[str, Any], name: str) -> str | None:
    metadata = resource.get("Metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get(_ASSET), str):
        return None
    property_ = metadata.get("aws:asset:property", name)
    asset: str = metadata[_ASSET]
    return asset if isinstance(property_, str) and property_.split(".")[0] == name else None


def _properties(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = resource.get("Properties")
    return properties if isinstance(properties, dict) else {}
