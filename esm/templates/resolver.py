"""Replaces a template's functions by what they give.

Only what is asked for is resolved: what a mapping does not need may hang on anything. What is wrong refuses the file
(`TemplateError`, in CloudFormation's words); what is only unknown here raises `Unresolved`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from esm.templates.conditions import Conditions
from esm.templates.document import Path
from esm.templates.intrinsics import FUNCTIONS, NO_VALUE
from esm.templates.names import Names, partition_of
from esm.templates.parameters import Parameters, as_text
from esm.templates.template import Options, Template, Unresolved

__all__ = ["Resolver"]

_DYNAMIC = "{{resolve:"
_MOST_MADE = 4_194_304
"""Characters that all functions make together: four templates full (chosen)."""


class Resolver:
    """The functions of one template, and what they hang on."""

    def __init__(self, template: Template, options: Options) -> None:
        self.template = template
        self.options = options
        self.parameters = Parameters(template, options.parameters)
        self.names = Names(self)
        self._conditions = Conditions(self)
        self._pseudo = self._pseudo_parameters()
        self._made = 0

    def value(self, value: Any, path: Path) -> Any:
        """`value`, which stands at `path`, with every function replaced. `NO_VALUE` where it is not there at all."""
        if isinstance(value, dict):
            name = next(iter(value)) if len(value) == 1 else ""
            if name in FUNCTIONS:
                return FUNCTIONS[name](self, value[name], (*path, name))
            if name.startswith("Fn::"):
                raise Unresolved(f"{name[:80]} is known to CloudFormation alone")
            pairs = ((key, self.value(each, (*path, key))) for key, each in value.items())
            return {key: each for key, each in pairs if each is not NO_VALUE}
        if isinstance(value, list):
            found = [self.value(each, (*path, at)) for at, each in enumerate(value)]
            return [each for each in found if each is not NO_VALUE]
        if isinstance(value, str) and _DYNAMIC in value:
            raise Unresolved(f"a dynamic reference {_DYNAMIC}...}}}} is known to CloudFormation alone")
        return value

    def text(self, value: Any, path: Path) -> str:
        """As `value`, where only text will do."""
        found = self.value(value, path)
        if isinstance(found, dict | list) or found is None or found is NO_VALUE:
            shown = None if found is NO_VALUE else found
            raise self.template.refused(path, "a string is expected here", shown)
        return as_text(found)

    def made(self, text: str, path: Path) -> str:
        """The text, which a function made: a template that makes more than it could ever need is refused."""
        self._made += len(text)
        if self._made > _MOST_MADE:
            raise self.template.refused(path, f"its functions make more than {_MOST_MADE:,} characters")
        return text

    def condition(self, name: str, path: Path) -> bool:
        """Whether a condition of the template holds."""
        return self._conditions.holds(name, path)

    def ref(self, name: str, path: Path) -> Any:
        """What `Ref` gives: a parameter, a pseudo parameter, or the name of a resource."""
        if name in self.parameters:
            return self.parameters.value(name)
        if name in self._pseudo:
            return self._pseudo[name]
        if name in self.names:
            return self.names.ref(name)
        self._check_generated(name)
        rule = (
            f"Template format error: Unresolved resource dependencies [{name}] in the Resources block of the template"
        )
        raise self.template.refused(path, rule)

    def attribute(self, name: str, attribute: str, path: Path) -> str:
        """What `Fn::GetAtt` gives."""
        if name not in self.names:
            self._check_generated(name)
            rule = f"Template error: instance of Fn::GetAtt references undefined resource {name}"
            raise self.template.refused(path, rule)
        return self.names.attribute(name, attribute)

    def _check_generated(self, name: str) -> None:
        if name.startswith(self.template.generated):
            raise Unresolved(f"{name[:200]} is made when the template is deployed, and nothing is known of it here")

    def _pseudo_parameters(self) -> Mapping[str, Any]:
        template, account = self.template, self.options.account
        partition, suffix = partition_of(template.region)
        arn = f"arn:{partition}:cloudformation:{template.region}:{account}:stack/{template.stack_name}/local"
        return {
            "AWS::AccountId": account,
            "AWS::NoValue": NO_VALUE,
            "AWS::NotificationARNs": [],
            "AWS::Partition": partition,
            "AWS::Region": template.region,
            "AWS::StackId": arn,
            "AWS::StackName": template.stack_name,
            "AWS::URLSuffix": suffix,
        }
