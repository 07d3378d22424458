"""Every example runs, and prints what it says it prints."""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.surface.typed import PATIENCE, Esm

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LONGEST = 60


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example(example: Path, esm_: Esm) -> None:
    text = example.read_text()
    assert text.count("\n") <= LONGEST
    said = ast.get_docstring(ast.parse(text)) or ""
    test = example.name.startswith("test_")
    command = [sys.executable, *(["-m", "pytest", "-q", "-p", "no:cacheprovider"] if test else []), str(example)]
    done = subprocess.run(
        command, cwd=ROOT, env=esm_.environment(), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if test:
        assert "2 passed" in done.stdout
    else:
        promised = re.findall(
            rf"\$ python examples/{example.name}\n((?:    .+\n?)+)", re.sub("^", "    ", said, flags=re.MULTILINE)
        )
        assert [line.strip() for block in promised for line in block.splitlines()] == done.stdout.splitlines()


def make(target: str) -> str:
    """What it prints without a terminal, in the demo's own environment, which is made if it is not there."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run(
        ["make", target],
        cwd=ROOT,
        env=settings,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(300)
def test_the_demo() -> None:
    said = make("demo")
    assert "17,519 hourly temperatures" in said
    assert re.search(r"\d records, +[\d,]+/s, lag .*, \d+ batches in flight, \d+ retries, \d+ errors", said)
    assert '"condition": "RetryAttemptsExhausted"' in said
    assert '"fahrenheit": "sensor fault"' in said
    assert "calls of the function: 0" in said
    figures = dict(re.findall(r"^   (\w[\w ,]+?)  +([\d,]+)$", said, re.MULTILINE))
    assert figures["records on the stream"] == "17,519"
    assert figures["records done"] == "17,518"
    assert figures["records given up"] == "1"
    assert figures["replayed by a restart"] == "0"
    assert re.search(r"Seattle +8,759 +24\.4 C, 07-28 16:00", said)
    assert "Try next" in said
    (suggested,) = re.findall(r"^   (\S+/esm replay .*)$", said, re.MULTILINE)
    replayed = subprocess.run(
        shlex.split(suggested), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert replayed.returncode == 0, replayed.stderr
    assert re.search(r"^records +744$", replayed.stdout, re.MULTILINE)


@pytest.mark.timeout(300)
def test_the_demo_of_a_table() -> None:
    said = make("demo-table")
    assert "FilterCriteria isn't supported when TumblingWindowInSeconds is set." in said
    assert "filter 1, $.dynamodb.NewImage.celsius.N: never matches; DynamoDB writes numbers as text" in said
    assert re.search(r"window \S+ to \S+: [\d,]+ INSERT, [\d,]+ MODIFY, [\d,]+ REMOVE; warmest: \S+ C in [\w ]+", said)
    assert "alert: San Francisco, 09-03: 22.2 C" in said
    for kind, count in (("INSERT", "730"), ("MODIFY", "5,147"), ("REMOVE", "706")):
        assert re.search(rf"^   {kind} +{count} +{count}$", said, re.MULTILINE)
    assert re.search(r"a window was open at the stop +yes", said)
    assert re.search(r"changes that the filter dropped +6,572", said)
    assert "Both are exactly what the data says." in said
