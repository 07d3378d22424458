"""The commands that people and CI are told to use are there, and do what is said."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.tidy.checkout import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()


def make(*arguments: str) -> str:
    done = subprocess.run(
        ["make", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_make_alone_lists_every_target() -> None:
    phony = set(re.findall(r"^\.PHONY: ([\w-]+)$", MAKEFILE, re.MULTILINE))
    listed = set(re.findall(r"^  make ([\w-]+)", make(), re.MULTILINE))
    assert listed == phony - {"coverage"}
    assert {"test", "demo", "bench", "simulate"} <= listed


def test_ci_runs_the_test_command_from_anywhere() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "exec make test" in script.read_text()
    assert script.read_text().startswith("#!/usr/bin/env bash\n")


@pytest.mark.parametrize(
    "step", ["ruff format --check", "ruff check", "mypy esm tests", "lint-imports", "pytest", "coverage report"]
)
def test_the_test_command_takes_every_step(step: str) -> None:
    assert step in make("--dry-run", "--always-make", "test")


def test_a_machine_without_python_is_told_what_to_install(tmp_path: Path) -> None:
    command = ["make", "PYTHON=", f"VENV={tmp_path}/none", f"{tmp_path}/none/bin/python"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "esm needs Python 3.11 or later" in done.stderr
