"""Reads JSON into a tree with places, which the standard library's reader does not tell."""

from __future__ import annotations

import json
import re
from typing import Any

from esm.templates.document import Node, number
from esm.templates.tree import Tree

__all__ = ["parse_json"]

_TOKEN = re.compile(
    r'(?P<text>"(?:[^"\\\x00-\x1f]++|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+")'
    r"|(?P<number>-?[0-9][0-9.eE+-]*+)"
    r"|(?P<word>true|false|null)"
    r"|(?P<mark>[{}\[\],:])"
    r"|(?P<space>[ \t\r]++)"
    r"|(?P<line>\n)"
)
_WORDS = {"true": True, "false": False, "null": None}
_AFTER_VALUE = frozenset({",", "}", "]"})
_CLOSES = {"}": dict, "]": list}


def parse_json(text: str, file: str) -> Node:
    """The tree of one JSON text. Raises `TemplateError`."""
    reader = _Reader(text, file)
    reader.read()
    if reader.tree.root is None:
        raise reader.refused("not JSON: it ends too early")
    return reader.tree.root


class _Reader:
    """What is expected next is one of: `value`, `first` (a value or the end), `key`, `:`, `after`, `end`."""

    def __init__(self, text: str, file: str) -> None:
        self.tree = Tree(file)
        self._text = text
        self._line = 1
        self._line_begins = 0
        self._at = 0
        self._wanted = "value"
        self._kinds: list[type] = []

    def read(self) -> None:
        while self._at < len(self._text):
            found = _TOKEN.match(self._text, self._at)
            if found is None:
                raise self.refused("not JSON: no value begins like this")
            if found.lastgroup == "line":
                self._line, self._line_begins = self._line + 1, found.end()
            elif found.lastgroup != "space":
                self._take(str(found.lastgroup), found[0])
            self._at = found.end()

    def refused(self, rule: str) -> Exception:
        return self.tree.refused(rule, *self._place())

    def _place(self) -> tuple[int, int]:
        return self._line, self._at - self._line_begins + 1

    def _take(self, kind: str, written: str) -> None:
        if kind == "mark":
            self._mark(written)
        elif self._wanted in ("value", "first") or (kind == "text" and self._wanted in ("key", "first key")):
            self._scalar(self._value(kind, written))
        else:
            raise self._unexpected(written)

    def _mark(self, written: str) -> None:
        if written in "{[" and self._wanted in ("value", "first"):
            self._begin({} if written == "{" else [])
        elif written in "}]" and self._closes(written):
            self._kinds.pop()
            self._placed(self.tree.end())
        elif written == "," and self._wanted == "after" and self._kinds:
            self._wanted = "key" if self._kinds[-1] is dict else "value"
        elif written == ":" and self._wanted == ":":
            self._wanted = "value"
        else:
            raise self._unexpected(written)

    def _closes(self, written: str) -> bool:
        open_ = bool(self._kinds) and self._kinds[-1] is _CLOSES[written]
        return open_ and self._wanted in ("after", "first" if written == "]" else "first key")

    def _begin(self, empty: dict[str, Node] | list[Node]) -> None:
        self.tree.begin(empty, *self._place())
        self._kinds.append(type(empty))
        self._wanted = "first key" if isinstance(empty, dict) else "first"

    def _scalar(self, value: Any) -> None:
        is_key = self.tree.wants_key
        node = self.tree.add(value, *self._place())
        if is_key:
            self.tree.place(node)
            self._wanted = ":"
        else:
            self._placed(node)

    def _placed(self, node: Node) -> None:
        self.tree.place(node)
        self._wanted = "after" if self._kinds else "end"

    def _value(self, kind: str, written: str) -> Any:
        if kind == "word":
            return _WORDS[written]
        if kind == "text":
            return self._unescaped(written)
        found = number(written)
        if found is None:
            raise self.refused("not JSON: no number that can be kept")
        return found

    def _unescaped(self, written: str) -> str:
        value = str(json.loads(written))
        if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
            raise self.refused("not JSON: half of a character")
        return value

    def _unexpected(self, written: str) -> Exception:
        return self.refused(f"not JSON: {written[:20]!r} stands where {self._wanted} is expected")
