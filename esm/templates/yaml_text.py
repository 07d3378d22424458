"""Reads YAML as CloudFormation does, and nothing that is only YAML's.

Plain text is a number, a flag or nothing where JSON would say so too; dates, `on`, `no`, `012` and `1:30` stay text.
Tags are CloudFormation's short forms. Aliases and merge keys are read, under the limits of the whole.
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/template-formats.html
"""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Any

import yaml

from esm.errors import TemplateError
from esm.templates.document import Node, number
from esm.templates.tree import Tree

__all__ = ["parse_yaml"]

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_WORDS = MappingProxyType(
    {
        "": None,
        "~": None,
        **dict.fromkeys(("null", "Null", "NULL")),
        **dict.fromkeys(("true", "True", "TRUE"), True),
        **dict.fromkeys(("false", "False", "FALSE"), False),
    }
)
_AS_THEY_ARE = ("Condition", "Ref")
_FUNCTIONS = (
    "And",
    "Base64",
    "Cidr",
    "Equals",
    "FindInMap",
    "GetAZs",
    "GetAtt",
    "If",
    "ImportValue",
    "Join",
    "Length",
    "Not",
    "Or",
    "Select",
    "Split",
    "Sub",
    "ToJsonString",
    "Transform",
)
_TAGS = {**{f"!{name}": name for name in _AS_THEY_ARE}, **{f"!{name}": f"Fn::{name}" for name in _FUNCTIONS}}
"""https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html"""
_MERGE = "<<"


def parse_yaml(text: str, file: str) -> Node:
    """The tree of one YAML document; an empty one is `None`. Raises `TemplateError`."""
    reader = _Reader(file)
    try:
        for event in _events(text):
            reader.take(event)
    except yaml.YAMLError as error:
        raise _not_yaml(error, text, file) from None
    return reader.tree.root or Node(None, 1, 1)


def _events(text: str) -> Iterator[Any]:
    loader = _LOADER(text)
    try:
        while loader.check_event():
            yield loader.get_event()
    finally:
        loader.dispose()


def _not_yaml(error: yaml.YAMLError, text: str, file: str) -> TemplateError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    if mark is not None and text[mark.index : mark.index + 1] == "\t":
        said = "a tab stands where YAML takes spaces"
    line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
    return TemplateError(f"not YAML: {said}", file=file, line=line, column=column)


class _Reader:
    """Takes event after event of YAML's parser, which itself never goes deeper than it is asked to."""

    def __init__(self, file: str) -> None:
        self.tree = Tree(file)
        self._anchors: dict[str, Node | None] = {}
        self._begun: list[tuple[str | None, str | None]] = []
        self._documents = 0

    def take(self, event: Any) -> None:
        """One event."""
        match event:
            case yaml.ScalarEvent():
                self._scalar(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._begin(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                anchor, tag = self._begun.pop()
                self._complete(self._merged(self.tree.end()), anchor, tag)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise self._refused(event, "more than one document")
            case _:
                pass

    def _scalar(self, event: Any) -> None:
        plain = event.implicit[0] and event.tag is None and not self.tree.wants_key
        value = _typed(event.value) if plain else event.value
        node = self.tree.add(value, *_place(event))
        self._complete(node, event.anchor, self._function(event))

    def _begin(self, event: Any) -> None:
        tag = self._function(event)
        empty: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        self.tree.begin(empty, *_place(event))
        self._begun.append((event.anchor, tag))
        if event.anchor is not None:
            self._anchors[event.anchor] = None

    def _complete(self, node: Node, anchor: str | None, tag: str | None) -> None:
        if tag is not None:
            node = Node({tag: _attribute(node) if tag == "Fn::GetAtt" else node}, node.line, node.column)
        if anchor is not None:
            self._anchors[anchor] = node
        self.tree.place(node)

    def _alias(self, event: Any) -> None:
        node = self._anchors.get(event.anchor)
        if node is None:
            known = "stands inside what it names" if event.anchor in self._anchors else "names nothing before it"
            raise self._refused(event, f"the alias *{event.anchor[:80]} {known}")
        self.tree.place(node)

    def _merged(self, node: Node) -> Node:
        """A dict with what its merge key brings; its own keys come before that. Raises when it brings no dict."""
        if not isinstance(node.value, dict) or _MERGE not in node.value:
            return node
        brought = node.value.pop(_MERGE)
        for each in brought.value if isinstance(brought.value, list) else [brought]:
            if not isinstance(each.value, dict):
                raise self.tree.refused("a merge key << takes dicts", brought.line, brought.column)
            self.tree.count(1 + len(each.value), brought.line, brought.column)
            for key, value in each.value.items():
                node.value.setdefault(key, value)
        return node

    def _function(self, event: Any) -> str | None:
        if event.tag is None or event.tag == "!":
            return None
        if event.tag not in _TAGS:
            raise self._refused(event, f"the tag {event.tag[:80]} is none of CloudFormation's short forms")
        return _TAGS[event.tag]

    def _refused(self, event: Any, rule: str) -> TemplateError:
        return self.tree.refused(rule, *_place(event))


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _typed(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    found = number(text)
    return text if found is None else found


def _attribute(node: Node) -> Node:
    """`Resource.Attribute` as the two that it names."""
    if not isinstance(node.value, str):
        return node
    return Node([Node(part, node.line, node.column) for part in node.value.split(".", 1)], node.line, node.column)
