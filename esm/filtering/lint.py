"""Warnings about patterns that AWS accepts and that can never match, or that match every record.

https://docs.aws.amazon.com/lambda/latest/dg/with-ddb-filtering.html names the commonest: a DynamoDB attribute without
its type tag, a `numeric` on a number that DynamoDB writes as text, an `exists` on an object.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from esm.arn import SourceKind
from esm.filtering.criteria import FilterCriteria
from esm.filtering.leaf import matcher_test, takes_absence
from esm.filtering.number import Inexact
from esm.filtering.operators import Matcher, Range
from esm.filtering.pattern import Leaf, Rule
from esm.filtering.view import VIEWS, look_of
from esm.mapping.limits import Limits

__all__ = ["Warned", "lint"]


@dataclass(frozen=True, slots=True)
class Warned:
    """One leaf or key that cannot do what its author wants.

    `filter`: the filter's number, from 1. `place`: where in its pattern. `effect`: whether the leaf there never matches
    or always does. `message`: why, and what to write instead.
    """

    filter: int
    place: str
    effect: Literal["never", "always"]
    message: str

    def __str__(self) -> str:
        """All of it in one line."""
        return f"filter {self.filter}, {self.place}: {self.effect} matches; {self.message}"


def lint(
    filters: Iterable[str | Mapping[str, Any]], source: SourceKind, *, limits: Limits | None = None
) -> list[Warned]:
    """What is suspicious about the filters, in their order; empty when nothing is.

    Raises:
        MappingError: a pattern is one that AWS would refuse.
    """
    found: dict[Warned, None] = {}
    for number, pattern in enumerate(FilterCriteria(filters, source, limits=limits).patterns, 1):
        for rule in pattern.rules:
            for leaf, problem in _problems(rule, source):
                effect: Literal["never", "always"] = (
                    "always" if problem.holds and takes_absence(leaf.matchers) else "never"
                )
                found[Warned(number, leaf.place, problem.always or effect, problem.message)] = None
    return list(found)


@dataclass(frozen=True, slots=True)
class _Problem:
    """`holds`: no value can ever stand there, so that absence is certain. `always`: it matches whatever comes."""

    message: str
    holds: bool = False
    always: Literal["always"] | None = None


def _problems(rule: Rule, source: SourceKind) -> Iterator[tuple[Leaf, _Problem]]:
    view = VIEWS[source]
    if look_of(rule, view) == "never":
        yield rule[view.data_key], _Problem(f"{view.data_key} cannot be plain text and JSON at once")
    for path, leaf in rule.items():
        problem = next((p for check in _CHECKS if (p := check(source, path.split("."), leaf))), None)
        if problem:
            yield leaf, problem


_Check = Callable[[SourceKind, list[str], Leaf], _Problem | None]


def _unknown_key(source: SourceKind, steps: list[str], _leaf: Leaf) -> _Problem | None:
    keys = VIEWS[source].keys
    if steps[0] in keys:
        return None
    if source == "kinesis" and steps[0] == "kinesis":
        return _Problem("a pattern sees the fields of the kinesis object at top level, without kinesis", holds=True)
    return _Problem(f"no {source} record has the key {_meant(steps[0], keys)}", holds=True)


def _meant(key: str, keys: Collection[str]) -> str:
    """The key, and which of those that there are may be meant."""
    by_fold = {each.casefold(): each for each in keys}
    near = get_close_matches(key.casefold(), by_fold, 1)
    return key[:60] + (f"; {by_fold[near[0]]} is near" if near else f"; there are {', '.join(sorted(keys))}")


_CHANGE_KEYS = ("ApproximateCreationDateTime", "Keys", "NewImage", "OldImage", "SequenceNumber", "SizeBytes")
_INNER = {
    ("dynamodb", "dynamodb"): (*_CHANGE_KEYS, "StreamViewType"),
    ("dynamodb", "userIdentity"): ("principalId", "type"),
}
"""What stands in an object of which all keys are known."""

_ATTRIBUTE = ("binaryListValues", "binaryValue", "dataType", "stringListValues", "stringValue")


def _unknown_inner_key(source: SourceKind, steps: list[str], _leaf: Leaf) -> _Problem | None:
    keys = _INNER.get((source, steps[0]))
    if keys and len(steps) > 1 and steps[1] not in keys:
        return _Problem(f"no {source} record has the key {_meant(steps[1], keys)}, in {steps[0]}", holds=True)
    return _of_an_attribute(steps) if steps[0] == "messageAttributes" and len(steps) > 1 else None


def _of_an_attribute(steps: list[str]) -> _Problem | None:
    *above, last = steps
    if len(above) == 1:
        said = 'is an object, because a value stands below its kind; write {"stringValue": [...]}'
        return _Problem(f"messageAttributes.{last} {said}", holds=True)
    if last not in _ATTRIBUTE:
        return _Problem(f"no message attribute has the key {_meant(last, _ATTRIBUTE)}", holds=True)
    return None


_OBJECTS = {
    "dynamodb": {"dynamodb", "dynamodb.Keys", "dynamodb.NewImage", "dynamodb.OldImage", "userIdentity"},
    "kinesis": set[str](),
    "sqs": {"attributes", "messageAttributes"},
}


def _on_an_object(source: SourceKind, steps: list[str], _leaf: Leaf) -> _Problem | None:
    path = ".".join(steps)
    if path not in _OBJECTS[source]:
        return None
    return _Problem(f"{path} is an object, and a leaf matches values alone; name one of its keys", holds=True)


_TAGS: dict[str, type] = dict.fromkeys(("S", "N", "B", "SS", "NS", "BS"), str) | dict.fromkeys(("BOOL", "NULL"), bool)
_IMAGES = {"Keys", "NewImage", "OldImage"}


_TAG = 3  # dynamodb, image, attribute, and only then a type tag


def _without_tag(source: SourceKind, steps: list[str], _leaf: Leaf) -> _Problem | None:
    if source != "dynamodb" or steps[0] != "dynamodb" or steps[1] not in _IMAGES:
        return None
    if len(steps) > _TAG and steps[-1] in _TAGS:
        return None
    path = ".".join(steps)
    return _Problem(f'{path} is an object, because a value stands below its type tag; write {{"S": [...]}}', holds=True)


def _wrong_kind(source: SourceKind, steps: list[str], leaf: Leaf) -> _Problem | None:
    kind = _kind_at(source, steps)
    if kind is None or takes_absence(leaf.matchers) or any(_may_be(matcher, kind) for matcher in leaf.matchers):
        return None
    if source == "dynamodb" and steps[-1] in {"N", "NS"}:
        return _Problem('DynamoDB writes numbers as text, which numeric and bare numbers never match; write ["100"]')
    names = {str: "a string", bool: "true or false", float: "a number"}
    return _Problem(f"the value there is {names[kind]}, which no entry of this leaf takes")


def _kind_at(source: SourceKind, steps: list[str]) -> type | None:
    """What kind of value can stand at a path; `None` when any can."""
    if steps[0] == VIEWS[source].data_key != "dynamodb":
        return str if len(steps) == 1 else None
    if source == "dynamodb" and len(steps) > _TAG:
        return _TAGS.get(steps[-1])
    return float if steps[-1] in {"ApproximateCreationDateTime", "SizeBytes", "approximateArrivalTimestamp"} else str


def _may_be(matcher: Matcher, kind: type) -> bool:
    """Whether a matcher takes some value of a kind."""
    if matcher.operator == "equals":
        return isinstance(matcher.operand, (int, float, Inexact) if kind is float else kind) and (
            kind is bool or not isinstance(matcher.operand, bool)
        )
    if isinstance(matcher.operand, Range):
        return kind is float
    if matcher.operator == "exists" or matcher.operator.startswith("anything-but"):
        return True
    return kind is str


_EVENT_NAMES = {
    "dynamodb": ("INSERT", "MODIFY", "REMOVE"),
    "kinesis": ("aws:kinesis:record",),
}


def _event_name(source: SourceKind, steps: list[str], leaf: Leaf) -> _Problem | None:
    if steps != ["eventName"] or takes_absence(leaf.matchers):
        return None
    names = _EVENT_NAMES[source]
    taken = [name for name in names if any(matcher_test(matcher)(name) for matcher in leaf.matchers)]
    if not taken:
        return _Problem(f"eventName is {' or '.join(names)}")
    return _Problem("every eventName fits", always="always") if len(taken) == len(names) else None


def _any_or_none(_source: SourceKind, _steps: list[str], leaf: Leaf) -> _Problem | None:
    if takes_absence(leaf.matchers) and Matcher("exists", operand=True) in leaf.matchers:
        return _Problem("a value there fits, and so does none", always="always")
    return None


_CHECKS: tuple[_Check, ...] = (
    _unknown_key,
    _on_an_object,
    _unknown_inner_key,
    _without_tag,
    _event_name,
    _wrong_kind,
    _any_or_none,
)
