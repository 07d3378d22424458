"""The checkout keeps the house rules, and each rule bites on a planted breach."""

from __future__ import annotations

from pathlib import PurePosixPath
from statistics import median

import pytest

from tests.tidy.checkout import File, files, functions, lines_of
from tests.tidy.rules import RULES, Rule

MODULE = '"""What it is for."""\n\n'
MEDIAN_FUNCTION_LINES = 10


def found(rule: str, path: str, text: str) -> list[str]:
    (named,) = (each for each in RULES if each.__name__ == rule)
    return list(named(File(PurePosixPath(path), text)))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_checkout_keeps(rule: Rule) -> None:
    breaches = [f"{file.path}:{place}" for file in files() for place in rule(file)]
    assert not breaches, "\n".join([str(rule.__doc__), *breaches])


def test_the_checkout_was_read() -> None:
    paths = {file.path.as_posix() for file in files()}
    assert {"Makefile", "pyproject.toml", "esm/__init__.py", "tests/tidy/test_rules.py", ".ci/run"} <= paths
    assert not [path for path in paths if path.startswith((".venv", ".emulators", ".git/"))]


def test_most_functions_are_very_short() -> None:
    lengths = [lines_of(each) for file in files() if file.room == "esm" and file.python for each in functions(file)]
    assert median(lengths) < MEDIAN_FUNCTION_LINES


def lines(count: int) -> str:
    return "def long():\n" + "    x = 1\n" * (count - 1)


BREACHES = [
    ("files_are_short", "esm/a.py", "x = 1\n" * 401, "401 lines"),
    ("functions_are_short", "esm/a.py", lines(51), "long has 51 lines"),
    ("functions_are_short", "tests/a.py", lines(61), "long has 61 lines"),
    ("functions_are_short", "esm/a.py", "class A:\n  async " + lines(51).replace("    ", "        "), "long has 51"),
    ("names_tell", "esm/utils.py", "", "'utils'"),
    ("names_tell", "tests/common/test_a.py", "", "'common'"),
    ("all_is_true", "esm/a.py", "def shown(): ...\n", "no __all__"),
    ("all_is_true", "esm/__init__.py", "from esm.arn import Arn\n", "no __all__"),
    ("all_is_true", "esm/a.py", "__all__ = ['b', 'a']\na = b = 1\n", "not sorted"),
    ("all_is_true", "esm/a.py", "__all__ = ['a', 'B', 'C']\na = B = C = 1\n", "not sorted"),
    ("all_is_true", "esm/a.py", "__all__ = ['a', 'gone']\na = 1\n", "'gone', which is not here"),
    ("all_is_true", "esm/a.py", "__all__ = ['a']\na = 1\nclass B: ...\n", "'B' is public"),
    ("docstrings_say_it_in_one_line", "esm/a.py", "x = 1\n", "a.py has no docstring"),
    (
        "docstrings_say_it_in_one_line",
        "esm/a.py",
        MODULE + "class A:\n    def b(self): return 1\n",
        "b has no docstring",
    ),
    ("docstrings_say_it_in_one_line", "esm/a.py", '"""A sentence that goes\non."""\n', "no sentence of its own"),
    ("docstrings_say_it_in_one_line", "esm/a.py", '"""A sentence.\nAnother."""\n', "no sentence of its own"),
    ("nothing_is_left_over", "README.md", "text\nTODO: more\n", "2: TODO"),
    ("nothing_is_left_over", "esm/a.py", "raise NotImplementedError\n", "1: NotImplementedError"),
    ("nothing_is_left_over", "tests/a.py", "@pytest.mark.skipif(True)\n", "1: pytest.mark.skipif"),
    ("nothing_is_left_over", "tests/a.py", "pytest.xfail()\n", "1: pytest.xfail"),
    ("nothing_is_left_over", "tests/a.py", "@skip\n", "1: @skip"),
    ("nothing_is_a_stub", "esm/a.py", "def later(): ...\n", "later does nothing"),
    (
        "nothing_is_a_stub",
        "esm/a.py",
        'class A:\n    def b(self):\n        """Later."""\n        ...\n',
        "b does nothing",
    ),
    ("limits_stand_once", "esm/a.py", "most = 6291456\n", "6_291_456"),
    ("limits_stand_once", "esm/a.py", "most = 6 * 1024 * 1024\n", "6_291_456"),
    ("limits_stand_once", "esm/machine/a.py", "if n > 10_000: pass\n", "10_000"),
    ("suppressions_have_reasons", "esm/a.py", "x = 1  # noqa\n", "names no rule"),
    ("suppressions_have_reasons", "esm/a.py", "x = 1  # noqa: S101, PLR2004\n", "no reason"),
    ("suppressions_have_reasons", "esm/a.py", "x = 1  # type: ignore[misc]\n", "no reason"),
    ("suppressions_have_reasons", "esm/a.py", "x = 1  # type: ignore  # because of that\n", "names no rule"),
    ("suppressions_have_reasons", "esm/a.py", "x = 1  # pragma: no cover\n", "no reason"),
    ("suppressions_have_reasons", "esm/a.py", "# ruff: noqa  # a reason given\n", "names no rule"),
    ("suppressions_have_reasons", "esm/a.py", "# mypy: ignore-errors\n", "names no rule"),
    ("it_speaks_of_itself", "README.md", "see /home/ann/esm\n", "'/home/' is a path on somebody's machine"),
    ("it_speaks_of_itself", "esm/a.py", "# as in /root/esm\n", "'/root/' is a path on somebody's machine"),
    ("it_speaks_of_itself", "esm/a.py", "# Issue 12 asks for it\n", "'Issue 1' is a number in somebody's tracker"),
    ("it_speaks_of_itself", "esm/a.py", "# see .secret/notes\n", "'.secret/' is a hidden folder"),
    ("tests_do_not_sleep", "tests/unit/a.py", "time.sleep(1)\n", "sleeps in real time"),
    ("the_changelog_keeps_its_form", "CHANGELOG.md", "# Changelog\n\n# Design\n", "3: no heading of a changelog"),
    ("the_changelog_keeps_its_form", "CHANGELOG.md", "## [Unreleased]\n\n### Speed\n", "3: no heading of a changelog"),
    ("the_changelog_keeps_its_form", "CHANGELOG.md", "### Added\n\nSome text.\n", "3: no entry"),
]


