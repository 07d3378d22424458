"""A handler's module, imported as Lambda's runtime does, and Lambda's words where that fails.

Observed in the answers of functions that cannot be initialised.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from esm.errors import HandlerNotFoundError
from esm.handlers.answer import raised
from esm.handlers.invoker import Raised
from esm.handlers.resolve import checked, parts

__all__ = ["load"]


def load(name: str) -> Callable[[Any, Any], Any] | Raised:
    """The function that `name` leads to, or the error that every call would have. Raises nothing."""
    try:
        module_name, path = parts(name)
    except HandlerNotFoundError:
        return Raised("Runtime.MalformedHandlerName", f"Bad handler '{name}': it is no module and function")
    module = _imported(module_name)
    return module if isinstance(module, Raised) else _found(module, module_name, path, name)


def _imported(module_name: str) -> Any:
    try:
        return importlib.import_module(module_name)
    except ImportError as error:
        return Raised("Runtime.ImportModuleError", f"Unable to import module '{module_name}': {raised(error).message}")
    except SyntaxError as error:
        said = f"Syntax error in module '{module_name}': {raised(error).message}"
        return Raised("Runtime.UserCodeSyntaxError", said)
    except BaseException as error:  # noqa: BLE001  # a module's own code may raise anything, and is not obeyed
        return raised(error)


def _found(module: Any, module_name: str, path: list[str], name: str) -> Callable[[Any, Any], Any] | Raised:
    found = module
    for attribute in path:
        try:
            found = getattr(found, attribute)
        except AttributeError:
            said = f"Handler '{'.'.join(path)}' missing on module '{module_name}'"
            return Raised("Runtime.HandlerNotFound", said)
    try:
        return checked(found, repr(name))
    except HandlerNotFoundError as error:
        return Raised("Runtime.HandlerNotFound", str(error))
