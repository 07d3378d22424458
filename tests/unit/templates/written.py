"""Templates as a test writes them: text, read as a file of a name would be."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from esm.errors import TemplateError
from esm.templates.load import Plan, plan_of
from esm.templates.mappings import Planned
from esm.templates.read import read_text
from esm.templates.template import Options

__all__ = ["one", "options", "plan", "refused"]

FOLDER = Path(__file__).parent


def options(**given: Any) -> Options:
    """What is typed, with nothing of the machine's own."""
    return Options(**{"region": "us-east-1", "stack_name": "shop", "environ": {}, **given})


def plan(text: str, name: str = "template.yaml", folder: Path = FOLDER, **given: Any) -> Plan:
    """What a text comes to."""
    return plan_of(read_text(dedent(text).encode(), name), folder / name, options(**given))


def one(text: str, name: str = "template.yaml", folder: Path = FOLDER, **given: Any) -> Planned:
    """The only mapping of a text."""
    (found,) = plan(text, name, folder, **given).planned
    return found


def refused(text: str, name: str = "template.yaml", **given: Any) -> TemplateError:
    """How a text is refused."""
    with pytest.raises(TemplateError) as caught:
        plan(text, name, **given)
    return caught.value
