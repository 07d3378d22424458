"""Facts as log lines: stable event names and keys, no payloads.

An event's name is its fact's, snake-cased (`invocation_ended`); its keys are its fields. Levels: what is wrong and
passes is a warning, what stays until somebody acts is an error, what happens for every batch is debug.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from functools import cache
from typing import Any, TextIO

import structlog

from esm.clock import Millis
from esm.telemetry import facts

__all__ = ["LogObserver", "announce", "configure_logging", "event_name", "quiet_sdk"]

REPEAT_MS = 60_000
"""The same trouble of the same shard is one line a minute (chosen)."""

_LEVELS: dict[type[facts.Fact], int] = {
    facts.CheckpointStored: logging.DEBUG,
    facts.DestinationFailed: logging.WARNING,
    facts.FunctionThrottled: logging.DEBUG,
    facts.HandlerAbandoned: logging.WARNING,
    facts.InvocationStarted: logging.DEBUG,
    facts.LeaseLost: logging.ERROR,
    facts.LoopBlocked: logging.ERROR,
    facts.LoopFreed: logging.WARNING,
    facts.MappingFailed: logging.ERROR,
    facts.ObserverDropped: logging.WARNING,
    facts.LeaseTaken: logging.DEBUG,
    facts.MessagesDeleted: logging.DEBUG,
    facts.MessagesReturned: logging.DEBUG,
    facts.PollFailed: logging.WARNING,
    facts.Polled: logging.DEBUG,
    facts.PositionTrimmed: logging.WARNING,
    facts.RecordsDiscarded: logging.WARNING,
    facts.ShardHalted: logging.ERROR,
    facts.ShardSilent: logging.ERROR,
    facts.StoreFailed: logging.WARNING,
    facts.VisibilityExtended: logging.DEBUG,
}
_TROUBLES = (facts.DestinationFailed, facts.PollFailed, facts.StoreFailed)
_TRACE = "error_trace"


class LogObserver:
    """An `Observer` that writes a structlog line for each fact. `logger`: any structlog logger; `None`: the default.

    It wants what is written at the level that the logger has when this is made: set logging up before.
    """

    any_thread = True

    def __init__(self, logger: Any = None) -> None:
        # Bound once: a logger that is not is made anew for each line, which costs more than the line (measured).
        self._log = (structlog.get_logger("esm") if logger is None else logger).bind()
        self.kinds = frozenset(
            kind for kind in facts.Fact.__subclasses__() if self._log.is_enabled_for(_highest_level(kind))
        )
        self._told: dict[tuple[str, str, str], Millis] = {}

    def notice(self, fact: facts.Fact) -> None:
        """Writes it, at the level its kind has."""
        level = self._level(fact)
        if not self._log.is_enabled_for(level):
            return
        values = {name: getattr(fact, name) for name in _field_names(type(fact))}
        trace = values.pop(_TRACE, None)
        self._log.log(level, event_name(type(fact)), **{k: v for k, v in values.items() if v not in (None, "", ())})
        if trace:
            named = {name: values[name] for name in ("mapping", "shard", "request_id")}
            self._log.debug("handler_trace", **named, trace=trace)

    def _level(self, fact: facts.Fact) -> int:
        if isinstance(fact, facts.InvocationEnded):
            return logging.DEBUG if fact.outcome == "succeeded" else logging.WARNING
        level = _LEVELS.get(type(fact), logging.INFO)
        return logging.DEBUG if self._is_repeat(fact) else level

    def _is_repeat(self, fact: facts.Fact) -> bool:
        if not isinstance(fact, _TROUBLES):
            return False
        key = (type(fact).__name__, fact.mapping, fact.shard)
        told = self._told.get(key)
        if told is not None and fact.at - told < REPEAT_MS:
            return True
        self._told[key] = fact.at
        return False


def _highest_level(kind: type[facts.Fact]) -> int:
    return logging.WARNING if kind is facts.InvocationEnded else _LEVELS.get(kind, logging.INFO)


def announce(event: str, **values: object) -> None:
    """Writes a line at INFO that is no fact: what a program says of itself. No credentials."""
    structlog.get_logger("esm").info(event, **values)


def quiet_sdk() -> None:
    """Keeps the SDK's loggers at INFO or above, whatever the root logger's level.

    At DEBUG they write whole requests: session tokens, signatures, failure records (observed). A program that logs at
    DEBUG calls this; `configure_logging` does. What esm itself calls without the SDK logs nothing of a request.
    """
    for name in ("aiobotocore", "botocore"):
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.INFO))


def configure_logging(*, level: str = "INFO", json: bool = False, stream: TextIO | None = None) -> None:
    """Sets structlog up for a program: lines for people, or JSON. For programs only: a library leaves the host's be."""
    quiet_sdk()
    out = sys.stderr if stream is None else stream
    renderer: Any = structlog.processors.JSONRenderer() if json else structlog.dev.ConsoleRenderer(colors=out.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(() if json else (_quote_unprintable,)),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )


class _Quoted:
    """Text that is shown as Python writes it: in quotes, with escapes."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return repr(self._text)


def _quote_unprintable(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What an error says may come out of a record: it is neither a line of its own nor a word to the terminal."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = _Quoted(value)
    return event


@cache
def _field_names(kind: type[facts.Fact]) -> tuple[str, ...]:
    return tuple(name for name in kind.__struct_fields__ if name != "at")


@cache
def event_name(kind: type[facts.Fact]) -> str:
    """What the line of a fact is called: `invocation_ended`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).lower()
