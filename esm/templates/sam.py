"""SAM: the functions of a template, made CloudFormation by AWS's own transform, aws-sam-translator.

The transform is given the functions alone, with what their mappings hang on: Globals, the events that are event source
mappings, code, settings. What else stands in the template (APIs, policies, state machines) cannot make it fail.
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path as FilePath
from typing import Any

from esm.errors import NotInstalledError, TemplateError
from esm.templates.code import LOCAL
from esm.templates.document import Document, Path
from esm.templates.properties import coerced
from esm.templates.template import Options, Template

__all__ = ["compiled", "is_sam"]

_FUNCTION, _MAPPING = "AWS::Serverless::Function", "AWS::Lambda::EventSourceMapping"
_SERVERLESS = "AWS::Serverless::"
_IMPLICIT = ("ServerlessDeploymentApplication", "ServerlessHttpApi", "ServerlessRestApi")
"""What the transform makes of a resource begins with that one's id; these it makes of events and settings.

https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-specification-generated-resources.html
"""
_EVENTS = frozenset({"DocumentDB", "DynamoDB", "Kinesis", "MQ", "MSK", "SQS", "SelfManagedKafka"})
"""https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-eventsource.html"""
_KEPT = frozenset(
    {
        "AutoPublishAlias",
        "CodeUri",
        "Environment",
        "Events",
        "FunctionName",
        "Handler",
        "ImageUri",
        "InlineCode",
        "Layers",
        "MemorySize",
        "PackageType",
        "ReservedConcurrentExecutions",
        "Runtime",
        "Timeout",
    }
)
"""The properties of a function that its mappings and its calls hang on."""
_BUCKET = "esm.local"
"""Stands for the bucket of code that lies beside the template: the transform wants an S3 address."""
_ROLE = "arn:aws:iam::000000000000:role/esm"
"""Keeps the transform from making a role, and from the policies that it would have."""
_NAMED = re.compile(r"\[([^\[\]]+)\]")
_PROPERTY = re.compile(r"\b[Pp]roperty '?([A-Za-z]+)")


def is_sam(value: Mapping[str, Any]) -> bool:
    """Whether a template is SAM's."""
    transform = value.get("Transform")
    named = transform if isinstance(transform, list) else [transform]
    if any(isinstance(each, str) and each.startswith("AWS::Serverless-") for each in named):
        return True
    resources = value.get("Resources")
    return isinstance(resources, dict) and any(_is_function(resource) for resource in resources.values())


def compiled(document: Document, folder: FilePath, options: Options) -> Template:
    """The template after the transform. Raises `TemplateError`, `NotInstalledError`."""
    if find_spec("samtranslator") is None:
        raise NotInstalledError(document.file, "aws-sam-translator", "templates")
    given = document.value["Resources"]
    if not isinstance(given, dict):
        raise document.refused(("Resources",), "Template format error: Resources must be an object", given)
    region = options.region_or(None)
    code = _Code()
    functions = {key: _reduced(resource, code) for key, resource in given.items() if _is_function(resource)}
    made = _transformed(document, functions, code, region, options) if functions else {}
    resources = {**{key: resource for key, resource in given.items() if key not in functions}, **made}
    return Template(
        document=document,
        dialect="SAM",
        body={**document.value, "Resources": resources},
        folder=folder,
        stack_name=options.stack_name_or(document.file, folder),
        region=region,
        origins=_origins(functions),
        generated=(*_IMPLICIT, *(key for key, resource in given.items() if _is_serverless(resource))),
    )


def _is_function(resource: Any) -> bool:
    return isinstance(resource, dict) and resource.get("Type") == _FUNCTION


def _is_serverless(resource: Any) -> bool:
    return isinstance(resource, dict) and str(resource.get("Type")).startswith(_SERVERLESS)


def _mappings(resources: Mapping[str, Any]) -> dict[str, Any]:
    """The mappings that are resources themselves: the transform knows what their `!Ref Function.Alias` is."""
    return {
        key: deepcopy(resource)
        for key, resource in resources.items()
        if isinstance(resource, dict)
        and resource.get("Type") == _MAPPING
        and isinstance(resource.get("Properties"), dict)
    }


