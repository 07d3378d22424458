"""`esm what-if`: a recording under other settings, as a table and a picture."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import click

from esm.cli.exits import Exit, Failure
from esm.cli.interrupts import run_to_its_end, stdout_kept
from esm.cli.load import load, look_in, only_one, select
from esm.cli.terminal import columns
from esm.errors import EsmError, MappingError, NotInstalledError
from esm.handlers.resolve import resolve
from esm.mapping.function import Function
from esm.mapping.settings import EventSourceMapping
from esm.runtime.shapes import shape_of
from esm.whatif.function import Behaviour, measured
from esm.whatif.plot import check_plot, plot
from esm.whatif.sweep import combinations, values_of
from esm.whatif.traffic import Traffic, read_traffic
from esm.whatif.trial import Outcome, Prices, try_settings

__all__ = ["SETTINGS", "Options", "run_what_if"]

SETTINGS = {
    "batch_size": "Records in a call at most.",
    "maximum_batching_window_in_seconds": "Seconds that a batch is waited for.",
    "parallelization_factor": "Calls in flight for a shard, 1 to 10.",
    "maximum_retry_attempts": "Tries after the first.",
    "maximum_concurrency": "Calls in flight for a queue, 2 to 1,000.",
}
"""What can be tried, and what it is."""

_PATIENCE_S = 60.0
"""For a call of a function that is measured and says no timeout of its own (chosen)."""

_HEADS = (
    "calls",
    "failed",
    "given up",
    "undone",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "max ms",
    "blocked s",
    "behind s",
    "$",
    "$/month",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was typed. `tried`: the text of each setting that was given."""

    recording: str
    mapping: str | None
    function: str | None
    app_dir: Path
    only: Sequence[str]
    without: Sequence[str]
    tried: dict[str, str]
    call_ms: float | None
    record_ms: float | None
    error_rate: float | None
    memory_size: int
    price_requests: float
    price_gb_second: float
    limit: int | None
    plot: Path | None
    json: bool


def run_what_if(options: Options) -> int:
    """Tries them all; gives the exit code. Raises what keeps it from beginning."""
    if options.plot is not None:
        with _plotting():
            check_plot(options.plot)
        if not options.tried:
            raise Failure(Exit.INVALID, "--plot: name a setting to plot against, as in --batch-size 10..500")
    trials = _trials(options)
    traffic = read_traffic(options.recording, limit=options.limit)
    with stdout_kept():  # it is for the numbers
        mapping = _mapping(options, traffic)
        behaviour = _behaviour(options, traffic, mapping)
    prices = Prices(options.price_requests, options.price_gb_second)
    outcomes = [_try(traffic, mapping, behaviour, settings, prices) for settings in _shown(trials)]
    if options.plot is not None:
        with _plotting():
            plot(outcomes, options.plot, title=f"{options.recording}: {behaviour}")
    write = _as_json if options.json else _as_text
    click.echo(write(traffic, behaviour, outcomes))
    return Exit.CLEAN


@contextmanager
def _plotting() -> Iterator[None]:
    """What keeps a picture from being made, as who typed its name sees it."""
    try:
        yield
    except NotInstalledError:
        raise
    except EsmError as error:
        raise Failure(Exit.INVALID, f"--plot: {error}") from None


def _trials(options: Options) -> list[dict[str, int]]:
    values = {}
    for name, text in options.tried.items():
        try:
            values[name] = values_of(text)
        except ValueError as error:
            raise Failure(Exit.INVALID, f"--{name.replace('_', '-')}={text!r}: {error}") from None
    try:
        return combinations(values)
    except ValueError as error:
        raise Failure(Exit.INVALID, str(error)) from None


def _mapping(options: Options, traffic: Traffic) -> EventSourceMapping:
    """The mapping whose other settings count: the one that was named, or one of defaults."""
    if options.mapping is not None:
        mappings = select(load(options.mapping, options.app_dir), options.only, options.without)
        found = only_one(mappings, "one mapping is tried at a time")
        if found.source_kind != traffic.kind:
            said = f"the recording is of {traffic.kind}, the mapping reads {found.source_kind}"
            raise Failure(Exit.INVALID, said)
        return found
    function = Function(_nothing, name="what-if", memory_size=options.memory_size)
    start: Literal["TRIM_HORIZON"] | None = None if traffic.kind == "sqs" else "TRIM_HORIZON"
    return EventSourceMapping(event_source_arn=traffic.source_arn, function=function, starting_position=start)


