"""What a file of settings is called."""

from __future__ import annotations

__all__ = ["SUFFIXES", "is_template"]

SUFFIXES = (".yaml", ".yml", ".json", ".toml", ".template")


def is_template(name: str) -> bool:
    """Whether a name is that of a file of settings, and not `module:object`."""
    return name.lower().endswith(SUFFIXES)