class _Code:
    """What stood where the transform wants an S3 address: a path, or an address that is none of this machine's."""

    def __init__(self) -> None:
        self._kept: list[Any] = []

    def keep(self, code: Any) -> str:
        self._kept.append(code)
        return f"s3://{_BUCKET}/{len(self._kept) - 1}"

    def put_back(self, resource: dict[str, Any]) -> None:
        code = resource.get("Properties", {}).get("Code")
        if isinstance(code, dict) and code.get("S3Bucket") == _BUCKET:
            kept = self._kept[int(code["S3Key"])]
            # An address of three parts is in S3; a path, or a function that gives one, is beside the template.
            in_s3 = isinstance(kept, dict) and "Bucket" in kept
            resource["Properties"]["Code"] = kept if in_s3 else {LOCAL: kept}


def _reduced(resource: Mapping[str, Any], code: _Code) -> dict[str, Any]:
    """A function with what is kept of it."""
    kept = {key: resource[key] for key in ("Type", "Condition", "Metadata") if key in resource}
    properties = resource.get("Properties")
    if not isinstance(properties, dict):
        return {**kept, "Properties": properties}
    return {**kept, "Properties": {**_properties(properties, code), "Role": _ROLE}}


def _properties(properties: Mapping[str, Any], code: _Code) -> dict[str, Any]:
    kept = {key: coerced(key, value) for key, value in properties.items() if key in _KEPT}
    if "CodeUri" in kept:
        kept["CodeUri"] = code.keep(kept["CodeUri"])
    if isinstance(kept.get("Events"), dict):
        kept["Events"] = {key: _event(event) for key, event in kept["Events"].items() if _is_mapping(event)}
    return kept


def _is_mapping(event: Any) -> bool:
    """Whether an event is a mapping; what is no event at all is left for the transform to refuse."""
    return not isinstance(event, dict) or not isinstance(event.get("Type"), str) or event["Type"] in _EVENTS


def _event(event: Any) -> Any:
    properties = event.get("Properties") if isinstance(event, dict) else None
    if not isinstance(properties, dict):
        return event
    return {**event, "Properties": {key: coerced(key, value) for key, value in properties.items()}}


def _transformed(
    document: Document, functions: dict[str, Any], code: _Code, region: str, options: Options
) -> dict[str, Any]:
    given = {key: value for key, value in document.value.items() if key in ("Conditions", "Mappings", "Parameters")}
    resources = {**_mappings(document.value["Resources"]), **_with_code(document, functions, code)}
    given |= {"Transform": "AWS::Serverless-2016-10-31", "Resources": resources}
    shared = _globals(document, code)
    if shared:
        given["Globals"] = {"Function": shared}
    made = _translate(document, given, region, dict(options.parameters))
    for key, resource in made.items():
        code.put_back(resource)
        if key in functions and "Metadata" in functions[key]:
            resource["Metadata"] = functions[key]["Metadata"]
    return made


def _globals(document: Document, code: _Code) -> dict[str, Any]:
    shared = document.value.get("Globals")
    if shared is None:
        return {}
    function = shared.get("Function", {}) if isinstance(shared, dict) else None
    if not isinstance(function, dict):
        raise document.refused(("Globals",), "Globals must be an object of objects", shared)
    return _properties({key: value for key, value in function.items() if key != "Events"}, code)


def _with_code(document: Document, functions: dict[str, Any], code: _Code) -> dict[str, Any]:
    """The functions, each with code: one that names none has the template's own folder."""
    shared = document.value.get("Globals")
    function = shared.get("Function") if isinstance(shared, dict) else None
    if isinstance(function, dict) and {"CodeUri", "ImageUri", "PackageType"} & set(function):
        return functions
    for resource in functions.values():
        properties = resource["Properties"]
        if isinstance(properties, dict) and not {"CodeUri", "ImageUri", "InlineCode"} & set(properties):
            image = properties.get("PackageType") == "Image"
            properties |= {"ImageUri": "local"} if image else {"CodeUri": code.keep(".")}
    return functions


