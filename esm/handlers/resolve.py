"""Finds a function by its name, and says in one line why it cannot be had.

Lambda's own form: https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html#naming
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from types import ModuleType
from typing import Any

from esm.errors import HandlerNotFoundError

__all__ = ["checked", "parts", "resolve"]

Handler = Callable[..., Any]


def resolve(handler: Handler | str) -> Handler:
    """The function that `handler` is or names, able to take `(event, context)`.

    Names: `package.module:function`, `package.module:Class.method`, and Lambda's `package.module.function` and
    `package/module.function`. Raises `HandlerNotFoundError`; where a module raised on import, that is its `__cause__`.
    """
    if isinstance(handler, str):
        return checked(_find(handler), repr(handler))
    return checked(handler, _title(handler))


def parts(name: str) -> tuple[str, list[str]]:
    """The module of a handler's name, and the attributes that lead on from there. Raises `HandlerNotFoundError`."""
    module_name, _, path = name.partition(":") if ":" in name else name.rpartition(".")
    module_name = module_name.replace("/", ".")
    if not all(part.isidentifier() for part in (*module_name.split("."), *path.split("."))):
        msg = f"handler {name!r} is no name of a function: write package.module:function or package.module.function"
        raise HandlerNotFoundError(msg)
    return module_name, path.split(".")


def checked(found: Any, title: str) -> Handler:
    """`found`, when it can be called with (event, context). Raises `HandlerNotFoundError`, which names it `title`."""
    if not callable(found):
        msg = f"handler {title} is not callable, it is a {type(found).__name__}"
        raise HandlerNotFoundError(msg)
    handler: Handler = found
    try:
        # A decorator may give more arguments than it takes: what it takes is what counts.
        signature = inspect.signature(handler, follow_wrapped=False)
    except (TypeError, ValueError):
        return handler  # some builtins do not tell: the first call will
    try:
        signature.bind(None, None)
    except TypeError:
        msg = f"handler {title} takes {signature}, but is called with (event, context)"
        raise HandlerNotFoundError(msg) from None
    return handler


def _find(name: str) -> Any:
    module_name, path = parts(name)
    found: Any = _import(module_name, name)
    where = f"module {module_name!r}"
    for attribute in path:
        found = _attribute(found, attribute, name, where)
        where = f"{attribute!r} of {where}"
    return found


def _import(module_name: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            near = _near(error.name.rpartition(".")[2], _siblings(error.name))
            msg = f"handler {name!r}: there is no module {error.name!r}{near}"
            raise HandlerNotFoundError(msg) from None
        raise _broken(module_name, name, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(module_name, name, error) from error


def _broken(module_name: str, name: str, error: BaseException) -> HandlerNotFoundError:
    said = str(error).partition("\n")[0]
    return HandlerNotFoundError(
        f"handler {name!r}: importing {module_name!r} raised {type(error).__name__}{said and ': ' + said}",
    )


def _attribute(owner: Any, attribute: str, name: str, where: str) -> Any:
    try:
        return getattr(owner, attribute)
    except AttributeError:
        msg = f"handler {name!r}: {where} has no {attribute!r}{_near(attribute, dir(owner))}"
        raise HandlerNotFoundError(msg) from None


def _siblings(module_name: str) -> list[str]:
    """The modules beside a missing one. A parent is there, or it would be the missing one."""
    parent, _, _ = module_name.rpartition(".")
    path = getattr(importlib.import_module(parent), "__path__", []) if parent else None
    return [module.name for module in pkgutil.iter_modules(path)]


def _near(wanted: str, there: Iterable[str]) -> str:
    near = get_close_matches(wanted, [n for n in there if not n.startswith("__")], n=3)
    return f"; near to it: {', '.join(near)}" if near else ""


def _title(handler: Any) -> str:
    return repr(getattr(handler, "__qualname__", None) or type(handler).__name__)
