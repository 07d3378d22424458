"""The import contracts hold, and each of them bites: a breach planted in a copy of the package is named."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.tidy.checkout import ROOT

LINTER = Path(sys.executable).with_name("lint-imports")
CONFIGURED: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
NAMES = {contract["id"]: contract["name"] for contract in CONFIGURED}
DOORS = {
    "aws-door": "aws/session.py",
    "clock-door": "clock.py",
    "log-door": "telemetry/logs.py",
    "otel-door": "telemetry/otel.py",
    "prometheus-door": "telemetry/prometheus.py",
    "sqlite-door": "stores/sqlite.py",
}

PLANTED = [
    ("layers", "records/planted.py", "import esm.machine.commands", "esm.records.planted -> esm.machine.commands"),
    ("layers", "stores/planted.py", "import esm.sources.reader", "esm.stores.planted -> esm.sources.reader"),
    ("layers", "machine/planted.py", "import esm.leasing.lease", "esm.machine.planted -> esm.leasing.lease"),
    ("layers", "stray/planted.py", "", "esm.stray"),
    ("pure", "records/planted.py", "import asyncio", "esm.records.planted -> asyncio"),
    ("pure", "mapping/planted.py", "from os import environ", "esm.mapping.planted -> os"),
    ("pure", "filtering/planted.py", "import structlog", "esm.filtering.planted -> structlog"),
    ("pure", "machine/planted.py", "import random", "esm.machine.planted -> random"),
    ("pure", "leasing/planted.py", "def late():\n    import sqlite3", "esm.leasing.planted -> sqlite3"),
    ("aws-door", "sources/planted.py", "import botocore.exceptions", "esm.sources.planted -> botocore"),
    ("aws-door", "runtime/planted.py", "import tenacity", "esm.runtime.planted -> tenacity"),
    ("aws-door", "destinations/planted.py", "import aiobotocore.session", "esm.destinations.planted -> aiobotocore"),
    ("aws-door", "stores/planted.py", "import httptools", "esm.stores.planted -> httptools"),
    ("log-door", "runtime/planted.py", "import structlog", "esm.runtime.planted -> structlog"),
    (
        "prometheus-door",
        "cli/planted.py",
        "import prometheus_client.core",
        "esm.cli.planted -> prometheus_client",
    ),
    ("otel-door", "handlers/planted.py", "from opentelemetry import trace", "esm.handlers.planted -> opentelemetry"),
    ("sqlite-door", "runtime/planted.py", "import sqlite3", "esm.runtime.planted -> sqlite3"),
    ("clock-door", "sources/planted.py", "from time import monotonic", "esm.sources.planted -> time"),
    ("sources", "sources/kinesis.py", "import esm.sources.dynamodb", "esm.sources.kinesis -> esm.sources.dynamodb"),
    ("stores", "stores/memory.py", "import esm.stores.sqlite", "esm.stores.memory -> esm.stores.sqlite"),
    (
        "destinations",
        "destinations/file.py",
        "import esm.destinations.s3",
        "esm.destinations.file -> esm.destinations.s3",
    ),
    (
        "telemetry",
        "telemetry/otel.py",
        "import esm.telemetry.prometheus",
        "esm.telemetry.otel -> esm.telemetry.prometheus",
    ),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "esm", tmp_path / "esm", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def plant(copy: Path, path: str, text: str) -> None:
    """Adds `text` to a module of the copy; what it imports of `esm` is made where it is not there yet."""
    imported = re.findall(r"import (esm\S+)", text)
    for each in [path, *(name.removeprefix("esm.").replace(".", "/") + ".py" for name in imported)]:
        module = copy / "esm" / each
        module.parent.mkdir(exist_ok=True)
        (module.parent / "__init__.py").touch()
        module.touch()
    with (copy / "esm" / path).open("a") as module_end:
        module_end.write(f"\n{text}\n")


def lint(folder: Path) -> str:
    """What the linter says about every contract, without line numbers and colours."""
    done = subprocess.run([LINTER, "--no-logo", "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return re.sub(r"\s+", " ", re.sub(r"\x1b\[[\d;]*m", "", done.stdout))


def test_every_contract_is_kept(copy: Path) -> None:
    said = lint(copy)
    assert f"Contracts: {len(CONFIGURED)} kept, 0 broken." in said, said


@pytest.mark.parametrize(("contract", "path", "text", "named"), PLANTED)
def test_a_contract_bites(copy: Path, contract: str, path: str, text: str, named: str) -> None:
    plant(copy, path, text)
    said = lint(copy)
    assert f"{NAMES[contract]} BROKEN" in said, said
    assert named in said


@pytest.mark.parametrize("contract", DOORS)
def test_a_door_is_open(copy: Path, contract: str) -> None:
    (configured,) = (each for each in CONFIGURED if each["id"] == contract)
    for library in configured["forbidden_modules"]:
        plant(copy, DOORS[contract], f"import {library}")
    assert f"{NAMES[contract]} KEPT" in lint(copy)


def test_each_contract_has_a_breach() -> None:
    assert {contract for contract, *_ in PLANTED} == set(NAMES)
    assert set(DOORS) == {name for name in NAMES if name.endswith("-door")}
