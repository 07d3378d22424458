"""SIGTERM and Ctrl-C before anything has begun: the command's own modules, or its user's, are still being imported."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.surface.typed import Esm

pytestmark = pytest.mark.service

PROMPT = 2.0


@pytest.mark.parametrize("module", ["esm.cli.exits", "msgspec", "click", "esm.runtime.program", "aiobotocore"])
def test_while_the_command_itself_is_imported(esm_: Esm, module: str) -> None:
    """A Ctrl-C in the first half second is no traceback."""
    slow = 'import sys, time; print(\'{"event": "importing"}\', file=sys.stderr, flush=True); time.sleep(600)'
    finder = f"""
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            {slow}
sys.meta_path.insert(0, Finder())
"""
    (esm_.folder / "sitecustomize.py").write_text(finder)
    here = Esm(esm_.folder, {**esm_.settings, "PYTHONPATH": f"{esm_.folder}:{Path(__file__).parents[2]}"})
    with here.running("plan", "app:mappings") as running:
        running.until("importing")
        code, _ = running.end(signal.SIGINT)
    assert code == 71
    assert not [line for line in running.lines if "Traceback" in line]


def test_while_the_users_module_is_imported(esm_: Esm) -> None:
    esm_.app('import sys, time\nprint(\'{"event": "importing"}\', file=sys.stderr, flush=True)\ntime.sleep(600)')
    with esm_.running("run", "app:mappings", "--live") as running:
        running.until("importing")
        code, took = running.end()
    assert code == 0
    assert took < PROMPT
    assert not Path(esm_.folder, "esm.db").exists()
