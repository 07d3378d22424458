"""The checkout's own files, as the tidy rules read them."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path, PurePosixPath

__all__ = ["ROOT", "File", "Function", "files", "functions", "lines_of"]

ROOT = Path(__file__).parents[2]

HIDDEN_AND_OURS = frozenset({".ci", ".github"})
MADE_BY_TOOLS = frozenset({"__pycache__", "build", "dist", "htmlcov", "node_modules"})
TEXT = frozenset({"", ".cfg", ".ini", ".json", ".md", ".py", ".service", ".sh", ".toml", ".txt", ".yaml", ".yml"})

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class File:
    """One file. `path` is relative to the checkout's root."""

    path: PurePosixPath
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The file, parsed. Only for Python."""
        return ast.parse(self.text)

    @property
    def room(self) -> str:
        """The top folder: `esm`, `tests`, `examples`; the file's own name at the root."""
        return self.path.parts[0]

    @property
    def python(self) -> bool:
        """Whether it is Python."""
        return self.path.suffix == ".py"


@cache
def files() -> tuple[File, ...]:
    """Every text file that a person wrote: nothing hidden, nothing that a tool left behind."""
    found: list[Path] = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if not _is_made(name)]
        found += [Path(folder, name) for name in names if Path(name).suffix in TEXT and not name.startswith(".")]
    return tuple(File(PurePosixPath(path.relative_to(ROOT)), path.read_text()) for path in sorted(found))


def _is_made(folder: str) -> bool:
    return (folder.startswith(".") and folder not in HIDDEN_AND_OURS) or folder in MADE_BY_TOOLS


def functions(file: File) -> Iterator[Function]:
    """Every function and method, nested ones too."""
    return (node for node in ast.walk(file.tree) if isinstance(node, Function))


def lines_of(function: Function) -> int:
    """How long it is, from `def` to its last line."""
    return (function.end_lineno or function.lineno) - function.lineno + 1
