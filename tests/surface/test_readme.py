"""The README as a stranger follows it: every Python block runs, in order, in an empty folder."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from esm.cli.exits import MEANINGS
from esm.mapping.rules import DEFAULTS
from tests.surface.typed import PATIENCE, Esm

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
NAMES = (
    "app.py",
    "try_it.py",
    "put.py",
    "worker.py",
    "lifespan.py",
    "managed.py",
    "resources.py",
    "filters.py",
    "windows.py",
    "queues.py",
    "processes.py",
    "replayed.py",
    "test_kit.py",
    "metrics.py",
    "probed.py",
)
"""What the reader calls the blocks, in order."""


@pytest.fixture
def follow(esm_: Esm, ministack: str, account: str) -> Esm:
    """The reader's folder with all the blocks; local AWS and account are those of this test."""
    for name, block in zip(NAMES, BLOCKS, strict=True):
        text = block.replace("http://127.0.0.1:4566", ministack).replace("000000000000", account)
        (esm_.folder / name).write_text(text)
    return esm_


def python(reader: Esm, name: str) -> str:
    done = subprocess.run(
        [sys.executable, name],
        cwd=reader.folder,
        env=reader.environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.service
def test_the_first_five_minutes(follow: Esm, ministack: str) -> None:
    tried = python(follow, "try_it.py").splitlines()
    assert tried[0] == "table 4 espresso"
    assert re.fullmatch(r" +[01]\.\d s  1 record, succeeded", tried[2])
    assert re.fullmatch(r" +3[01]\.\d s  1 record, succeeded", tried[3])

    python(follow, "put.py")
    assert follow("plan", "app:mappings").out.startswith("handle < arn:aws:kinesis:eu-west-1:")
    arguments = ("run", "app:mappings", "--endpoint-url", ministack, "--json", "--log-level", "debug")
    with follow.running(*arguments) as running:
        running.until("checkpoint_stored")
        assert running.end()[0] == 0
    assert running.out.startswith("table 4 order 0\n")
    with follow.running(*arguments) as running:
        running.until("polled")
        assert running.end()[0] == 0
    assert "order" not in running.out.replace("stream/orders", "")
    assert "shardId-000000000000" in follow("positions", "show").out

    assert re.search(r"shardId-000000000000 reading \d+", python(follow, "worker.py"))


@pytest.mark.parametrize(
    "name", ["resources.py", "filters.py", "queues.py", "processes.py", "replayed.py", "test_kit.py", "metrics.py"]
)
def test_a_block_that_checks_itself(follow: Esm, name: str) -> None:
    assert python(follow, name) == ""


@pytest.mark.service
def test_the_blocks_on_programs(follow: Esm) -> None:
    python(follow, "put.py")
    assert python(follow, "lifespan.py") == ""
    managed = python(follow, "managed.py").splitlines()
    assert "Enabled" in managed
    assert managed[-1].endswith("Enabled")
    probed = python(follow, "probed.py").splitlines()
    assert "{'ready': True, 'troubles': []}" in probed


def test_the_block_on_windows(follow: Esm) -> None:
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:00Z \{'sold': 8\}\n.*:00Z \{'sold': 4\}\n", python(follow, "windows.py")
    )


def test_exit_codes_are_the_ones_there_are() -> None:
    listed = {int(code): text for code, text in re.findall(r"^\| (\d+) \| (.+) \|$", TEXT, re.MULTILINE)}
    assert listed == {int(code): meaning for code, meaning in MEANINGS.items()}


def test_defaults_are_the_ones_there_are() -> None:
    of_streams = TEXT.partition("### Queues")[0]
    rows = re.findall(r"^\| `(\w+)` \| .* \| (\S+) \|$", of_streams, re.MULTILINE)
    said = {
        name: ast.literal_eval(value.strip("`")) for name, value in rows if re.fullmatch(r"`?(-?\d+|False)`?", value)
    }
    assert said.pop("batch_size") == 100
    assert said == {name: DEFAULTS[name] for name in said}
    assert len(said) >= 5


def test_every_file_that_is_linked_is_there() -> None:
    for page in (ROOT / "README.md", ROOT / "deploy" / "README.md", ROOT / "CONTRIBUTING.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
