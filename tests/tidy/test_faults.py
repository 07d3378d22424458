"""FAULTS.md names tests that exist, and every test that was written for it."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROW = re.compile(r"^\| ([A-Z]\d+) \| .+ \| (.+) \|$", re.MULTILINE)
NAME = re.compile(r"`([\w/]+\.py)::(test_\w+)`")
ROWS = ROW.findall((TESTS / "FAULTS.md").read_text())


def _tests(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {function.name for function in functions if function.name.startswith("test_")}


def named() -> set[tuple[str, str]]:
    return {name for _, shown_by in ROWS for name in NAME.findall(shown_by)}


def test_every_fault_is_shown_by_tests_or_says_why_not() -> None:
    assert len(ROWS) > 80
    assert len({fault for fault, _ in ROWS}) == len(ROWS)
    for fault, shown_by in ROWS:
        reason = re.fullmatch(r"- \w.{20,}", shown_by)
        assert reason or " ".join(f"`{path}::{test}`" for path, test in NAME.findall(shown_by)) == shown_by, fault


def test_every_test_that_is_named_exists() -> None:
    missing = [f"{path}::{test}" for path, test in sorted(named()) if test not in _tests(TESTS / path)]
    assert missing == []


def test_every_test_of_a_fault_is_named() -> None:
    written = {
        (path.relative_to(TESTS).as_posix(), test)
        for path in (TESTS / "faults").glob("test_*.py")
        for test in _tests(path)
    }
    assert written - named() == set()
