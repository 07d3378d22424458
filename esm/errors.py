"""Everything the library raises, in one tree under `EsmError`.

Outcomes are values (`esm.machine.outcome`); exceptions are for broken contracts, and each class says whose.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "DestinationError",
    "EsmError",
    "HandlerExhaustedError",
    "HandlerNotFoundError",
    "InvariantError",
    "IteratorExpiredError",
    "LeaseLostError",
    "MappingError",
    "NotInstalledError",
    "PositionTrimmedError",
    "ProbeError",
    "RecordingError",
    "SourceDeniedError",
    "SourceError",
    "SourceNotFoundError",
    "SourceThrottledError",
    "StoreError",
    "TemplateError",
]


_SHOWN_PATH = 300
_SHOWN_VALUE = 80
_SHOWN_RULE = 800


def _one_line(text: str) -> str:
    """What may have come out of a file, as one line that moves no cursor and fits on a screen."""
    line = "".join(each if each.isprintable() else " " for each in text)
    return line if len(line) <= _SHOWN_RULE else f"{line[: _SHOWN_RULE - 3]}..."


class EsmError(Exception):
    """Anything this library raises on purpose."""


class MappingError(EsmError):
    """A setting the caller gave is one that AWS would refuse.

    `code` and `message` are AWS's (`InvalidParameterValueException`, ...); `status` is the HTTP status that AWS
    answers with;
    `field` is the snake_case setting and `value` what was given, where one setting is to blame.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "InvalidParameterValueException",
        status: int = 400,
        field: str | None = None,
        value: object = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.field = field
        self.value = value


class TemplateError(EsmError):
    """A template, or another file of settings, is refused as a whole: nothing of it was begun.

    `rule`: what it breaks, in AWS's words where AWS has some. `path`: the keys that lead to the place, empty for the
    file itself; `line` and `column` count from 1, `None` where the file's form does not tell. `value`: what stands
    there, where that explains something.
    """

    def __init__(
        self,
        rule: str,
        *,
        file: str,
        path: tuple[str | int, ...] = (),
        line: int | None = None,
        column: int | None = None,
        value: object = None,
    ) -> None:
        self.rule = _one_line(rule)
        self.file = file
        self.path = ".".join(map(str, path))
        self.line = line
        self.column = column
        self.value = value
        super().__init__(": ".join(part for part in (self._where(), self._what(), self.rule) if part))

    def _where(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)

    def _what(self) -> str:
        path = self.path if len(self.path) <= _SHOWN_PATH else f"{self.path[: _SHOWN_PATH - 3]}..."
        if self.value is None:
            return ascii(path)[1:-1]
        shown = ascii(self.value) if isinstance(self.value, bool | int | float | str) else type(self.value).__name__
        shown = shown if len(shown) <= _SHOWN_VALUE else f"{shown[: _SHOWN_VALUE - 3]}..."
        return f"{ascii(path)[1:-1]} = {shown}" if path else shown


class HandlerNotFoundError(EsmError):
    """A function's name does not lead to something callable: the caller's configuration is wrong."""


class HandlerExhaustedError(EsmError):
    """A function cannot be called any more: too many of its calls hang, or the system gives no thread for another.

    Nothing was called. Its mapping is halted: going on would use up no more records, but all of the machine.
    """


class SourceError(EsmError):
    """The source did not answer as asked.

    This class itself: a passing fault (network, timeout, 5xx, unparsable answer).
    `code` is the service's error code, or the name of the transport fault; `message` is the service's text, never a
    payload.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class SourceThrottledError(SourceError):
    """The service asks for fewer calls (`ProvisionedThroughputExceededException`, `LimitExceededException`, ...)."""


class SourceDeniedError(SourceError):
    """Credentials are missing, expired or not allowed to do this; it passes when somebody mends them."""


class SourceNotFoundError(SourceError):
    """The stream, shard or queue does not exist (`ResourceNotFoundException`)."""


class IteratorExpiredError(SourceError):
    """The shard iterator is older than the service keeps it (`ExpiredIteratorException`)."""


class PositionTrimmedError(SourceError):
    """The position is older than the oldest record kept (`TrimmedDataAccessException`): records may be lost."""


class StoreError(EsmError):
    """The store of positions cannot be read or written, or refuses what is in it."""


class LeaseLostError(StoreError):
    """A write was refused: another owner holds the shard, or its epoch has moved on. Nothing was written.

    `free`: nobody holds it, as far as the store said; its position was moved by hand, or it was given up.
    """

    def __init__(self, message: str, *, free: bool = False) -> None:
        super().__init__(message)
        self.free = free


class RecordingError(EsmError):
    """A file of records cannot be read or written: it is cut off, damaged, none that is known, or not to be had.

    `file`: its name. `line`: 1 for the first; `None` when no line is to blame. `problem`: in words, without content.
    """

    def __init__(self, file: str, line: int | None, problem: str) -> None:
        super().__init__(f"{file}: {problem}" if line is None else f"{file}, line {line}: {problem}")
        self.file = file
        self.line = line
        self.problem = problem


class NotInstalledError(EsmError):
    """A package is missing that one of esm's extras brings: whoever installed esm left that out.

    `what`: needs it, as its user calls it.
    """

    def __init__(self, what: str, package: str, extra: str) -> None:
        super().__init__(f"{what} needs {package}: pip install 'asyncio-esm[{extra}]'")


class ProbeError(EsmError):
    """Probes cannot be answered where the caller wants it: the address, its token or its names are wrong, or taken."""


class DestinationError(EsmError):
    """The on-failure destination did not accept a failure record."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@dataclass
class InvariantError(EsmError):
    """This library broke one of its own rules: a bug.

    The shard it happened on is halted; its checkpoint does not move.
    """

    rule: str

    def __str__(self) -> str:
        """The rule that was found broken."""
        return self.rule
