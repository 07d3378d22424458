"""CloudFormation's functions, each from its argument to what it gives.

What is wrong refuses the file, in CloudFormation's words; what is only unknown here raises `Unresolved`.
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Protocol

from esm.errors import TemplateError
from esm.templates.document import Path
from esm.templates.parameters import as_text
from esm.templates.template import Options, Template, Unresolved

__all__ = ["FUNCTIONS", "NO_VALUE", "UNKNOWN", "Scope"]

NO_VALUE: Any = object()
"""What `Ref: AWS::NoValue` gives: the property is not there."""
UNKNOWN = "esm::Unknown"
"""A function of our own, for what another dialect could not resolve: its argument says why."""

_MAX_TEXT = 1_048_576
"""Characters of one text: as many as a whole template may have."""
_DIGITS = 9


class Scope(Protocol):
    """What a function may ask of the template it stands in; see `Resolver`."""

    template: Template
    options: Options

    def value(self, value: Any, path: Path) -> Any:
        """A value without functions."""
        ...

    def text(self, value: Any, path: Path) -> str:
        """A text without functions."""
        ...

    def condition(self, name: str, path: Path) -> bool:
        """Whether a condition holds."""
        ...

    def ref(self, name: str, path: Path) -> Any:
        """A parameter's value or a resource's name."""
        ...

    def attribute(self, name: str, attribute: str, path: Path) -> str:
        """A resource's attribute."""
        ...

    def made(self, text: str, path: Path) -> str:
        """A text that a function made, counted."""
        ...


def _ref(scope: Scope, argument: Any, path: Path) -> Any:
    if not isinstance(argument, str):
        raise scope.template.refused(path, "Template error: every Ref object must have a single String value.")
    return scope.ref(argument, path)


def _get_att(scope: Scope, argument: Any, path: Path) -> str:
    parts = argument.split(".", 1) if isinstance(argument, str) else argument
    if not isinstance(parts, list) or len(parts) != 2 or not isinstance(parts[0], str):  # noqa: PLR2004  # name, attribute
        rule = (
            "Template error: every Fn::GetAtt object requires two non-empty parameters, the resource name and the "
            "resource attribute"
        )
        raise scope.template.refused(path, rule)
    return scope.attribute(parts[0], scope.text(parts[1], (*path, 1)), path)


def _sub(scope: Scope, argument: Any, path: Path) -> str:
    text, own = argument, {}
    if isinstance(argument, list) and len(argument) == 2 and isinstance(argument[1], dict):  # noqa: PLR2004  # text, map
        text, own = argument
    if not isinstance(text, str):
        rule = (
            "Template error: One or more Fn::Sub intrinsic functions don't specify expected arguments. Specify a "
            "string as first argument, and an optional second argument to specify a mapping of values to replace in "
            "the string"
        )
        raise scope.template.refused(path, rule)
    if "{{resolve:" in text:
        raise Unresolved("a dynamic reference {{resolve:...}} is known to CloudFormation alone")
    return _Substitution(scope, own, path).of(text)


class _Substitution:
    """The `${...}` of one text."""

    def __init__(self, scope: Scope, own: Mapping[str, Any], path: Path) -> None:
        self._scope, self._own, self._path = scope, own, path
        self._known: dict[str, str] = {}

    def of(self, text: str) -> str:
        first, *rest = text.split("${")
        parts, size = [first], len(first)
        for piece in rest:
            name, brace, after = piece.partition("}")
            if not brace:
                parts.append("${" + piece)
                continue
            value = "${" + name[1:] + "}" if name.startswith("!") else self._value(name.strip())
            size += len(value) + len(after)
            if size > _MAX_TEXT:
                raise _too_long(self._scope, self._path)
            parts += (value, after)
        return self._scope.made("".join(parts), self._path)

    def _value(self, name: str) -> str:
        if name not in self._known:
            self._known[name] = self._found(name)
        return self._known[name]

    def _found(self, name: str) -> str:
        if name in self._own:
            return self._scope.text(self._own[name], (*self._path, 1, name))
        if "." in name:
            resource, attribute = name.split(".", 1)
            return self._scope.attribute(resource, attribute, self._path)
        return self._scope.text(self._scope.ref(name, self._path), self._path)


def _join(scope: Scope, argument: Any, path: Path) -> str:
    rule = (
        "Template error: every Fn::Join object requires two parameters, (1) a string delimiter and (2) a list of "
        "strings to be joined or a function that returns a list of strings (such as Fn::GetAZs) to be joined."
    )
    delimiter, values = _pair(scope, argument, path, rule)
    found = scope.value(values, (*path, 1))
    if not isinstance(delimiter, str) or not isinstance(found, list) or any(isinstance(x, dict | list) for x in found):
        raise scope.template.refused(path, rule)
    texts = [as_text(each) for each in found]
    if sum(map(len, texts)) + len(delimiter) * len(texts) > _MAX_TEXT:
        raise _too_long(scope, path)
    return scope.made(delimiter.join(texts), path)