def _translate(document: Document, given: dict[str, Any], region: str, parameters: dict[str, str]) -> dict[str, Any]:
    """The resources that AWS's transform makes. It is given all it needs, and asks nobody."""
    from samtranslator.metrics.metrics import DummyMetricsPublisher, Metrics  # noqa: PLC0415  # an extra
    from samtranslator.model.exceptions import ExceptionWithMessage  # noqa: PLC0415  # as above
    from samtranslator.parser.parser import Parser  # noqa: PLC0415  # as above
    from samtranslator.translator.translator import Translator  # noqa: PLC0415  # as above

    metrics = Metrics("esm", DummyMetricsPublisher())  # what it would tell AWS of itself goes nowhere
    translator = Translator({}, Parser(), boto_session=_Region(region), metrics=metrics)
    try:
        resources = translator.translate(given, parameters)["Resources"]
    except ExceptionWithMessage as error:
        causes = getattr(error, "causes", None) or [error]
        raise _refused(document, [cause.message for cause in causes]) from None
    except Exception as error:  # noqa: BLE001  # it is made for honest templates, and raises anything for others
        rule = f"the SAM transform cannot read this template ({type(error).__name__})"
        raise document.refused(("Resources",), rule) from None
    finally:
        metrics.publish()
    return dict(resources)


class _Region:
    """All that the transform asks a session of the SDK for."""

    def __init__(self, region_name: str) -> None:
        self.region_name = region_name


def _refused(document: Document, messages: list[str]) -> TemplateError:
    """The first fault that the transform found, at the function or event that it names."""
    first = min(messages)
    more = f" (and {len(messages) - 1} more)" if len(messages) > 1 else ""
    path, value = _with_property(document, _place(document, _NAMED.findall(first)), first)
    return document.refused(path, " ".join(first.split()) + more, value)


def _with_property(document: Document, path: Path, message: str) -> tuple[Path, Any]:
    """The place of the property that the message names, and what stands there; `path` as it is when there is none."""
    found: Any = document.value
    for key in (*path, "Properties"):
        found = found.get(key) if isinstance(found, dict) else None
    named = _PROPERTY.search(message)
    if named is None or not isinstance(found, dict) or found.get(named[1]) is None:
        return path, None
    return (*path, "Properties", named[1]), found[named[1]]


def _place(document: Document, names: list[str]) -> Path:
    """Where a function stands that the transform names, or an event, which it names after both or behind it."""
    wanted = {names[0], "".join(names[:2])} if names else set()
    found: Path = ("Resources",)
    for function, resource in document.value["Resources"].items():
        path: Path = ("Resources", function)
        if function in wanted:
            found = path
        properties = resource.get("Properties") if _is_function(resource) else None
        events = properties.get("Events") if isinstance(properties, dict) else None
        for event in events if isinstance(events, dict) else ():
            if f"{function}{event}" in wanted:
                return (*path, "Properties", "Events", event)
    return found


def _origins(functions: Mapping[str, Any]) -> dict[Path, Path]:
    origins: dict[Path, Path] = {}
    for function, resource in functions.items():
        properties = resource["Properties"]
        events = properties.get("Events") if isinstance(properties, dict) else None
        for event, given in (events if isinstance(events, dict) else {}).items():
            source = "Queue" if isinstance(given, dict) and given.get("Type") == "SQS" else "Stream"
            made: Path = ("Resources", f"{function}{event}")
            here: Path = ("Resources", function, "Properties", "Events", event)
            origins[made] = here
            origins[*made, "Properties", "EventSourceArn"] = (*here, "Properties", source)
            origins[*made, "Properties", "FunctionName"] = ("Resources", function)
        origins["Resources", function, "Properties", "Code"] = ("Resources", function, "Properties", "CodeUri")
    return origins
