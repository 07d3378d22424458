"""What `esm run --watch` watches, and which modules it forgets."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, cast

import pytest

import esm
from esm.cli.running.watch import Watch, watched
from esm.mapping.settings import EventSourceMapping

STREAM = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"


def module_at(path: Path, name: str, text: str = "") -> ModuleType:
    """A module of that name, as if it had been imported from there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    module = ModuleType(name)
    module.__file__ = str(path)
    exec(compile(text, str(path), "exec"), module.__dict__)  # noqa: S102  # the text stands in this file
    return module


def forgotten(folder: Path, names: list[str]) -> list[str]:
    """Which of the modules are gone while mappings are loaded anew."""
    gone: list[str] = []

    def load() -> list[EventSourceMapping]:
        gone.extend(name for name in names if name not in sys.modules)
        raise ValueError("so that all of them come back")

    with pytest.raises(ValueError, match="come back"):
        Watch([folder], load)._loaded()  # the part without files that change
    assert all(name in sys.modules for name in names)
    return gone


@pytest.mark.parametrize(
    ("place", "own"),
    [
        ("app_x.py", True),
        ("deep/er/app_x.py", True),
        ("venv/lib/python3.11/site-packages/app_x.py", False),
        (".venv/lib/app_x.py", False),
        ("venv/lib/python3/dist-packages/app_x.py", False),
    ],
)
def test_only_the_users_own_modules_are_forgotten(
    place: str, own: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "app_x", module_at(tmp_path / place, "app_x"))
    assert forgotten(tmp_path, ["app_x"]) == (["app_x"] if own else [])


def test_the_library_itself_stays_also_when_its_own_checkout_is_watched() -> None:
    root = Path(esm.__file__).parents[1]
    assert forgotten(root, ["esm", "esm.mapping.settings"]) == []


def mapping_of(handler: Callable[..., object] | esm.Function) -> EventSourceMapping:
    return EventSourceMapping(event_source_arn=STREAM, function=handler, starting_position="LATEST")


def test_code_beside_the_mappings_is_watched_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "def handle(event, context):\n    pass\n"
    base, other = tmp_path / "base", tmp_path / "other"
    base.mkdir()
    inside, outside, installed = (
        module_at(base / "code" / "in_x.py", "in_x", text),
        module_at(other / "out_x.py", "out_x", text),
        module_at(tmp_path / "site-packages" / "pip_x.py", "pip_x", text),
    )
    for module in (inside, outside, installed):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    mappings = [mapping_of(module.handle) for module in (inside, outside, installed)]
    apart = esm.Function("app.handle", isolation="process", folder=str(tmp_path / "apart"))
    assert watched(base, [*mappings, mapping_of(apart)]) == [tmp_path / "apart", base, other]


def followed(
    folder: Path, failures: list[Exception], monkeypatch: pytest.MonkeyPatch, *, back_at_once: bool = False
) -> list[tuple[str, Any]]:
    """What is announced when the system fails so, watch after watch, and then the folder goes, and another comes."""
    told: list[tuple[str, Any]] = []

    async def awatch(*_: object, **__: object) -> AsyncGenerator[set[tuple[int, str]], None]:
        if failures:
            raise failures.pop(0)
        yield set()
        shutil.rmtree(folder)
        if back_at_once:
            come_back()
        yield set()
        pytest.fail("nobody listens to the old folder any more")

    def announce(event: str, **values: object) -> None:
        told.append((event, values.get("reason", values.get("folders"))))
        if event == "watch_lost":
            come_back()

    def come_back() -> None:
        folder.mkdir()
        failures.append(OSError("no more"))

    monkeypatch.setattr("watchfiles.awatch", awatch)
    monkeypatch.setattr("esm.cli.running.watch.announce", announce)
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)  # put back afterwards, as the variable is
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    asyncio.run(Watch([folder], list).follow(cast("esm.Worker", None)))
    return told


def test_a_system_that_watches_no_more_files_is_told_and_nothing_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = followed(tmp_path, [FileNotFoundError("just gone"), RuntimeError("file watch limit")], monkeypatch)
    assert told == [("watch_failed", "file watch limit; changes are not seen any more, what runs goes on")]