def _select(scope: Scope, argument: Any, path: Path) -> Any:
    rule = "Template error: Fn::Select requires a list argument with two elements: an integer index and a list"
    index, values = _pair(scope, argument, path, rule)
    position = scope.text(index, (*path, 0))
    found = scope.value(values, (*path, 1))
    if not position.isascii() or not position.isdecimal() or len(position) > _DIGITS or not isinstance(found, list):
        raise scope.template.refused(path, rule)
    if int(position) >= len(found):
        rule = f"Template error: Fn::Select cannot select nonexistent value at index {position}"
        raise scope.template.refused(path, rule)
    return found[int(position)]


def _split(scope: Scope, argument: Any, path: Path) -> list[str]:
    rule = (
        "Template error: every Fn::Split object requires two parameters, (1) a string delimiter and (2) a string to "
        "be split or a function that returns a string to be split."
    )
    delimiter, value = _pair(scope, argument, path, rule)
    if not isinstance(delimiter, str) or not delimiter:
        raise scope.template.refused(path, rule)
    return scope.made(scope.text(value, (*path, 1)), path).split(delimiter)


def _if(scope: Scope, argument: Any, path: Path) -> Any:
    if not isinstance(argument, list) or len(argument) != 3 or not isinstance(argument[0], str):  # noqa: PLR2004  # if, then, else
        raise scope.template.refused(path, "Template error: Fn::If requires a condition's name and two values")
    chosen = 1 if scope.condition(argument[0], path) else 2
    return scope.value(argument[chosen], (*path, chosen))


def _find_in_map(scope: Scope, argument: Any, path: Path) -> Any:
    if not isinstance(argument, list) or len(argument) not in (3, 4):
        rule = (
            "Template error: every Fn::FindInMap object requires three parameters, the map name, map key and the "
            "attribute for return value"
        )
        raise scope.template.refused(path, rule)
    keys = [scope.text(each, (*path, at)) for at, each in enumerate(argument[:3])]
    found: Any = scope.template.section("Mappings")
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    if found is not None:
        return found
    if len(argument) == 4 and isinstance(argument[3], dict) and "DefaultValue" in argument[3]:  # noqa: PLR2004  # the last
        return scope.value(argument[3]["DefaultValue"], (*path, 3, "DefaultValue"))
    raise scope.template.refused(path, f"Template error: Unable to get mapping for {'::'.join(keys)}")


def _import_value(scope: Scope, argument: Any, path: Path) -> str:
    name = scope.text(argument, path)
    if name not in scope.options.imports:
        raise Unresolved(f"the export {name[:200]!r} is of another stack: give its value in the file of --imports")
    return scope.options.imports[name]


def _base64(scope: Scope, argument: Any, path: Path) -> str:
    return base64.b64encode(scope.made(scope.text(argument, path), path).encode()).decode()


def _length(scope: Scope, argument: Any, path: Path) -> int:
    found = scope.value(argument, path)
    if not isinstance(found, list):
        raise scope.template.refused(path, "Template error: Fn::Length requires a list")
    return len(found)


def _to_json(scope: Scope, argument: Any, path: Path) -> str:
    found = scope.value(argument, path)
    if found is NO_VALUE:
        raise scope.template.refused(path, "Template error: Fn::ToJsonString requires an object or an array")
    parts, size = [], 0
    for part in json.JSONEncoder(separators=(",", ":")).iterencode(found):
        size += len(part)
        if size > _MAX_TEXT:
            raise _too_long(scope, path)
        parts.append(part)
    return scope.made("".join(parts), path)


def _unknown(_: Scope, argument: Any, __: Path) -> Any:
    raise Unresolved(as_text(argument))


def _too_long(scope: Scope, path: Path) -> TemplateError:
    return scope.template.refused(path, f"a text of more than {_MAX_TEXT:,} characters")


def _pair(scope: Scope, argument: Any, path: Path, rule: str) -> tuple[Any, Any]:
    if not isinstance(argument, list) or len(argument) != 2:  # noqa: PLR2004  # a pair
        raise scope.template.refused(path, rule)
    return argument[0], argument[1]


FUNCTIONS: Mapping[str, Callable[[Scope, Any, Path], Any]] = MappingProxyType(
    {
        "Ref": _ref,
        "Fn::Base64": _base64,
        "Fn::FindInMap": _find_in_map,
        "Fn::GetAtt": _get_att,
        "Fn::If": _if,
        "Fn::ImportValue": _import_value,
        "Fn::Join": _join,
        "Fn::Length": _length,
        "Fn::Select": _select,
        "Fn::Split": _split,
        "Fn::Sub": _sub,
        "Fn::ToJsonString": _to_json,
        UNKNOWN: _unknown,
    }
)
