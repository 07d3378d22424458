"""The event source mappings of a template: each as it would run, or with why it cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from esm.arn import Arn
from esm.errors import MappingError, TemplateError
from esm.mapping.constraints import api_name, missing
from esm.mapping.settings import EventSourceMapping
from esm.mapping.wire import ELSEWHERE
from esm.templates.code import Code
from esm.templates.document import Document, Path
from esm.templates.lambdas import Lambda, Lambdas
from esm.templates.names import PENDING
from esm.templates.properties import OWN, PROPERTIES, settings
from esm.templates.resolver import Resolver
from esm.templates.template import Unresolved

__all__ = ["Planned", "planned", "resources"]

_TYPE = "AWS::Lambda::EventSourceMapping"
_GENERATED = "it is made by a loop (Fn::ForEach), which CloudFormation alone carries out: write the mapping out"
_OTHER_SOURCES = {
    "kafka": "Amazon MSK",
    "mq": "Amazon MQ",
    "rds": "Amazon DocumentDB",
}
_OTHER_SETTINGS = {
    "SelfManagedEventSource": "self-managed Kafka",
    "Topics": "Amazon MSK",
    "Queues": "Amazon MQ",
    "DocumentDBEventSourceConfig": "Amazon DocumentDB",
}
_ONLY = "only Kinesis and DynamoDB streams and SQS queues are read"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One mapping of a template.

    `mapping`: how it would run; `None` when its own settings hang on what is not known here. `refusal`: why it cannot
    run here, or not yet; `None`: it can. `notes`: what differs from Lambda and harms nothing. `line`: where it stands.
    `function_key`: what the file itself calls the function.
    """

    logical_id: str
    function_id: str | None = None
    function_key: str | None = None
    mapping: EventSourceMapping | None = None
    code: Code = field(default_factory=Code)
    refusal: str | None = None
    notes: tuple[str, ...] = ()
    line: int | None = None

    @property
    def is_pending(self) -> bool:
        """Whether the ARN of its table's stream is known only to the service."""
        return self.mapping is not None and self.mapping.event_source_arn.endswith(PENDING)

    @property
    def names(self) -> frozenset[str]:
        """What it is called on the command line: its own logical id, and the function's id and name."""
        named = {name for name in (self.logical_id, self.function_id, self.function_key) if name is not None}
        if self.mapping is not None:
            named |= {self.mapping.function.name, self.mapping.function.qualified_name}
            named |= set() if self.is_pending else {self.mapping.uuid}
        return frozenset(named)


def planned(resolver: Resolver) -> list[Planned]:
    """Every mapping of the template whose condition holds, in its order. Raises `TemplateError`."""
    lambdas = Lambdas(resolver, resolver.names)
    found = [
        _planned(resolver, lambdas, logical_id, resource)
        for logical_id, resource in resources(resolver)
        if resource["Type"] == _TYPE
    ]
    found += _generated(resolver.template.document)
    _check_distinct(resolver, found)
    return sorted(found, key=lambda each: each.line or 0)  # a transform has an order of its own


def _generated(document: Document) -> list[Planned]:
    """The loops that may make mappings: what they make is known to CloudFormation alone, and is said so.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/intrinsic-function-reference-foreach.html
    """
    given = document.value.get("Resources") if isinstance(document.value, dict) else None
    return [
        Planned(logical_id=name, refusal=_GENERATED, line=document.line(("Resources", name)))
        for name, loop in (given.items() if isinstance(given, dict) else ())
        if name.startswith("Fn::") and any(kind in str(loop) for kind in (_TYPE, "AWS::Serverless::Function"))
    ]