async def _nothing(_event: object, _context: object) -> None:
    """Stands where a function does until its behaviour is known."""


def _behaviour(options: Options, traffic: Traffic, mapping: EventSourceMapping) -> Behaviour:
    """As it was typed; what was not typed is measured, or nothing."""
    found = Behaviour()
    _check_finite(options)
    if options.function is not None:
        look_in(options.app_dir)
        function = Function(resolve(options.function), name="what-if", timeout=_PATIENCE_S)
        found = _measured(replace(mapping, function=function), traffic)
    elif options.mapping is not None and options.call_ms is None and options.record_ms is None:
        found = _measured(mapping, traffic)
    return Behaviour(
        found.call_ms if options.call_ms is None else options.call_ms,
        found.record_ms if options.record_ms is None else options.record_ms,
        found.error_rate if options.error_rate is None else options.error_rate,
    )


def _check_finite(options: Options) -> None:
    """Nothing, when numbers are numbers: `nan` and `inf` are within every range that is open to one side."""
    for name in ("call_ms", "record_ms", "error_rate", "price_requests", "price_gb_second"):
        value = getattr(options, name)
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise Failure(Exit.INVALID, f"--{name.replace('_', '-')}={value}: write a number of 0 or more")


def _measured(mapping: EventSourceMapping, traffic: Traffic) -> Behaviour:
    return run_to_its_end(measured(mapping, shape_of(mapping), traffic.samples))


def _try(
    traffic: Traffic, mapping: EventSourceMapping, behaviour: Behaviour, settings: dict[str, int], prices: Prices
) -> Outcome:
    try:
        return try_settings(traffic, mapping, behaviour, settings, prices)
    except MappingError as error:
        named = ", ".join(f"{name}={value}" for name, value in settings.items())
        said = ": ".join(part for part in (named, error.message) if part)
        raise Failure(Exit.INVALID, f"{said} [{error.code}]") from None
    except EsmError as error:
        raise Failure(Exit.INTERNAL, f"the simulation did not end: {error}") from error


def _shown(trials: list[dict[str, int]]) -> Any:
    """The trials, with progress on a terminal."""
    if not sys.stderr.isatty():
        return trials
    return _progress(trials)


def _progress(trials: list[dict[str, int]]) -> Any:
    with click.progressbar(trials, label="simulating", file=sys.stderr) as bar:
        yield from bar


def _as_text(traffic: Traffic, behaviour: Behaviour, outcomes: list[Outcome]) -> str:
    rows = [(*outcomes[0].settings, *_HEADS), *(_row(outcome) for outcome in outcomes)]
    head = f"{len(traffic.events):,} records of {traffic.seconds:,.1f} s; {behaviour}"
    return f"{head}\n{columns(rows)}"


def _row(outcome: Outcome) -> tuple[str, ...]:
    latencies = [f"{ms:,}" for ms in outcome.latency_ms.values()] or ["-"] * 4
    month = "-" if outcome.dollars_a_month is None else f"{outcome.dollars_a_month:,.2f}"
    return (
        *(str(value) for value in outcome.settings.values()),
        f"{outcome.invocations:,}",
        f"{outcome.failed:,}",
        f"{outcome.given_up:,}",
        f"{outcome.undone:,}",
        *latencies,
        f"{outcome.blocked_s:,.1f}",
        f"{outcome.behind_s:,.1f}",
        f"{outcome.dollars:.6f}",
        month,
    )


def _as_json(traffic: Traffic, behaviour: Behaviour, outcomes: list[Outcome]) -> str:
    told = {
        "records": len(traffic.events),
        "seconds": traffic.seconds,
        "behaviour": asdict(behaviour),
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }
    return json.dumps(told, indent=2)
