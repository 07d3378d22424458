"""A template's conditions: whether they hold.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-conditions.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from esm.templates.document import Path
from esm.templates.intrinsics import Scope
from esm.templates.parameters import as_text
from esm.templates.template import Unresolved

__all__ = ["Conditions"]

_MAX_CHAIN = 40
"""Conditions that hang on each other (chosen)."""


class Conditions:
    """What the conditions of one template come to, each worked out once."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._declared = scope.template.section("Conditions")
        self._met: dict[str, bool | Unresolved] = {}
        self._open: list[str] = []

    def holds(self, name: str, path: Path) -> bool:
        """Whether the condition holds that is named at `path`. Raises `Unresolved` when it hangs on what is unknown."""
        if name not in self._declared:
            rule = f"Template format error: Unresolved condition dependencies [{name}]"
            raise self._scope.template.refused(path, rule)
        if name not in self._met:
            self._met[name] = self._found(name, path)
        met = self._met[name]
        if isinstance(met, Unresolved):
            raise met
        return met

    def _found(self, name: str, path: Path) -> bool | Unresolved:
        if name in self._open or len(self._open) > _MAX_CHAIN:
            raise self._scope.template.refused(path, f"Template error: Circular dependency of condition {name}")
        self._open.append(name)
        try:
            return self._of(self._declared[name], ("Conditions", name))
        except Unresolved as unknown:
            return unknown
        finally:
            self._open.pop()

    def _of(self, value: Any, path: Path) -> bool:
        name = next(iter(value)) if isinstance(value, dict) and len(value) == 1 else ""
        argument = value[name] if name else None
        if name == "Condition" and isinstance(argument, str):
            return self.holds(argument, path)
        if name == "Fn::Equals" and isinstance(argument, list) and len(argument) == 2:  # noqa: PLR2004  # two to compare
            one, other = (self._scope.value(each, (*path, name, at)) for at, each in enumerate(argument))
            return bool(_compared(one) == _compared(other))
        parts = argument if isinstance(argument, list) else []
        least, most, combine = _LOGIC.get(name, (1, 0, any))
        if not least <= len(parts) <= most:
            rule = "Template format error: a condition is one of Fn::And, Fn::Or, Fn::Not, Fn::Equals and Condition"
            raise self._scope.template.refused(path, rule)
        return combine(self._of(each, (*path, name, at)) for at, each in enumerate(parts))


def _compared(value: Any) -> Any:
    return as_text(value) if isinstance(value, bool | int | float) else value


_LOGIC: Mapping[str, tuple[int, int, Callable[[Any], bool]]] = MappingProxyType(
    {"Fn::And": (2, 10, all), "Fn::Or": (2, 10, any), "Fn::Not": (1, 1, lambda parts: not any(parts))}
)