@pytest.mark.parametrize(("rule", "path", "text", "finding"), BREACHES)
def test_a_rule_bites(rule: str, path: str, text: str, finding: str) -> None:
    assert any(finding in place for place in found(rule, path, text)), found(rule, path, text)


KEPT = [
    ("files_are_short", "esm/a.py", "x = 1\n" * 400),
    ("functions_are_short", "esm/a.py", lines(50)),
    ("functions_are_short", "tests/a.py", lines(60)),
    ("names_tell", "esm/machine/rules.py", ""),
    (
        "all_is_true",
        "esm/a.py",
        "__all__ = ['MOST', 'A', 'a2', 'a10']\nMOST: int = 1\nclass A: ...\na2 = a10 = _b = 1\n",
    ),
    ("all_is_true", "esm/machine/__init__.py", MODULE),
    ("all_is_true", "esm/a.py", "__all__ = ['a']\nif x:\n    import a\nelse:\n    a = None\n"),
    ("all_is_true", "tests/a.py", "def test(): ...\n"),
    ("docstrings_say_it_in_one_line", "esm/a.py", MODULE + "def _own(): ...\n"),
    ("docstrings_say_it_in_one_line", "esm/a.py", '"""A sentence.\n\nAnd more\nof it."""\n'),
    ("nothing_is_left_over", "esm/a.py", "# KCL skips a batch; ours skips none\n"),
    ("nothing_is_a_stub", "esm/a.py", "class A(Protocol):\n    def b(self) -> None: ...\n"),
    ("nothing_is_a_stub", "tests/a.py", "def handle(event, context): ...\n"),
    ("nothing_is_a_stub", "esm/a.py", "@overload\ndef b(self) -> None: ...\n"),
    ("nothing_is_a_stub", "esm/a.py", 'def close(self):\n    """Nothing to give up."""\n'),
    ("limits_stand_once", "esm/mapping/limits.py", "MOST = 6 * 1024 * 1024\n"),
    ("limits_stand_once", "esm/a.py", "TURNS = 10_000\nmost: int = 10_000\n"),
    ("limits_stand_once", "esm/a.py", "most = 1_000\ntext = '10000'\n"),
    ("suppressions_have_reasons", "esm/a.py", "x = 1  # noqa: BLE001 - a function may raise anything\n"),
    ("suppressions_have_reasons", "esm/a.py", "x = 1  # noqa: S101, S102  # a function may raise anything\n"),
    ("suppressions_have_reasons", "esm/a.py", "# ruff: noqa: SLF001  # a loop reads asyncio's own fields\n"),
    ("suppressions_have_reasons", "esm/a.py", "x = 1  # type: ignore[arg-type]  # a user's own mistake\n"),
    ("suppressions_have_reasons", "esm/a.py", "x = 1  # pragma: no cover - Windows alone comes here\n"),
    ("it_speaks_of_itself", "README.md", "`file:///tmp/x`, ~/.aws/config, examples/demo, https://a.example/work/\n"),
    (
        "it_speaks_of_itself",
        "README.md",
        "a number of issues; .emulators/ is ours, and so are .compiled/ and .venv/bin\n",
    ),
    ("tests_do_not_sleep", "tests/service/a.py", "time.sleep(1)\n"),
    ("tests_do_not_sleep", "tests/unit/a.py", "await asyncio.sleep(1)\n"),
    (
        "the_changelog_keeps_its_form",
        "CHANGELOG.md",
        "# Changelog\n\nWords.\n\n## [Unreleased]\n\n### Fixed\n\n- a\n  b\n\n## [0.1.0] - 2026-01-01\n",
    ),
    ("the_changelog_keeps_its_form", "README.md", "# Other\n"),
]


@pytest.mark.parametrize(("rule", "path", "text"), KEPT)
def test_a_rule_lets_good_work_pass(rule: str, path: str, text: str) -> None:
    assert found(rule, path, text) == []


def test_each_rule_has_a_breach_and_a_good_example() -> None:
    names = {rule.__name__ for rule in RULES}
    assert {rule for rule, *_ in BREACHES} == names
    assert {rule for rule, *_ in KEPT} == names
