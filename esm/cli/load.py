"""The mappings that `module:object` names."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from esm.cli.exits import Exit, Failure
from esm.errors import EsmError, HandlerNotFoundError
from esm.mapping.settings import EventSourceMapping, check_distinct
from esm.templates.suffixes import is_template

__all__ = ["check_either", "load", "look_in", "only_one", "select"]

_HOW = "write module:object, as in app:mappings, or the name of a template"


def load(target: str, app_dir: Path) -> list[EventSourceMapping]:
    """The mappings of `target`: one, an iterable of them, or what a callable without arguments gives; or a template's.

    `app_dir`: where modules are looked for first. Raises `Failure`; and what the user's own settings raise of ours.
    """
    if is_template(target):
        return _of_file(target)
    module_name, colon, path = target.partition(":")
    if not colon or not path or not all(part.isidentifier() for part in (*module_name.split("."), *path.split("."))):
        raise Failure(Exit.INVALID, f"MODULE:OBJECT={target!r}: {_HOW}{_hint(target)}")
    look_in(app_dir)
    found = _import(module_name, target, app_dir)
    for name in path.split("."):
        found = _attribute(found, name, target, module_name)
    mappings = _mappings(_called(found, target), target)
    check_distinct(mappings)
    return mappings


def look_in(app_dir: Path) -> None:
    """Modules are looked for there first."""
    if sys.path[:1] != [folder := str(app_dir.resolve())]:  # once, however often it is loaded anew
        sys.path.insert(0, folder)


def check_either(function: str | None, mapping: str | None) -> None:
    """Nothing, when one of them was typed. Raises `Failure` for none and for both."""
    if (function is None) is (mapping is None):
        raise Failure(Exit.INVALID, "give either --function app:handler or --mapping app:mappings")


def _of_file(target: str) -> list[EventSourceMapping]:
    from esm.cli.templates.mappings import Typed, open_plan  # noqa: PLC0415  # a module's mappings need none of it

    plan = open_plan(target, Typed(), region=None, endpoint_url=None)
    found = [each.mapping for each in plan.planned if each.mapping is not None]
    if not found:
        raise Failure(Exit.UNSUPPORTED, f"{target}: {plan.planned[0].logical_id}: {plan.planned[0].refusal}")
    return found


def select(
    mappings: Sequence[EventSourceMapping], only: Sequence[str], without: Sequence[str]
) -> list[EventSourceMapping]:
    """Those that `only` names (all, when it is empty) and `without` does not, by uuid or by the function's name."""
    for option, names in (("--only", only), ("--except", without)):
        for name in names:
            if not any(_is_named(mapping, [name]) for mapping in mappings):
                known = sorted({mapping.function.name for mapping in mappings})
                raise Failure(Exit.INVALID, f"{option}={name!r}: no mapping has this uuid or function; {_list(known)}")
    chosen = [m for m in mappings if (not only or _is_named(m, only)) and not _is_named(m, without)]
    if not chosen:
        raise Failure(Exit.INVALID, "no mapping is left to run: see --only and --except")
    return chosen


def only_one(mappings: Sequence[EventSourceMapping], what: str) -> EventSourceMapping:
    """The one that there is. `what`: is done with one at a time. Raises `Failure` when there are more."""
    if len(mappings) > 1:
        names = ", ".join(mapping.function.name for mapping in mappings)
        raise Failure(Exit.INVALID, f"{what}; choose with --only: {names}")
    return mappings[0]


def _import(module_name: str, target: str, app_dir: Path) -> Any:
    try:
        return importlib.import_module(module_name)
    except EsmError:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise _broken(module_name, target, error) from error
        where = f"in {app_dir} or the environment; see --app-dir"
        line = f"MODULE:OBJECT={target!r}: there is no module {error.name!r} {where}"
        raise Failure(Exit.HANDLER_NOT_FOUND, line) from None
    except (Exception, SystemExit) as error:
        raise _broken(module_name, target, error) from error


def _attribute(owner: Any, name: str, target: str, module_name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError:
        near = get_close_matches(name, [other for other in dir(owner) if not other.startswith("__")], n=3)
        hint = f"; near to it: {', '.join(near)}" if near else ""
        line = f"MODULE:OBJECT={target!r}: {module_name} has no {name!r}{hint}"
        raise Failure(Exit.HANDLER_NOT_FOUND, line) from None


def _called(found: Any, target: str) -> Any:
    if isinstance(found, EventSourceMapping) or not callable(found):
        return found
    _check_arguments(found, target)
    try:
        given = found()
    except EsmError:
        raise
    except (Exception, SystemExit) as error:
        said = str(error).partition("\n")[0]
        line = f"MODULE:OBJECT={target!r}: calling it raised {type(error).__name__}{said and ': ' + said}"
        raise Failure(Exit.HANDLER_NOT_FOUND, line) from error
    if inspect.iscoroutine(given):
        given.close()
        raise Failure(Exit.INVALID, f"MODULE:OBJECT={target!r}: is an async def; a plain one is called here")
    return given


def _check_arguments(found: Any, target: str) -> None:
    """Nothing, when it can be called without any. Raises `Failure`: mostly a handler was typed, not its mappings."""
    try:
        signature = inspect.signature(found)
    except ValueError:
        return  # some builtins do not tell: the call will
    try:
        signature.bind()
    except TypeError:
        line = f"MODULE:OBJECT={target!r}: takes {signature}; name mappings, or a function without arguments for them"
        raise Failure(Exit.INVALID, line) from None


def _mappings(found: Any, target: str) -> list[EventSourceMapping]:
    if isinstance(found, EventSourceMapping):
        return [found]
    given = list(found.values() if isinstance(found, dict) else found) if isinstance(found, Iterable) else [found]
    wrong = next((type(each).__name__ for each in given if not isinstance(each, EventSourceMapping)), None)
    if wrong is not None:
        line = f"MODULE:OBJECT={target!r}: holds a {wrong}; it must be an esm.EventSourceMapping, several, or give them"
        raise Failure(Exit.INVALID, line)
    if not given:
        raise Failure(Exit.INVALID, f"MODULE:OBJECT={target!r}: holds no mapping")
    return given


def _broken(module_name: str, target: str, error: BaseException) -> Exception:
    if isinstance(error.__cause__, EsmError) and not isinstance(error.__cause__, HandlerNotFoundError):
        return error.__cause__
    said = str(error).partition("\n")[0]
    line = f"MODULE:OBJECT={target!r}: importing {module_name!r} raised {type(error).__name__}{said and ': ' + said}"
    return Failure(Exit.HANDLER_NOT_FOUND, line)


def _hint(target: str) -> str:
    stem = Path(target).stem
    return f" (perhaps {stem}:mappings)" if target.endswith(".py") and stem.isidentifier() else ""


def _is_named(mapping: EventSourceMapping, names: Sequence[str]) -> bool:
    return mapping.uuid in names or mapping.function.name in names or mapping.function.qualified_name in names


def _list(names: Sequence[str]) -> str:
    return f"there are {', '.join(names)}"
