"""Prints the oldest release of each dependency that pyproject.toml allows, as constraints for pip."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

__all__ = ["oldest"]

ROOT = Path(__file__).parents[2]


def oldest(project: dict[str, Any]) -> list[str]:
    """`name==version` for each lower bound in the `[project]` table, of the dependencies and of the extras."""
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    bounds = (re.match(r"([\w.-]+)>=([\d.]+)", requirement) for requirement in [*project["dependencies"], *extras])
    return [f"{bound[1]}=={bound[2]}" for bound in bounds if bound]


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    sys.stdout.write("\n".join(oldest(project)) + "\n")
