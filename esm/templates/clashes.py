"""Which functions of a template cannot share one process: their modules or their variables would be each other's.

At AWS every function has an environment of its own. Here functions share this process as long as nothing tells them
apart: one folder of code each, or modules of different names, and no variable with two values.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path as FilePath

from esm.templates.mappings import Planned

__all__ = ["clashing", "top_modules"]


def clashing(planned: Sequence[Planned]) -> dict[str, str]:
    """Why a function needs a process of its own, by logical id; those that need none are left out."""
    functions = {each.function_id: each for each in planned if each.function_id is not None}
    reasons: dict[str, str] = {}
    for function_id, reason in (*_by_modules(functions), *_by_variables(functions)):
        reasons.setdefault(function_id, reason)
    return reasons


def top_modules(folder: FilePath) -> frozenset[str]:
    """The names that a folder of code has for `import`; a zip file's are not looked at."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(name for entry in entries if (name := _module(entry)) is not None)
    except OSError:
        return frozenset()


def _module(entry: os.DirEntry[str]) -> str | None:
    if entry.name.endswith(".py"):
        return entry.name.removesuffix(".py")
    return entry.name if entry.is_dir() and entry.name.isidentifier() else None


def _by_modules(functions: Mapping[str, Planned]) -> Iterator[tuple[str, str]]:
    names: dict[str, dict[FilePath, list[str]]] = {}
    for function_id, each in functions.items():
        for folder in each.code.folders:
            for name in top_modules(folder):
                names.setdefault(name, {}).setdefault(folder, []).append(function_id)
    for name, folders in sorted(names.items()):
        if len(folders) > 1:
            for function_id in (one for some in folders.values() for one in some):
                yield function_id, f"module {name} is not the same for all functions"


def _by_variables(functions: Mapping[str, Planned]) -> Iterator[tuple[str, str]]:
    values: dict[str, dict[str, list[str]]] = {}
    for function_id, each in functions.items():
        variables = each.mapping.function.environment if each.mapping is not None else {}
        for name, value in variables.items():
            values.setdefault(name, {}).setdefault(value, []).append(function_id)
    for name, by_value in sorted(values.items()):
        if len(by_value) > 1:
            for function_id in (one for some in by_value.values() for one in some):
                yield function_id, f"environment variable {name} is not the same for all functions"
