"""Which functions cannot share a process, and why."""

from __future__ import annotations

from pathlib import Path

from esm.mapping.function import Function
from esm.mapping.settings import EventSourceMapping
from esm.templates.clashes import clashing, top_modules
from esm.templates.code import Code, located
from esm.templates.inline import inline_folder
from esm.templates.mappings import Planned


def planned(name: str, folders: list[Path], **environment: str) -> Planned:
    mapping = EventSourceMapping(
        event_source_arn=f"arn:aws:sqs:us-east-1:000000000000:{name}",
        function=Function("app.handle", name=name, environment=environment),
    )
    return Planned(logical_id=f"{name}Mapping", function_id=name, mapping=mapping, code=Code(folders=tuple(folders)))


def folder(path: Path, *modules: str) -> Path:
    path.mkdir()
    for module in modules:
        (path / module).touch()
    return path


def test_one_folder_for_all_functions_is_shared(tmp_path: Path) -> None:
    code = folder(tmp_path / "src", "app.py", "other.py")
    assert clashing([planned("a", [code], STAGE="dev"), planned("b", [code], STAGE="dev"), planned("c", [])]) == {}


def test_folders_whose_modules_have_different_names_are_shared(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "one", "orders.py"), folder(tmp_path / "other", "bills.py", "README.md")
    assert clashing([planned("a", [one], AA="1"), planned("b", [other], BB="2")]) == {}


def test_modules_of_the_same_name_are_apart(tmp_path: Path) -> None:
    one, other, third = (folder(tmp_path / name, "app.py") for name in "abc")
    (third / "app.py").rename(third / "third.py")
    found = clashing([planned("a", [one]), planned("b", [other]), planned("c", [third])])
    assert found == dict.fromkeys("ab", "module app is not the same for all functions")


def test_a_layer_of_two_functions_is_one_folder(tmp_path: Path) -> None:
    layer = folder(tmp_path / "layer", "tools.py")
    one, other = folder(tmp_path / "one", "orders.py"), folder(tmp_path / "other", "bills.py")
    assert clashing([planned("a", [one, layer]), planned("b", [other, layer])]) == {}


def test_a_variable_with_two_values_keeps_functions_apart(tmp_path: Path) -> None:
    code = folder(tmp_path / "src", "app.py")
    found = clashing([planned("a", [code], QUEUE="1"), planned("b", [code], QUEUE="2"), planned("c", [code])])
    assert found == dict.fromkeys("ab", "environment variable QUEUE is not the same for all functions")


def test_what_is_no_module(tmp_path: Path) -> None:
    code = folder(tmp_path / "src", "app.py", "notes.txt")
    (code / "pkg").mkdir()
    (code / "app-1.0.dist-info").mkdir()
    assert top_modules(code) == {"app", "pkg"}
    assert top_modules(tmp_path / "gone") == frozenset()


def test_where_a_handler_s_module_is(tmp_path: Path) -> None:
    code = folder(tmp_path / "src", "app.py", "code.zip")
    (code / "pkg").mkdir()
    (code / "pkg/__init__.py").touch()
    (code / "pkg/mod.py").touch()
    known = Code(folders=(code,))
    assert located("app.handle", known) == code / "app.py"
    assert located("pkg/mod.handle", known) == code / "pkg/mod.py"
    assert located("pkg.mod:handle", known) == code / "pkg/mod.py"
    assert located("pkg.handle", known) == code / "pkg/__init__.py"
    assert located("gone.handle", known) is None
    assert located("any.handle", Code(folders=(code / "code.zip",))) == code / "code.zip"


def test_inline_code_is_a_module_of_its_own() -> None:
    text = "def handle(event, context):\n    return 'inline'\n"
    found = inline_folder(text)
    assert (found / "index.py").read_text() == text
    assert inline_folder(text) == found
    assert inline_folder(text + "\n") != found
