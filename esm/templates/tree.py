"""Builds the tree of a file, and stops where it gets too deep or too large, or says a key twice."""

from __future__ import annotations

from typing import Any

from esm.errors import TemplateError
from esm.templates.document import MAX_DEPTH, MAX_NODES, Node

__all__ = ["Tree"]


class Tree:
    """The tree so far. `root`: its top, once that is complete."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root: Node | None = None
        self._open: list[Node] = []
        self._keys: list[Node | None] = []
        self._count = 0

    @property
    def wants_key(self) -> bool:
        """Whether the next value is a key of the open dict."""
        return bool(self._open) and isinstance(self._open[-1].value, dict) and self._keys[-1] is None

    def add(self, value: Any, line: int, column: int) -> Node:
        """A scalar: a key, or a value. It is not placed yet."""
        if not self.wants_key:
            self.count(1, line, column)
        return Node(value, line, column)

    def count(self, values: int, line: int | None, column: int | None) -> None:
        """Counts values that are read, or looked at again: a file is refused at the first that is too many."""
        self._count += values
        if self._count > MAX_NODES:
            raise self.refused(f"more than {MAX_NODES:,} values", line, column)

    def begin(self, value: dict[str, Node] | list[Node], line: int, column: int) -> None:
        """A dict or a list, which stays open until `end`."""
        node = self.add(value, line, column)
        if self.wants_key:
            raise self.refused("a key must be text", line, column)
        if len(self._open) >= MAX_DEPTH:
            raise self.refused(f"nested more than {MAX_DEPTH} levels deep", line, column)
        self._open.append(node)
        self._keys.append(None)

    def end(self) -> Node:
        """Closes what was begun last. It is not placed yet."""
        self._keys.pop()
        return self._open.pop()

    def place(self, node: Node) -> None:
        """Puts a complete node where the tree is open: as a key, a value, an item or the top."""
        if not self._open:
            self.root = node
        elif isinstance(self._open[-1].value, list):
            self._open[-1].value.append(node)
        elif (key := self._keys[-1]) is None:
            self._keys[-1] = self._key(node)
        else:
            # Where a dict or a list begins is where its key stands: the first of what is in it may be lines below.
            within = isinstance(node.value, dict | list)
            self._open[-1].value[key.value] = Node(node.value, key.line, key.column) if within else node
            self._keys[-1] = None

    def refused(self, rule: str, line: int | None, column: int | None) -> TemplateError:
        """The refusal of the file at a place."""
        return TemplateError(rule, file=self.file, line=line, column=column)

    def _key(self, node: Node) -> Node:
        if not isinstance(node.value, str):
            raise self.refused("a key must be text", node.line, node.column)
        if node.value in self._open[-1].value:
            raise self.refused(f"the key {node.value[:80]!a} stands here twice", node.line, node.column)
        return node
