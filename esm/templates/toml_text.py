"""Reads TOML into a tree. Its reader tells no places, so the lines are those of the headings and keys, found again."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from datetime import date, time
from typing import Any

from esm.errors import TemplateError
from esm.templates.document import MAX_DEPTH, Figure, Node, Path

__all__ = ["MAX_TOML_BYTES", "parse_toml"]

MAX_TOML_BYTES = 65_536
"""esm's own file is short; the standard library's reader takes long for hostile ones (chosen)."""

_HEADING = re.compile(r"\s*(\[{1,2})\s*([\w\-.\"' ]+?)\s*\]{1,2}\s*(#.*)?")
_KEY = re.compile(r"\s*([\w-]+)\s*=")
_PLACE = re.compile(r"\(at line (\d+), column (\d+)\)")
_LINE_LENGTH = 8_192
_DOTS = 64


def parse_toml(text: str, file: str) -> Node:
    """The tree of one TOML text. Raises `TemplateError`."""
    _check(text, file)
    try:
        value = tomllib.loads(text)
    except (ValueError, RecursionError, OverflowError) as error:
        raise _not_toml(error, file) from None
    lines: dict[Path, int] = {}
    for number, path in _lines(text):
        for end in range(1, len(path) + 1):
            lines.setdefault(path[:end], number)
    return _tree(value, (), lines, file)


def _check(text: str, file: str) -> None:
    if len(text) > MAX_TOML_BYTES:
        raise TemplateError(f"longer than {MAX_TOML_BYTES:,} characters", file=file)
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > _LINE_LENGTH or max(line.count(mark) for mark in ".[{") > _DOTS:
            raise TemplateError("a line too long, or of too many parts", file=file, line=number)


def _not_toml(error: Exception, file: str) -> TemplateError:
    if isinstance(error, RecursionError):
        return TemplateError(f"nested more than {MAX_DEPTH} levels deep", file=file)
    said = str(error)
    place = _PLACE.search(said)
    line, column = (int(place[1]), int(place[2])) if place else (None, None)
    return TemplateError(f"not TOML: {_PLACE.sub('', said).strip()}", file=file, line=line, column=column)


def _tree(value: Any, path: Path, lines: dict[Path, int], file: str) -> Node:
    line = _line(path, lines)
    if len(path) > MAX_DEPTH:
        raise TemplateError(f"nested more than {MAX_DEPTH} levels deep", file=file, path=path[:8], line=line)
    if isinstance(value, dict):
        return Node({key: _tree(each, (*path, key), lines, file) for key, each in value.items()}, line, None)
    if isinstance(value, list):
        return Node([_tree(each, (*path, at), lines, file) for at, each in enumerate(value)], line, None)
    if isinstance(value, float):
        return Node(Figure(repr(value)) if value - value == 0 else repr(value), line, None)
    return Node(value.isoformat() if isinstance(value, date | time) else value, line, None)


def _line(path: Path, lines: dict[Path, int]) -> int | None:
    for end in range(len(path), -1, -1):
        if path[:end] in lines:
            return lines[path[:end]]
    return None


def _lines(text: str) -> Iterator[tuple[int, Path]]:
    """The line of each heading and of each key that stands on a line of its own."""
    heading: Path = ()
    counts: dict[Path, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if found := _HEADING.fullmatch(line):
            heading = tuple(part.strip(" \"'") for part in found[2].split("."))
            if found[1] == "[[":
                counts[heading] = counts.get(heading, -1) + 1
                heading = (*heading, counts[heading])
            yield number, heading
        elif found := _KEY.match(line):
            yield number, (*heading, found[1])
