"""The values of a template's parameters: given, or their defaults.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
`AllowedPattern` is not looked at: a pattern may take for ever, and CloudFormation checks it where it counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from esm.errors import TemplateError
from esm.templates.document import number
from esm.templates.template import Template, Unresolved

__all__ = ["Parameters", "as_text"]

_SSM = "AWS::SSM::Parameter::"
_SECRET_LENGTH = 4


class Parameters:
    """What `Ref` gives for each parameter. Raises `TemplateError` for a value that a parameter does not take."""

    def __init__(self, template: Template, given: Mapping[str, str]) -> None:
        self._template = template
        self._declared = template.section("Parameters")
        unknown = sorted(set(given) - set(self._declared))
        if unknown and template.dialect in ("CloudFormation", "SAM"):
            raise template.refused(("Parameters",), f"Parameters: [{', '.join(unknown)}] do not exist in the template")
        self._values = {name: self._value(name, given.get(name)) for name in self._declared}

    def __contains__(self, name: str) -> bool:
        """Whether there is such a parameter."""
        return name in self._declared

    def value(self, name: str) -> str | list[str]:
        """The value of a parameter. Raises `Unresolved` when it has none."""
        value = self._values[name]
        if value is None:
            raise Unresolved(f"parameter {name} has no value: give --parameter {name}=VALUE")
        return value

    @property
    def secrets(self) -> list[str]:
        """The values that are to be shown nowhere, the longest first: of three characters hide none (chosen)."""
        values = [value for name, value in self._values.items() if value is not None and self._is_secret(name)]
        texts = {text for value in values for text in ([value] if isinstance(value, str) else value)}
        return sorted((text for text in texts if len(text) >= _SECRET_LENGTH), key=len, reverse=True)

    def _is_secret(self, name: str) -> bool:
        return as_text(self._declared[name].get("NoEcho")) in ("true", "yes")

    def _value(self, name: str, given: str | None) -> str | list[str] | None:
        declared = self._declared[name]
        if not isinstance(declared, dict) or not isinstance(declared.get("Type"), str):
            raise self._template.refused(
                ("Parameters", name), "Template format error: Every Parameters object must contain a Type member."
            )
        kind = declared["Type"]
        if given is None and kind.startswith(_SSM):
            return None  # the default names what holds the value, at AWS
        value = given if given is not None else self._default(name, declared)
        if value is None:
            return None
        self._check(name, declared, value)
        return [part.strip() for part in value.split(",")] if "List" in kind else value

    def _default(self, name: str, declared: Mapping[str, Any]) -> str | None:
        if "Default" not in declared:
            return None
        default = declared["Default"]
        if isinstance(default, dict | list) or default is None:
            rule = "Template format error: Every Default member must be a string."
            raise self._template.refused(("Parameters", name, "Default"), rule, default)
        return as_text(default)

    def _check(self, name: str, declared: Mapping[str, Any], value: str) -> None:
        allowed = declared.get("AllowedValues")
        if isinstance(allowed, list) and allowed:
            words = [as_text(each) for each in allowed if not isinstance(each, dict | list)]
            values = value.split(",") if "List" in declared["Type"] else [value]
            if any(each.strip() not in words for each in values):
                rule = f"Parameter '{name}' must be one of AllowedValues: {', '.join(words)}"
                raise self._refused(name, rule, value)
        if declared["Type"] == "Number":
            self._check_number(name, declared, value)
        for bound, wrong in (("MinLength", int.__gt__), ("MaxLength", int.__lt__)):
            limit = number(as_text(declared.get(bound, "")))
            if isinstance(limit, int) and declared["Type"] == "String" and wrong(limit, len(value)):
                raise self._refused(name, f"Parameter '{name}' must satisfy {bound} {limit}", value)

    def _check_number(self, name: str, declared: Mapping[str, Any], value: str) -> None:
        found = number(value)
        if found is None:
            raise self._refused(name, f"Parameter '{name}' must be a number.", value)
        for bound, wrong in (("MinValue", float.__gt__), ("MaxValue", float.__lt__)):
            limit = number(as_text(declared.get(bound, "")))
            if limit is not None and wrong(float(limit), float(found)):
                raise self._refused(name, f"Parameter '{name}' must satisfy {bound} {limit}", value)

    def _refused(self, name: str, rule: str, value: str) -> TemplateError:
        return self._template.refused(("Parameters", name), rule, None if self._is_secret(name) else value)


def as_text(value: Any) -> str:
    """A scalar as CloudFormation writes it: `true`, `5`, `1.10`; nothing for `None`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
