from __future__ import annotations

import dataclasses
import functools
from typing import Any

import pytest

from esm.errors import MappingError
from esm.mapping.function import Function


async def handle(event: Any, context: Any) -> None:
    """A handler that is never called."""


class Handler:
    """A callable object, and a method."""

    def __call__(self, event: Any, context: Any) -> None:
        """Never called."""

    def on_event(self, event: Any, context: Any) -> None:
        """Never called."""


def refusal(*handler: Any, **settings: Any) -> MappingError:
    with pytest.raises(MappingError) as caught:
        Function(*(handler or (handle,)), **settings)
    return caught.value


def renamed(name: object) -> Any:
    def inner(event: Any, context: Any) -> None:
        """Never called."""

    inner.__dict__["__wrapped__"] = None
    return type("Named", (), {"__name__": name, "__call__": lambda *_: inner})()


@pytest.mark.parametrize(
    ("handler", "name"),
    [
        (handle, "handle"),
        (Handler(), "Handler"),
        (Handler, "Handler"),
        (Handler().on_event, "on_event"),
        (functools.partial(functools.partial(handle, 1), 2), "handle"),
        (lambda event, context: None, "lambda"),
        ("shop.orders:handle", "handle"),
        ("shop.orders.handle", "handle"),
        ("src/shop.handle", "handle"),
        ("shop:Orders.handle", "handle"),
        (renamed("über-prüfen"), "ber-pr_fen"),
        (renamed("日本"), "function"),
        (renamed(5), "5"),
        (renamed("x" * 100), "x" * 64),
    ],
)
def test_its_name_is_made_from_the_handler(handler: Any, name: str) -> None:
    assert Function(handler).name == name


def test_defaults() -> None:
    function = Function(handle)
    assert function.handler is handle
    assert (function.timeout, function.isolation, function.reserved_concurrency) == (3.0, "auto", None)
    assert (function.memory_size, function.environment, function.version) == (128, {}, "$LATEST")


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("name", "Orders-2_x"),
        ("timeout", 0.001),
        ("timeout", 900),
        ("isolation", "thread"),
        ("isolation", "process"),
        ("reserved_concurrency", 0),
        ("reserved_concurrency", 1000),
        ("memory_size", 128),
        ("memory_size", 10_240),
        ("environment", {"STAGE": "test"}),
        ("version", "live"),
        ("version", "42"),
    ],
)
def test_what_it_may_be(setting: str, value: Any) -> None:
    assert getattr(Function(handle, **{setting: value}), setting) == value


@pytest.mark.parametrize(
    ("setting", "value", "text"),
    [
        ("name", "a b", "Value 'a b' at 'name' failed to satisfy constraint: Member must satisfy regular expression"),
        ("name", "", "Member must satisfy regular expression pattern: [a-zA-Z0-9-_]{1,64}"),
        ("name", "x" * 65, "Member must have length less than or equal to 64"),
        ("name", 5, "Member must be a string"),
        ("timeout", 0, "Value '0' at 'timeout' failed to satisfy constraint: Member must have value greater than 0"),
        ("timeout", float("nan"), "Member must have value greater than 0"),
        ("timeout", float("inf"), "Member must have value less than or equal to 900"),
        ("timeout", 900.001, "Member must have value less than or equal to 900"),
        ("timeout", 10**400, "Member must have value less than or equal to 900"),
        ("timeout", True, "Member must be a number"),
        ("timeout", "3", "Member must be a number"),
        ("isolation", "fork", "Member must satisfy enum value set: [auto, thread, process]"),
        (
            "reserved_concurrency",
            -1,
            "at 'reservedConcurrentExecutions' failed to satisfy constraint: Member must have",
        ),
        ("memory_size", 127, "at 'memorySize' failed to satisfy constraint: Member must have value greater than or"),
        ("memory_size", 10_241, "Member must have value less than or equal to 10240"),
        ("environment", [], "Member must be a map"),
        ("environment", {"2": "x"}, "Map keys must satisfy constraint: [Member must satisfy [a-zA-Z][a-zA-Z0-9_]+]"),
        ("environment", {"STAGE": 5}, "Value 'STAGE' at 'environment' failed to satisfy constraint: Map values"),
        ("version", "a:b", "Member must satisfy regular expression pattern: "),
    ],
)
def test_what_it_may_not_be(setting: str, value: Any, text: str) -> None:
    refused = refusal(**{setting: value})
    assert refused.code == "ValidationException"
    assert refused.field == setting
    assert text in refused.message


@pytest.mark.parametrize("handler", [None, 5, "", "handle", "shop handle.x", "arn:aws:lambda:x", ".handle", "x" * 129])
def test_no_handler(handler: Any) -> None:
    assert refusal(handler).field == "handler"


def test_a_secret_in_the_environment_stays_one() -> None:
    refused = refusal(environment={"TOKEN": ["hunter2"]})
    assert "hunter2" not in refused.message
    assert refused.value == "TOKEN"
    assert "hunter2" not in repr(Function(handle, environment={"TOKEN": "hunter2"}))


def test_what_was_given_is_not_held() -> None:
    environment = {"STAGE": "test"}
    function = Function(handle, environment=environment)
    environment["STAGE"] = "live"
    assert function.environment == {"STAGE": "test"}


def test_it_is_frozen_and_can_be_copied_with_a_change() -> None:
    function = Function(handle, timeout=5, environment={"STAGE": "test"})
    with pytest.raises(dataclasses.FrozenInstanceError):
        function.timeout = 6  # type: ignore[misc]  # the point of the test
    assert dataclasses.replace(function, timeout=6) == Function(handle, timeout=6, environment={"STAGE": "test"})


def test_versions_are_different_functions() -> None:
    assert Function(handle).qualified_name == "handle"
    assert Function(handle, version="live").qualified_name == "handle:live"
    assert hash(Function(handle)) == hash(Function(handle, timeout=5))
    assert hash(Function(handle)) != hash(Function(handle, version="live"))


def test_a_folder_for_a_process_of_its_own() -> None:
    assert Function("app.handle").folder is None
    assert Function("app.handle", folder="/srv/orders").folder == "/srv/orders"
    with pytest.raises(MappingError, match="Member must have length greater than or equal to 1"):
        Function("app.handle", folder="")
