"""What `make compiled` compiles: only code that mypyc keeps the meaning of, and all of it can be compiled."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.checkout import ROOT

HOOK = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]
COMPILED: list[str] = [path.removeprefix("/") for path in HOOK["mypyc"]["include"]]


_FIXED = {"frozen", "slots"}


def refused(code: str) -> Iterator[str]:
    """What of it mypyc would give another meaning."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                # One that is cancelled in its `finally` leaves the error to the next call of the same function, which
                # raises it. (observed with 1.19 to 2.4; those before do not get through a `finally` that awaits)
                yield "a coroutine"
            case ast.Yield() | ast.YieldFrom():
                yield "a generator"  # as a coroutine
            case ast.ClassDef(keywords=[_, *_]):
                yield "a class that is made by keywords"  # which are dropped: msgspec's are frozen and renamed by them
            case ast.Raise(cause=ast.expr()):
                yield "a raise with a cause"  # which is lost; and of `None`, what is being handled is shown
            case ast.Call(func=ast.Name(id="dataclass"), keywords=options) if _FIXED.issubset(o.arg for o in options):
                yield "a frozen dataclass with slots"  # which can be neither copied nor pickled
            case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="super"))), args=[*_, ast.Starred()]):
                yield "a call of a base class with whatever was given"  # which comes as one tuple


@pytest.mark.parametrize("path", COMPILED)
def test_what_is_compiled_means_the_same(path: str) -> None:
    assert list(refused((ROOT / path).read_text())) == []


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("async def f(): ...", "a coroutine"),
        ("def f():\n    yield 1", "a generator"),
        ("class Wire(msgspec.Struct, frozen=True): ...", "a class that is made by keywords"),
        ("raise TimeoutError from error", "a raise with a cause"),
        ("@dataclass(frozen=True, slots=True)\nclass Rules: ...", "a frozen dataclass with slots"),
        ("super().__init__(*args)", "a call of a base class with whatever was given"),
    ],
)
def test_what_would_not_is_seen(code: str, why: str) -> None:
    assert list(refused(code)) == [why]


def test_it_is_compiled_only_where_it_is_asked_for() -> None:
    assert HOOK["mypyc"]["enable-by-default"] is False
    assert sorted(set(COMPILED)) == COMPILED


def test_all_of_it_can_be_translated(tmp_path: Path) -> None:
    options = ["--ignore-missing-imports", f"--cache-dir={tmp_path / 'cache'}", *COMPILED]
    translate = f"from mypyc.build import mypycify; mypycify({options!r}, target_dir={str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", translate], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.glob("__native_*.c"))