def test_a_folder_that_goes_is_told_and_the_next_one_of_its_name_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "code"
    folder.mkdir()
    told = followed(folder, [], monkeypatch, back_at_once=True)
    assert [event for event, _ in told] == ["watching", "watch_failed"], "the system may give it the same number"
    told = followed(folder, [], monkeypatch)
    assert [event for event, _ in told] == ["watching", "watch_lost", "watch_failed"]
    assert told[1][1] == "gone; what runs goes on, and when it is back it is loaded anew"


Step = Callable[[], set[str] | None]
"""Does something to the files; gives the paths that the system tells of."""


def played(
    folders: Sequence[Path], watches: Sequence[Sequence[Step]], monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, object]]:
    """What is announced when this happens, watch after watch, each of the folders that it says; then no more."""
    told: list[tuple[str, object]] = []
    steps: Iterator[Sequence[Step]] = iter(watches)

    async def awatch(*_: object, **__: object) -> AsyncGenerator[set[tuple[int, str]], None]:
        for step in next(steps, ()):
            yield {(1, path) for path in step() or ()}
        raise OSError("no more")

    def announce(event: str, **values: object) -> None:
        told.append((event, values.get("changed", values.get("folders"))))

    monkeypatch.setattr("watchfiles.awatch", awatch)
    monkeypatch.setattr("esm.cli.running.watch.announce", announce)
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    async def bounded() -> None:
        async with asyncio.timeout(5):
            await Watch(folders, list).follow(cast("esm.Worker", SimpleNamespace(mappings=())))

    asyncio.run(bounded())
    return told


def write(path: Path, text: str, second: int) -> set[str]:
    """Writes a file as of that second of the clock."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    os.utime(path, (second, second))
    return {str(path)}


def nothing() -> None:
    """Time passes."""


def test_a_folder_that_goes_stops_no_reload_of_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    code, other = a / "m.py", b / "f.py"
    write(code, "v = 1", 1)
    write(other, "w = 1", 1)
    told = played(
        [a, b],
        [
            [nothing, lambda: shutil.rmtree(b)],
            [nothing, nothing, lambda: write(code, "v = 2", 2), lambda: write(other, "w = 1", 1)],
            [nothing],
        ],
        monkeypatch,
    )
    assert told == [
        ("watching", [str(a), str(b)]),
        ("watch_lost", [str(b)]),
        ("watching", [str(a)]),
        ("reloaded", ["m.py"]),
        ("watching", [str(a), str(b)]),
        ("reloaded", ["f.py"]),
        ("watch_failed", None),
    ]


def test_a_change_that_comes_as_another_folder_goes_is_held_against_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    code = a / "m.py"
    write(code, "v = 1", 1)
    write(b / "f.py", "w = 1", 1)

    def back_to_the_first() -> set[str]:
        shutil.rmtree(b)
        return write(code, "v = 1", 1)

    told = played([a, b], [[nothing, lambda: write(code, "v = 2", 2), back_to_the_first], [nothing]], monkeypatch)
    assert [changed for event, changed in told if event == "reloaded"] == [["m.py"], ["m.py"]]


@pytest.mark.parametrize("kept", ["v = 1", "v = 2"])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_folder_that_comes_back_is_loaded_whatever_its_times(
    kept: str, at_once: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy may keep the times of the files that were there at the start, or of those that run."""
    a, b = tmp_path / "a", tmp_path / "b"
    code = b / "m.py"
    write(a / "n.py", "", 1)
    write(code, "v = 1", 1)

    def back() -> None:
        write(code, kept, int(kept[-1]))

    def gone() -> None:
        shutil.rmtree(b)
        if at_once:
            back()

    watches: list[list[Step]] = [[nothing, lambda: write(code, "v = 2", 2), gone], [nothing], [nothing]]
    if not at_once:
        watches[1].append(back)
    told = played([a, b], watches, monkeypatch)
    assert [changed for event, changed in told if event == "reloaded"] == [["m.py"], ["m.py"]]
    assert [event for event, _ in told].count("watch_lost") == (0 if at_once else 1)


def test_when_no_folder_is_there_the_first_that_is_back_is_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    looks = iter([nothing, nothing, b.mkdir])

    async def passing(_: float) -> None:
        next(looks)()

    monkeypatch.setattr("esm.cli.running.watch.asyncio.sleep", passing)
    told = played([a, b], [[nothing]], monkeypatch)
    assert told == [("watch_lost", [str(a), str(b)]), ("watching", [str(b)]), ("watch_failed", None)]
