"""How the command line ends: every exit code, and the one line that goes with it."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum, unique
from typing import Any

from esm.errors import (
    DestinationError,
    EsmError,
    HandlerNotFoundError,
    MappingError,
    NotInstalledError,
    ProbeError,
    RecordingError,
    SourceDeniedError,
    SourceError,
    SourceNotFoundError,
    StoreError,
    TemplateError,
)
from esm.runtime.program import EXIT_AT_ONCE, EXIT_FORCED

__all__ = ["MEANINGS", "Exit", "Failure", "failure_of", "of_mapping"]

_SHOWN = 80


@unique
class Exit(IntEnum):
    """The process's exit code."""

    CLEAN = 0
    INTERNAL = 1
    INVALID = 2
    HANDLER_NOT_FOUND = 3
    SOURCE_MISSING = 4
    SOURCE_DENIED = 5
    UNREACHABLE = 6
    STORE = 7
    GUARD = 8
    DESTINATION = 9
    NOT_INSTALLED = 10
    FINDINGS = 11
    HALTED = 12
    IN_USE = 13
    LEFT = 14
    UNSUPPORTED = 15
    RECORDING = 16
    DIFFERENT = 17
    GIVEN_UP = 18
    FORCED = EXIT_FORCED
    AT_ONCE = EXIT_AT_ONCE


MEANINGS = {
    Exit.CLEAN: "ended clean: all that was out was finished and stored",
    Exit.INTERNAL: "a fault of esm itself",
    Exit.INVALID: "wrong usage, or a setting that Lambda would refuse",
    Exit.HANDLER_NOT_FOUND: "a handler, or the object with the mappings, is not found",
    Exit.SOURCE_MISSING: "a source does not exist",
    Exit.SOURCE_DENIED: "a source may not be read: credentials or permissions",
    Exit.UNREACHABLE: "a source's endpoint does not answer",
    Exit.STORE: "the store of positions cannot be used",
    Exit.GUARD: "refused: real sources need --endpoint-url or --live",
    Exit.DESTINATION: "an on-failure destination cannot be opened",
    Exit.NOT_INSTALLED: "packages are missing that the command line, or an option of it, needs",
    Exit.FINDINGS: "esm filter lint, or esm doctor, found something to mend",
    Exit.HALTED: "a shard was halted, or all went to another worker: the summary says why",
    Exit.IN_USE: "refused: a live worker reads a shard whose position was to be moved",
    Exit.LEFT: "esm redrive left documents where they were: each says why",
    Exit.UNSUPPORTED: "a mapping of a template cannot run here, and was not left out",
    Exit.RECORDING: "a recording, or another file of records, cannot be read or written",
    Exit.DIFFERENT: "esm replay --against: the functions did not give the same",
    Exit.GIVEN_UP: "esm replay: the function failed with records, and they were given up",
    Exit.FORCED: "ended by force: something did not end within the drain time",
    Exit.AT_ONCE: "ended at once by a second signal",
}
"""For `esm --help` and the README."""


class Failure(Exception):  # noqa: N818  # it is how a command ends, not what went wrong
    """A command ends with this code, after this line on stderr."""

    def __init__(self, code: Exit, line: str) -> None:
        super().__init__(line)
        self.code = code
        self.line = line


def failure_of(error: Exception) -> Failure:
    """What an exception of the library means to who typed the command."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, SourceError):
        return of_mapping(error, "source", None)
    for kind, (code, line) in _KINDS.items():
        if isinstance(error, kind):
            return Failure(code, line(error))
    what = str(error) if isinstance(error, EsmError) else f"{type(error).__name__}: {error}".partition("\n")[0]
    return Failure(Exit.INTERNAL, f"fault of esm itself: {what}; --log-level debug shows where")


def of_mapping(error: SourceError, source: str, endpoint_url: str | None) -> Failure:
    """What keeps a mapping from its source, and what to do."""
    said = f"{source}: {error}".rstrip(".")
    if isinstance(error, SourceNotFoundError):
        return Failure(Exit.SOURCE_MISSING, f"{said}; create it, or mend its name, region or account")
    if error.code == "NoCredentialsError":
        what = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or AWS_PROFILE; a local AWS takes any"
        return Failure(Exit.SOURCE_DENIED, f"{said}; {what}")
    if error.code == "NoRegionError":
        return Failure(Exit.INVALID, f"{said}; write it into the ARN, or give --region or AWS_REGION")
    if isinstance(error, SourceDeniedError):
        return Failure(Exit.SOURCE_DENIED, f"{said}; mend the credentials, or allow what deploy/iam-policy.json lists")
    where = f" at {endpoint_url}" if endpoint_url else ""
    return Failure(Exit.UNREACHABLE, f"{said}{where}; is the endpoint right, and is it up?")


def _setting(error: MappingError) -> str:
    """Field, value and rule; a value that is long or of several lines is cut."""
    if error.field is None:
        return f"{error.message} [{error.code}]"
    if error.value is None:
        return f"{error.field}: {error.message} [{error.code}]"
    value = repr(error.value)
    shown = value if len(value) <= _SHOWN else value[: _SHOWN - 3] + "..."
    return f"{error.field}={shown}: {error.message} [{error.code}]"


_KINDS: dict[type[Exception], tuple[Exit, Callable[[Any], str]]] = {
    MappingError: (Exit.INVALID, _setting),
    HandlerNotFoundError: (Exit.HANDLER_NOT_FOUND, str),
    NotInstalledError: (Exit.NOT_INSTALLED, str),
    ProbeError: (Exit.INVALID, lambda error: f"--http: {error}"),
    RecordingError: (Exit.RECORDING, str),
    StoreError: (Exit.STORE, lambda error: f"store: {error}"),
    TemplateError: (Exit.INVALID, str),
    DestinationError: (Exit.DESTINATION, lambda error: f"destination_config: {error}"),
}
