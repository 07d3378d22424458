"""The public contract as a user's type checker sees it: samples say on each line what it reveals, or refuses.

`# R: type` behind a `reveal_type`, `# E: code` behind what must not type-check. Anything else that mypy says fails too.
"""

from __future__ import annotations

import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import esm
from esm.runtime.program import WorkerOptions

SAMPLES = sorted(Path(__file__).with_name("samples").glob("*.py"))
SAID = re.compile(
    r"^(?P<file>[\w.]+):(?P<line>\d+): "
    r'(?:note: Revealed type is "(?P<type>.*)"|error: .*\[(?P<code>[\w-]+)\])$',
)
EXPECTED = re.compile(r"# (?P<kind>[RE]): (?P<what>.+)$")


def expected(sample: Path) -> set[tuple[str, int, str]]:
    lines = enumerate(sample.read_text().splitlines(), 1)
    return {
        (sample.name, line, f"{found['kind']}: {found['what']}")
        for line, text in lines
        if (found := EXPECTED.search(text))
    }


def said(output: str) -> set[tuple[str, int, str]]:
    """What mypy says, in the words of the samples; a note that explains an error is left out."""
    parsed = [found for line in output.splitlines() if (found := SAID.match(line))]
    return {
        (each["file"], int(each["line"]), f"R: {each['type']}" if each["type"] else f"E: {each['code']}")
        for each in parsed
    }


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, int, str]]:
    """One strict run over all samples, in a folder of their own and without this project's settings."""
    folder = tmp_path_factory.mktemp("samples")
    for sample in SAMPLES:
        shutil.copy(sample, folder)
    names = [sample.name for sample in SAMPLES]
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--cache-dir=cache", "--no-pretty", *names]
    done = subprocess.run(mypy, cwd=folder, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return said(done.stdout)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_a_sample_checks_as_it_says(sample: Path, checked: set[tuple[str, int, str]]) -> None:
    assert {each for each in checked if each[0] == sample.name} == expected(sample)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.stem)
def test_a_sample_says_something(sample: Path) -> None:
    kinds = {what[0] for _, _, what in expected(sample)}
    assert kinds == {"R", "E"}


def test_run_takes_what_a_worker_takes() -> None:
    keywords = inspect.signature(esm.Worker).parameters.keys() - {"mappings"}
    assert WorkerOptions.__annotations__.keys() == keywords
