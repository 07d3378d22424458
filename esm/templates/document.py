"""A file of settings as plain values, and where in the file each of them stands.

Whatever the file's form is, it becomes a tree of `Node`s first, under limits that no honest template comes near; then
plain dicts, lists, text, numbers, flags and `None`. An alias of YAML is a node that stands at several places, and is
counted at each of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from esm.errors import TemplateError

__all__ = ["MAX_BYTES", "MAX_DEPTH", "MAX_NODES", "Document", "Figure", "Node", "Path", "number"]

MAX_BYTES = 1_048_576
"""A template in S3: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html"""
MAX_DEPTH = 64
"""Dicts and lists within each other (chosen; CloudFormation's own templates stay below 20)."""
MAX_NODES = 50_000
"""Values in a file, an alias counted as all that it stands for (chosen: 500 resources of 100 values)."""

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indices from the top of a document."""

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_FRACTION = re.compile(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30}([eE][-+]?[0-9]{1,3})?|[eE][-+]?[0-9]{1,3})")


class Figure(float):
    """A number that is not whole, and its text: `1.10` is `1.10` again where text is taken."""

    __slots__ = ("text",)

    def __new__(cls, text: str) -> Self:
        """The number that `text` writes."""
        figure = super().__new__(cls, text)
        figure.text = text
        return figure

    text: str

    def __str__(self) -> str:
        """As it was written."""
        return self.text


def number(text: str) -> int | float | None:
    """What JSON reads in `text`; `None` when that is no number, or none that a machine can hold exactly enough."""
    if _WHOLE.fullmatch(text):
        return int(text)
    if _FRACTION.fullmatch(text) and math.isfinite(float(text)):
        return Figure(text)
    return None


@dataclass(slots=True, eq=False)
class Node:
    """One value of a file. `value`: a scalar, a dict of nodes or a list of them; `line` and `column` count from 1."""

    value: Any
    line: int | None
    column: int | None

    def child(self, key: str | int) -> Node | None:
        """The node under a key, or at an index; `None` when there is none."""
        if isinstance(self.value, dict):
            found = self.value.get(str(key))
            return found if isinstance(found, Node) else None
        if isinstance(self.value, list) and isinstance(key, int) and 0 <= key < len(self.value):
            item: Node = self.value[key]
            return item
        return None


class Document:
    """A file that was read. `file`: its name, as it was given; `value`: what it says, in plain values."""

    def __init__(self, file: str, root: Node) -> None:
        self.file = file
        self._root = root
        self.value = self._plain()

    def refused(self, path: Path, rule: str, value: object = None) -> TemplateError:
        """The refusal of the file for what stands at `path`, or should; its place is the nearest that exists."""
        node = self._nearest(path)
        return TemplateError(rule, file=self.file, path=path, line=node.line, column=node.column, value=value)

    def line(self, path: Path) -> int | None:
        """The line of what stands at `path`, or of what is nearest to it."""
        return self._nearest(path).line

    def _nearest(self, path: Path) -> Node:
        node = self._root
        for key in path:
            child = node.child(key)
            if child is None:
                break
            node = child
        return node

    def _plain(self) -> Any:
        """The values without their places. Without recursion: the depth of what aliases stand for is not known yet."""
        top: list[Any] = [None]
        waiting: list[tuple[Node, Any, Any, int]] = [(self._root, top, 0, 0)]
        count = 0
        while waiting:
            node, into, key, depth = waiting.pop()
            count += 1
            if count > MAX_NODES or depth > MAX_DEPTH:
                raise self._too_much(node, depth)
            children = _children(node)
            into[key] = _empty(node)
            waiting.extend((child, into[key], name, depth + 1) for name, child in children)
        return top[0]

    def _too_much(self, node: Node, depth: int) -> TemplateError:
        rule = f"nested more than {MAX_DEPTH} levels deep" if depth > MAX_DEPTH else f"more than {MAX_NODES:,} values"
        return TemplateError(rule, file=self.file, line=node.line, column=node.column)


def _children(node: Node) -> Iterator[tuple[Any, Node]]:
    if isinstance(node.value, dict):
        return iter(node.value.items())
    return enumerate(node.value) if isinstance(node.value, list) else iter(())


def _empty(node: Node) -> Any:
    """The plain value, its keys in order, its items still missing."""
    if isinstance(node.value, dict):
        return dict.fromkeys(node.value)
    return [None] * len(node.value) if isinstance(node.value, list) else node.value
