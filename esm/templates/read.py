"""Reads a file of settings: YAML, JSON or TOML, by its name."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from esm.errors import NotInstalledError, TemplateError
from esm.templates.document import MAX_BYTES, Document, Node
from esm.templates.json_text import parse_json
from esm.templates.toml_text import parse_toml

__all__ = ["read", "read_text"]


def read(path: Path) -> Document:
    """The file at `path`. Raises `TemplateError` when it cannot be read, or should not be; `NotInstalledError`."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise TemplateError(f"cannot be read: {error.strerror or error}", file=str(path)) from None
    return read_text(data, str(path))


def read_text(data: bytes, file: str) -> Document:
    """What a file called `file` holds. Raises `TemplateError`, `NotInstalledError`."""
    if len(data) > MAX_BYTES:
        raise TemplateError(f"larger than {MAX_BYTES:,} bytes", file=file)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TemplateError("not UTF-8", file=file, line=line) from None
    return Document(file, _parsed(text, file))


def _parsed(text: str, file: str) -> Node:
    if file.lower().endswith(".toml"):
        return parse_toml(text, file)
    if file.lower().endswith(".json") or (file.lower().endswith(".template") and text.lstrip()[:1] == "{"):
        return parse_json(text, file)
    if find_spec("yaml") is None:
        raise NotInstalledError(file, "PyYAML", "cli")
    from esm.templates.yaml_text import parse_yaml  # noqa: PLC0415  # needs what was looked for

    return parse_yaml(text, file)
