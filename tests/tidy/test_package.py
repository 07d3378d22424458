"""What is built is what a user should get: the code, its types, the licence, and metadata that is true."""

from __future__ import annotations

import ast
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

import esm
from tests.tidy.checkout import ROOT
from tests.tidy.oldest import oldest

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PYTHONS = ["3.11", "3.12", "3.13"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the source distribution, and with the wheel that was made of it."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.Path:
    (path,) = built.glob("*.whl")
    assert path.name == f"asyncio_esm-{PROJECT['version']}-py3-none-any.whl"
    return zipfile.Path(path)


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.Path) -> Message:
    return message_from_string(info(wheel, "METADATA"))


def info(wheel: zipfile.Path, name: str) -> str:
    return wheel.joinpath(f"asyncio_esm-{PROJECT['version']}.dist-info", name).read_text(encoding="utf-8")


def test_nothing_compiled_lies_in_the_checkout() -> None:
    """It would run for the sources, whatever they say by then; `make clean` removes it."""
    assert [*ROOT.glob("*.so"), *(ROOT / "esm").rglob("*.so")] == []


def test_the_wheel_holds_the_package_and_nothing_else(wheel: zipfile.Path) -> None:
    names = {name for name in wheel.root.namelist() if "dist-info/" not in name and not name.endswith("/")}
    own = {path for path in (ROOT / "esm").rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    assert names == {path.relative_to(ROOT).as_posix() for path in own}
    assert "esm/py.typed" in names


def test_the_wheel_says_what_it_is(metadata: Message) -> None:
    assert metadata["Name"] == "asyncio-esm"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Description-Content-Type"] == "text/markdown"
    classifiers = metadata.get_all("Classifier", [])
    assert [each.rsplit(" ", 1)[1] for each in classifiers if "Python :: 3." in each] == PYTHONS
    assert "Typing :: Typed" in classifiers


def test_the_wheel_carries_the_whole_licence(wheel: zipfile.Path) -> None:
    assert info(wheel, "licenses/LICENSE") == (ROOT / "LICENSE").read_text()
    assert "END OF TERMS AND CONDITIONS" in info(wheel, "licenses/LICENSE")


def test_extras_bring_what_the_library_itself_does_not_need(metadata: Message) -> None:
    assert set(metadata.get_all("Provides-Extra", [])) >= {"all", "cli", "demo", "fast", "templates"}
    requirements = [Requirement(each) for each in metadata.get_all("Requires-Dist", [])]
    always = {each.name for each in requirements if not each.marker}
    assert always == {"aiobotocore", "anyio", "httptools", "msgspec", "structlog", "tenacity"}


def test_every_dependency_has_an_oldest_and_a_first_refused_release() -> None:
    bounds = dict(each.split("==") for each in oldest(PROJECT))
    for requirement in (
        Requirement(each) for each in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["cli"]]
    ):
        operators = {each.operator: each.version for each in requirement.specifier}
        assert operators[">="] == bounds[requirement.name]
        assert Version(operators["<"]) > Version(operators[">="])


def test_the_command_leads_to_the_command_line(wheel: zipfile.Path) -> None:
    assert "esm = esm.cli.main:main" in info(wheel, "entry_points.txt")
    assert wheel.joinpath("esm/cli/main.py").is_file()


def test_the_source_distribution_can_be_tested(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"pyproject.toml", "LICENSE", "README.md", "Makefile", "CONTRIBUTING.md", "esm/py.typed"} <= names
    assert "tests/tidy/test_package.py" in names
    assert not [name for name in names if "__pycache__" in name or name.startswith((".venv", ".emulators"))]


def test_public_names_are_those_that_type_checkers_see_and_imported_when_they_are_asked_for() -> None:
    imports = [node for node in ast.walk(ast.parse(Path(esm.__file__).read_text())) if isinstance(node, ast.ImportFrom)]
    seen = {name.name: node.module for node in imports for name in node.names if str(node.module).startswith("esm.")}
    assert seen == esm._HOMES  # type: ignore[attr-defined]  # type checkers see the imports instead
    assert sorted(seen) == sorted(esm.__all__)
    assert set(esm.__all__) <= set(dir(esm))
    say = "import sys, esm; print([name for name in sys.modules if name.startswith(('esm', 'asyncio'))])"
    done = subprocess.run([sys.executable, "-c", say], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "['esm']\n"


def test_a_room_is_there_when_it_is_asked_for_and_nothing_else_is() -> None:
    say = "import esm; print(esm.errors.SourceThrottledError.__name__, hasattr(esm, 'nothing'), esm.testing.__name__)"
    done = subprocess.run([sys.executable, "-c", say], check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "SourceThrottledError False esm.testing\n"


def test_an_installed_wheel_imports_alone(built: Path, tmp_path: Path) -> None:
    (path,) = built.glob("*.whl")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(tmp_path),
        str(path),
    ]
    subprocess.run(pip, check=True, capture_output=True)
    say = "import esm; print(esm.__file__); [getattr(esm, name) for name in esm.__all__]"
    python = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {say}"]
    done = subprocess.run(python, check=True, capture_output=True, text=True, cwd=tmp_path)
    assert Path(done.stdout.strip()).is_relative_to(tmp_path)
