from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from esm.errors import HandlerNotFoundError
from esm.handlers.resolve import resolve

MODULE = """
def handle(event, context): return "handled"
def handel_all(event, context=None): return "all"
def one(event): ...
def three(event, context, session): ...
def named(*, event, context): ...
NUMBER = 3
class Orders:
    def method(self, event, context): ...
    @staticmethod
    def static(event, context): return "static"
    @classmethod
    def of_class(cls, event, context): return "of class"
    class Inner:
        @staticmethod
        def deep(event, context): return "deep"
orders = Orders()
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A package that can be imported, of a name no other test has used."""
    name = f"shop{abs(hash(request.node.nodeid)):x}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "orders.py").write_text(MODULE)
    (folder / "needs.py").write_text("import no_such_library_anywhere\n")
    (folder / "broken.py").write_text("1 / 0\n")
    (folder / "leaves.py").write_text("raise SystemExit(2)\n")
    (folder / "silent.py").write_text("raise ValueError\n")
    (folder / "syntax.py").write_text("def handle(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    return name


def found(name: str) -> Any:
    return resolve(name)({}, None)


@pytest.mark.parametrize("form", ["{}.orders:handle", "{}.orders.handle", "{}/orders.handle", "{}/orders:handle"])
def test_a_function_is_found_by_every_form_of_its_name(package: str, form: str) -> None:
    assert found(form.format(package)) == "handled"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("Orders.static", "static"),
        ("Orders.of_class", "of class"),
        ("Orders.Inner.deep", "deep"),
        ("handel_all", "all"),
    ],
)
def test_what_a_class_holds_is_found(package: str, path: str, value: str) -> None:
    assert found(f"{package}.orders:{path}") == value


def test_a_method_of_an_object_is_found(package: str) -> None:
    assert resolve(f"{package}.orders:orders.method").__name__ == "method"


def test_a_callable_is_itself() -> None:
    def handle(event: Any, context: Any) -> None: ...

    def bound(session: Any, event: Any, context: Any) -> None: ...

    class Callee:
        def __call__(self, event: Any, context: Any) -> None: ...

    callee = Callee()
    partial = functools.partial(bound, 1)
    for handler in (handle, callee, partial, divmod, max):
        assert resolve(handler) is handler


def test_a_decorator_that_gives_more_than_it_takes_counts_by_what_it_takes() -> None:
    def with_session(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(event: Any, context: Any) -> Any:
            return function(event, context, "session")

        return wrapper

    @with_session
    def handle(event: Any, context: Any, session: str) -> str:
        return session

    assert resolve(handle)({}, None) == "session"


def line(name: Any) -> tuple[str, BaseException | None]:
    with pytest.raises(HandlerNotFoundError) as caught:
        resolve(name)
    text = str(caught.value)
    assert "\n" not in text
    return text, caught.value.__cause__


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("{}.ordres:handle", "handler '{}.ordres:handle': there is no module '{}.ordres'; near to it: orders"),
        ("{}.orders.x:handle", "handler '{}.orders.x:handle': there is no module '{}.orders.x'"),
        ("{}.zzzz.handle", "handler '{}.zzzz.handle': there is no module '{}.zzzz'"),
        (
            "{}.orders:handl",
            "handler '{}.orders:handl': module '{}.orders' has no 'handl'; near to it: handle, handel_all",
        ),
        ("{}.orders:qqq", "handler '{}.orders:qqq': module '{}.orders' has no 'qqq'"),
        (
            "{}.orders:Orders.statik",
            "handler '{}.orders:Orders.statik': 'Orders' of module '{}.orders' has no 'statik'; near to it: static",
        ),
        ("{}.orders:NUMBER", "handler '{}.orders:NUMBER' is not callable, it is a int"),
        ("{}.orders:one", "handler '{}.orders:one' takes (event), but is called with (event, context)"),
        (
            "{}.orders:three",
            "handler '{}.orders:three' takes (event, context, session), but is called with (event, context)",
        ),
        ("{}.orders:named", "handler '{}.orders:named' takes (*, event, context), but is called with (event, context)"),
        (
            "{}.orders:Orders.method",
            "handler '{}.orders:Orders.method' takes (self, event, context), but is called with (event, context)",
        ),
    ],
)
def test_what_is_missing_is_said_in_one_line(package: str, name: str, said: str) -> None:
    text, cause = line(name.replace("{}", package))
    assert text == said.replace("{}", package)
    assert cause is None


@pytest.mark.parametrize(
    "name", ["", "handle", ":", ":handle", "a.b:", "a b:c", "a..b:c", "a-b.c", "a:b:c", ".", "3.x"]
)
def test_what_is_no_name_is_told_how_to_write_one(name: str) -> None:
    text, _ = line(name)
    assert text.endswith("is no name of a function: write package.module:function or package.module.function")


def test_a_missing_package_at_the_top_names_those_near_to_it() -> None:
    assert line("asyncoi:run")[0].startswith("handler 'asyncoi:run': there is no module 'asyncoi'; near to it: asyncio")


@pytest.mark.parametrize(
    ("module", "said", "cause"),
    [
        ("needs", "raised ModuleNotFoundError: No module named 'no_such_library_anywhere'", ModuleNotFoundError),
        ("broken", "raised ZeroDivisionError: division by zero", ZeroDivisionError),
        ("leaves", "raised SystemExit: 2", SystemExit),
        ("silent", "raised ValueError", ValueError),
        ("syntax", "raised SyntaxError: ", SyntaxError),
    ],
)
def test_a_module_that_raises_keeps_its_own_traceback(
    package: str,
    module: str,
    said: str,
    cause: type[BaseException],
) -> None:
    text, raised = line(f"{package}.{module}:handle")
    assert text.startswith(f"handler '{package}.{module}:handle': importing '{package}.{module}' {said}")
    assert type(raised) is cause
    assert raised.__traceback__ is not None


def test_what_is_neither_a_name_nor_callable_is_refused() -> None:
    assert line(3)[0] == "handler 'int' is not callable, it is a int"
    assert "takes ()" in line(lambda: None)[0]
