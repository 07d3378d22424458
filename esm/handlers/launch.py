"""Starts a process of a function: a fresh interpreter, which imports what it needs and inherits one socket.

Never a fork of this process, whose threads and locks would not be there in the copy. Not `multiprocessing` either: its
ways to start afresh leave a process of their own behind, and its queues carry pickles.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from esm.errors import HandlerNotFoundError, MappingError
from esm.handlers.context import FunctionFacts
from esm.handlers.resolve import resolve
from esm.mapping.function import Function

__all__ = ["Place", "launched", "place_of", "surroundings"]

# -c, not -m: that would look for esm in the current folder first. What is looked through is what this process does.
_BEGIN = """\
import sys
sys.path[:] = sys.argv[2:]
from esm.handlers.child import main
descriptor = int(sys.argv[1])
del sys.argv[1:]
main(descriptor)
"""

_RESERVED = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)
"""What a function's own environment may not set.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html#configuration-envvars-runtime
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process finds a handler. `main`: the file of the program, when the handler is `__main__:...`."""

    handler: str
    main: str | None = None


def place_of(function: Function) -> Place:
    """Where another process finds the handler of `function`.

    Raises `MappingError` for a callable that has no name there: a lambda, a function within a function, a partial; and
    for an environment that sets what is Lambda's.
    """
    _check_environment(function.environment)
    handler = function.handler
    name = handler if isinstance(handler, str) else _name_of(handler)
    module, _, path = name.partition(":")
    return _place_in_main(path, handler) if module == "__main__" else Place(name)


def launched(descriptor: int, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """A process that serves the socket `descriptor`, in a group of its own, so that all of it can be killed.

    Standard output and error are this process's own. Raises `OSError` when the system gives no process.
    """
    return subprocess.Popen(  # noqa: S603  # this interpreter, and our own program
        [sys.executable, "-P", "-c", _BEGIN, str(descriptor), *map(str, sys.path)],
        stdin=subprocess.DEVNULL,
        env=dict(environment),
        pass_fds=(descriptor,),
        start_new_session=True,
    )


def surroundings(function: Function, handler: str, facts: FunctionFacts, region: str) -> dict[str, str]:
    """The variables of a process: this process's, then the function's own, then Lambda's. `region`: "" for none.

    Credentials are this process's. `LAMBDA_TASK_ROOT`, `AWS_EXECUTION_ENV` and `AWS_LAMBDA_RUNTIME_API` are not set:
    libraries take them for a sign that X-Ray's daemon and Lambda's API are there. (chosen)
    """
    return {
        **os.environ,
        "TZ": ":UTC",
        **function.environment,
        "_HANDLER": handler,
        **({"AWS_REGION": region, "AWS_DEFAULT_REGION": region} if region else {}),
        "AWS_LAMBDA_FUNCTION_NAME": facts.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": facts.function_version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": facts.memory_limit_in_mb,
        "AWS_LAMBDA_LOG_GROUP_NAME": facts.log_group_name,
        "AWS_LAMBDA_LOG_STREAM_NAME": facts.log_stream_name,
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    }


def _check_environment(environment: Mapping[str, str]) -> None:
    reserved = sorted(_RESERVED & environment.keys())
    if reserved:
        said = (
            "Lambda was unable to configure your environment variables because the environment variables you have "
            "provided contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
        raise MappingError(said, field="environment", value=reserved)
    empty = sorted(name for name, value in environment.items() if "\0" in value)
    if empty:
        said = f"No process can have an environment variable with a null character: {', '.join(empty)}"
        raise MappingError(said, field="environment", value=empty)


def _name_of(handler: Any) -> str:
    module, path = getattr(handler, "__module__", None), getattr(handler, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(path, str) or not _leads_to(module, path, handler):
        title = path or type(handler).__name__
        said = (
            f"isolation 'process' needs a function that another process can find by its name: {title!r} is none that "
            "stands in a module. Move it there, or give its name as 'package.module:function'."
        )
        raise MappingError(said, field="isolation", value="process")
    return f"{module}:{path}"


def _leads_to(module: str, path: str, handler: Any) -> bool:
    try:
        return bool(resolve(f"{module}:{path}") == handler)  # == and not `is`: a class method is made anew each time
    except HandlerNotFoundError:
        return False


def _place_in_main(path: str, handler: Any) -> Place:
    """The handler stands in the program that was started: a module of its own for others, or a file."""
    main: ModuleType = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None and spec.name != "__main__":
        return Place(f"{spec.name}:{path}")
    if file is None:
        said = f"isolation 'process' needs a function in a file: {path!r} was typed into an interpreter."
        raise MappingError(said, field="isolation", value=str(handler))
    return Place(f"__main__:{path}", os.path.abspath(file))  # noqa: PTH100  # as Python resolves it: links stay
