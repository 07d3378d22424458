"""Inline code of a template, written where it can be imported from, until the process ends."""

from __future__ import annotations

import atexit
import hashlib
import shutil
import tempfile
from pathlib import Path

__all__ = ["inline_folder"]

_FOLDERS: dict[str, Path] = {}


def inline_folder(text: str) -> Path:
    """A folder with `text` as its module `index`, which is what Lambda calls it. The same for the same text.

    https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-lambda-function-code.html
    """
    key = hashlib.sha256(text.encode()).hexdigest()
    if key not in _FOLDERS:
        folder = Path(tempfile.mkdtemp(prefix="esm-inline-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        (folder / "index.py").write_text(text, encoding="utf-8")
        _FOLDERS[key] = folder
    return _FOLDERS[key]