def resources(resolver: Resolver) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The resources that will be there, or of which that is not known. Raises `TemplateError` for what is none."""
    for logical_id, resource in resolver.template.section("Resources").items():
        path: Path = ("Resources", logical_id)
        if logical_id.startswith("Fn::"):
            continue  # a loop: see `_generated`
        if not isinstance(resource, dict) or not isinstance(resource.get("Type"), str):
            rule = (
                f"Template format error: [/Resources/{logical_id}] Every Resources object must contain a Type member."
            )
            raise resolver.template.refused(path, rule)
        if not isinstance(resource.get("Properties", {}), dict | None):
            raise resolver.template.refused((*path, "Properties"), "Properties must be an object")
        condition = resource.get("Condition")
        if isinstance(condition, str):
            try:
                if not resolver.condition(condition, (*path, "Condition")):
                    continue
            except Unresolved:
                pass  # what needs to know will say it
        yield logical_id, resource


def _planned(resolver: Resolver, lambdas: Lambdas, logical_id: str, resource: Mapping[str, Any]) -> Planned:
    path: Path = ("Resources", logical_id, "Properties")
    line = resolver.template.document.line(resolver.template.origin(path[:2]))
    lambda_: Lambda | None = None
    try:
        if isinstance(resource.get("Condition"), str):
            resolver.condition(resource["Condition"], (*path[:2], "Condition"))
        given = resource.get("Properties") or {}
        _check_known(resolver, given, path)
        if given.get("FunctionName") is None:
            raise _refused(resolver, missing("function"), path, given)
        lambda_ = _function(resolver, lambdas, given["FunctionName"], (*path, "FunctionName"))
        mapping = _mapping(resolver, lambda_, given, path)
    except Unresolved as unknown:
        function_id = lambda_.logical_id if lambda_ else None
        key = _function_key(resolver, function_id)
        return Planned(
            logical_id=logical_id, function_id=function_id, function_key=key, refusal=str(unknown), line=line
        )
    return Planned(
        logical_id=logical_id,
        function_id=lambda_.logical_id,
        function_key=_function_key(resolver, lambda_.logical_id),
        mapping=mapping,
        code=lambda_.code,
        refusal=lambda_.refusal,
        notes=lambda_.notes,
        line=line,
    )


def _function_key(resolver: Resolver, function_id: str | None) -> str | None:
    return None if function_id is None else str(resolver.template.origin(("Resources", function_id))[-1])


def _function(resolver: Resolver, lambdas: Lambdas, given: Any, path: Path) -> Lambda:
    try:
        return lambdas.named(resolver.text(given, path))
    except MappingError as error:  # an alias or a version as none can be
        raise resolver.template.refused(path, f"{error.message} [{error.code}]", error.value) from None


def _mapping(resolver: Resolver, lambda_: Lambda, given: Mapping[str, Any], path: Path) -> EventSourceMapping:
    _check_kind(given)
    value = resolver.value(dict(given), path)
    _check_source(value)
    config = settings(value)
    own = config.pop("OnDestinationFailure", None)
    try:
        return EventSourceMapping.from_api(config, function=lambda_.function, on_destination_failure=own)
    except MappingError as error:
        raise _refused(resolver, error, path, given) from None


def _check_known(resolver: Resolver, given: Mapping[str, Any], path: Path) -> None:
    known = PROPERTIES.union(ELSEWHERE) | (OWN if resolver.template.dialect == "esm" else set())
    for name in given:
        if name not in known:
            raise resolver.template.refused((*path, name), f"Encountered unsupported property {name[:80]}")


def _check_kind(given: Mapping[str, Any]) -> None:
    """Raises `Unresolved` for settings that only another kind of source has, whatever its ARN hangs on."""
    for name, kind in _OTHER_SETTINGS.items():
        if given.get(name):
            raise Unresolved(f"the source is {kind}: {_ONLY}")


def _check_source(value: Mapping[str, Any]) -> None:
    """Raises `Unresolved` for an ARN that is none of ours."""
    try:
        service = Arn.parse(str(value.get("EventSourceArn"))).service
    except ValueError:
        return
    if service in _OTHER_SOURCES:
        raise Unresolved(f"the source is {_OTHER_SOURCES[service]}: {_ONLY}")


def _refused(resolver: Resolver, error: MappingError, path: Path, given: Mapping[str, Any]) -> TemplateError:
    name = {"kms_key_arn": "KmsKeyArn"}.get(error.field or "") or api_name(error.field or "")
    place = (*path, name) if name in given else path
    return resolver.template.refused(place, f"{error.message} [{error.code}]", error.value)


def _check_distinct(resolver: Resolver, found: list[Planned]) -> None:
    seen: dict[tuple[str, str], str] = {}
    for each in found:
        if each.mapping is None:
            continue
        source, function = each.mapping.event_source_arn, each.mapping.function.qualified_name
        other = seen.setdefault((source, function), each.logical_id)
        if other != each.logical_id:
            rule = f"function {function} has a mapping of this source already: {other} [ResourceConflictException]"
            raise resolver.template.refused(("Resources", each.logical_id), rule, source)
