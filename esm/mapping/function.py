"""`Function`: the plain callable that a mapping calls, with what Lambda would know of it."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from esm.mapping.constraints import integer, matching, one_of, text, text_map, violated
from esm.mapping.limits import FUNCTION_MEMORY_MB, FUNCTION_NAME_LENGTH, FUNCTION_TIMEOUT_SECONDS

__all__ = ["Function", "Handler", "Isolation"]

Handler = Callable[..., Any] | str
"""A callable of (event, context), `"pkg.mod:func"`, or `"pkg.mod.func"` as Lambda writes it."""

Isolation = Literal["auto", "thread", "process"]

_ISOLATIONS = ("auto", "thread", "process")
_NAME = re.compile(r"[a-zA-Z0-9-_]{1,64}")
_VERSION = re.compile(r"\$LATEST|[a-zA-Z0-9-_]+")
_HANDLER = re.compile(r"[^\s:]+:[^\s:]+|[^\s:]+\.[^\s:.]+")
_TEXT_LENGTH = 128
_PATH_LENGTH = 4_096
_VARIABLE = re.compile(r"[a-zA-Z][a-zA-Z0-9_]+")
_LEAST_MEMORY, _MOST_MEMORY = FUNCTION_MEMORY_MB


@dataclass(frozen=True, init=False, slots=True)
class Function:
    """A callable with a name, a timeout and a limit of concurrency.

    Raises `MappingError` for a setting that Lambda would refuse. That a handler's text leads to something is found out
    by whoever runs it.
    Source: https://docs.aws.amazon.com/lambda/latest/api/API_CreateFunction.html
    """

    handler: Handler
    """What is called. AWS: `Handler`."""

    name: str
    """1 to 64 letters, digits, `-` and `_`. Default: made from the handler's own name, without its module.
    AWS: `FunctionName`.
    """

    timeout: float
    """Seconds, more than 0 and at most 900. Default: 3. AWS: `Timeout` (there in whole seconds)."""

    isolation: Isolation
    """Where it runs. `auto`: an `async def` is awaited, a `def` gets a thread. `thread`: always a thread. `process`:
    processes of its own, killed on timeout and beyond `memory_size`; the function has a name in a module, where another
    process finds it. Default: `auto`. Not in AWS.
    """

    reserved_concurrency: int | None
    """Invocations that may run at once, of all its mappings together; 0 blocks them all. Default: `None`, no limit.
    AWS: `ReservedConcurrentExecutions`.
    """

    memory_size: int
    """MB, 128 to 10,240: what the context object says, and what a process of its own may hold; nothing else is held to
    it. Default: 128. AWS: `MemorySize`.
    """

    environment: Mapping[str, str] = field(repr=False)
    """Variables by name, for the context and for a process of its own. Default: none. AWS: `Environment`."""

    folder: str | None
    """Where a process of its own looks for the handler's modules first. Default: `None`, where this process looks, too.
    Not in AWS.
    """

    version: str
    """`$LATEST`, a version's number or an alias: what follows the name in the function's ARN. Default: `$LATEST`."""

    def __init__(
        self,
        handler: Handler,
        *,
        name: str | None = None,
        timeout: float = 3.0,
        isolation: Isolation = "auto",
        reserved_concurrency: int | None = None,
        memory_size: int = 128,
        environment: Mapping[str, str] | None = None,
        folder: str | None = None,
        version: str = "$LATEST",
    ) -> None:
        put = functools.partial(object.__setattr__, self)
        put("handler", _handler(handler))
        put("name", _name_of(handler) if name is None else matching("name", name, _NAME, maximum=FUNCTION_NAME_LENGTH))
        put("timeout", _timeout(timeout))
        put("isolation", cast("Isolation", one_of("isolation", isolation, _ISOLATIONS)))
        put("reserved_concurrency", _reserved(reserved_concurrency))
        put("memory_size", integer("memory_size", memory_size, minimum=_LEAST_MEMORY, maximum=_MOST_MEMORY))
        put("environment", text_map("environment", {} if environment is None else environment, _VARIABLE))
        put("folder", None if folder is None else text("folder", folder, minimum=1, maximum=_PATH_LENGTH))
        put("version", matching("version", version, _VERSION, maximum=_TEXT_LENGTH))

    def __hash__(self) -> int:
        """By name and version, which is what tells functions apart."""
        return hash((self.name, self.version))

    @property
    def qualified_name(self) -> str:
        """The name, and the version behind it when it is not `$LATEST`: `orders`, `orders:live`."""
        return self.name if self.version == "$LATEST" else f"{self.name}:{self.version}"


_MEMORY = FUNCTION_MEMORY_MB


def _handler(handler: object) -> Handler:
    if isinstance(handler, str):
        return matching("handler", handler, _HANDLER, maximum=_TEXT_LENGTH)
    if not callable(handler):
        raise violated("handler", handler, "Member must be a callable or the name of one")
    return handler


def _name_of(handler: Handler) -> str:
    """A name that Lambda would accept: `pkg.mod:handle` and the function itself both give `handle`."""
    if isinstance(handler, str):
        own = re.split(r"[.:]", handler)[-1]
    else:
        plain = handler
        while isinstance(plain, functools.partial):
            plain = plain.func
        own = getattr(plain, "__name__", type(plain).__name__)
    return re.sub(r"[^a-zA-Z0-9-_]+", "_", str(own)).strip("_")[:FUNCTION_NAME_LENGTH] or "function"


def _timeout(timeout: object) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise violated("timeout", timeout, "Member must be a number")
    if not timeout > 0:
        raise violated("timeout", timeout, "Member must have value greater than 0")
    if timeout > FUNCTION_TIMEOUT_SECONDS:
        constraint = f"Member must have value less than or equal to {FUNCTION_TIMEOUT_SECONDS}"
        raise violated("timeout", timeout, constraint)
    return float(timeout)


def _reserved(concurrency: object) -> int | None:
    if concurrency is None:
        return None
    path = "reservedConcurrentExecutions"
    return integer("reserved_concurrency", concurrency, minimum=0, path=path)
