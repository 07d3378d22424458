"""What `esm run --watch` watches, and which modules it forgets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import esm
from esm.cli.running.watch import Watch, watched
from esm.mapping.settings import EventSourceMapping

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"


def module_at(path: Path, name: str, text: str = "") -> ModuleType:
    """A module of that name, as if it had been imported from there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    module = ModuleType(name)
    module.__file__ = str(path)
    exec(compile(text, str(path), "exec"), module.__dict__)  # noqa: S102  # the text stands in this file
    return module


def forgotten(folder: Path, names: list[str]) -> list[str]:
    """Which of the modules are gone while mappings are loaded anew."""
    gone: list[str] = []

    def load() -> list[EventSourceMapping]:
        gone.extend(name for name in names if name not in sys.modules)
        raise ValueError("so that all of them come back")

    with pytest.raises(ValueError, match="come back"):
        Watch([folder], load)._loaded()  # the part without files that change
    assert all(name in sys.modules for name in names)
    return gone


@pytest.mark.parametrize(
    ("place", "own"),
    [
        ("app_x.py", True),
        ("deep/er/app_x.py", True),
        ("venv/lib/python3.11/site-packages/app_x.py", False),
        (".venv/lib/app_x.py", False),
        ("venv/lib/python3/dist-packages/app_x.py", False),
    ],
)
def test_only_the_users_own_modules_are_forgotten(
    place: str, own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "app_x", module_at(tmp_path / place, "app_x"))
    assert forgotten(tmp_path, ["app_x"]) == (["app_x"] if own else [])


def test_the_library_itself_stays_also_when_its_own_checkout_is_watched() -> None:
    root = Path(esm.__file__).parents[1]
    assert forgotten(root, ["esm", "esm.mapping.settings"]) == []


def mapping_of(handler: Callable[..., object] | esm.Function) -> EventSourceMapping:
    return EventSourceMapping(event_source_arn=STREAM, function=handler, starting_position="LATEST")


def test_code_beside_the_mappings_is_watched_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "def handle(event, context):\n    pass\n"
    base, other = tmp_path / "base", tmp_path / "other"
    base.mkdir()
    inside, outside, installed = (
        module_at(base / "code" / "in_x.py", "in_x", text),
        module_at(other / "out_x.py", "out_x", text),
        module_at(tmp_path / "site-packages" / "pip_x.py", "pip_x", text),
    )
    for module in (inside, outside, installed):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    mappings = [mapping_of(module.handle) for module in (inside, outside, installed)]
    apart = esm.Function("app.handle", isolation="process", folder=str(tmp_path / "apart"))
    assert watched(base, [*mappings, mapping_of(apart)]) == [tmp_path / "apart", base, other]
