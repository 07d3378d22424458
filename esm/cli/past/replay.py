"""`esm replay`: records through a function, a bar while it runs, a table when it is over."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click

from esm.cli import guard
from esm.cli.exits import Exit, Failure, of_mapping
from esm.cli.interrupts import forced, run_to_its_end, stdout_kept
from esm.cli.load import check_either, load, look_in, only_one, select
from esm.cli.memory import spare_the_collector
from esm.cli.past.replay_shown import Bar, as_text, in_vain
from esm.cli.terminal import beside, is_terminal
from esm.errors import HandlerNotFoundError, SourceError
from esm.handlers.resolve import resolve
from esm.mapping.settings import EventSourceMapping
from esm.records.foreign import Format
from esm.replaying.replay import Replay, ReplayOptions
from esm.replaying.summary import Replayed
from esm.runtime.program import Ending, Stopped
from esm.telemetry.logs import LogObserver, configure_logging

__all__ = ["Options", "run_replay"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was typed."""

    sources: Sequence[str]
    function: str | None
    mapping: str | None
    only: Sequence[str]
    without: Sequence[str]
    app_dir: Path
    start: float | None
    end: float | None
    shards: Sequence[str]
    keys: Sequence[str]
    format: Format | None
    source_arn: str | None
    key_names: Sequence[str]
    speed: float | None
    original_pace: bool
    batch_size: int | None
    maximum_batching_window_in_seconds: int | None
    parallelization_factor: int | None
    maximum_retry_attempts: int | None
    maximum_record_age_in_seconds: int | None
    bisect_batch_on_function_error: bool | None
    tumbling_window_in_seconds: int | None
    function_response_types: Sequence[str]
    filter_criteria: Sequence[str]
    destination_config: str | None
    maximum_concurrency: int | None
    invoke: int | None
    against: str | None
    skip_invalid: bool
    max_receive_count: int
    store: str
    endpoint_url: str | None
    region: str | None
    live: bool
    drain_timeout: float
    json: bool
    log_level: str


_SETTINGS = (
    "batch_size",
    "maximum_batching_window_in_seconds",
    "parallelization_factor",
    "maximum_retry_attempts",
    "maximum_record_age_in_seconds",
    "bisect_batch_on_function_error",
    "tumbling_window_in_seconds",
    "destination_config",
)


def run_replay(options: Options) -> int:
    """Replays; gives the exit code. Raises what keeps it from beginning, or where the recording breaks off."""
    elsewhere = [source for source in options.sources if source.startswith(("arn:", "s3://"))]
    if elsewhere or options.endpoint_url is not None:
        guard.check_sources(elsewhere, options.endpoint_url, live=options.live or not elsewhere)
    configure_logging(level=options.log_level, json=options.json)
    last_words = forced(lambda _worker: asdict(run.summary())) if options.json else None
    with stdout_kept() if options.json else nullcontext():
        run = _replay(options)
        with Ending(options.drain_timeout, whole_process=True) as ending:
            ending.last_words = last_words
            try:
                summary = run_to_its_end(_run(run, options, ending))
            except Stopped:
                return Exit.CLEAN  # nothing was begun
    click.echo(json.dumps(asdict(summary)) if options.json else as_text(summary, whole=not ending.signals))
    if run.broken is not None:
        raise run.broken
    code = _code(summary, ending, options)
    if code is Exit.CLEAN and summary.unmatched:
        raise Failure(Exit.INVALID, "; ".join(map(in_vain, summary.unmatched)))
    return code


def _code(summary: Replayed, ending: Ending, options: Options) -> Exit:
    if ending.signals > 1:
        return Exit.AT_ONCE
    if not ending.clean and options.invoke is None:
        return Exit.FORCED
    if summary.halted and options.invoke is None:
        return Exit.HALTED
    if summary.different:
        return Exit.DIFFERENT
    return Exit.GIVEN_UP if summary.given_up else Exit.CLEAN


def _replay(options: Options) -> Replay:
    check_either(options.function, options.mapping)
    if options.original_pace and options.speed is not None:
        raise Failure(Exit.INVALID, "--original-pace is --speed 1: give one of them")
    look_in(options.app_dir)
    against = None if options.against is None else _function(options.against)
    return Replay(
        list(options.sources),
        ReplayOptions(
            speed=1.0 if options.original_pace else options.speed,
            start=options.start,
            end=options.end,
            shards=options.shards,
            keys=options.keys,
            format=options.format,
            source_arn=options.source_arn,
            key_names=options.key_names,
            skip_invalid=options.skip_invalid,
            max_receive_count=options.max_receive_count,
            first_calls=options.invoke,
            against=against,
            endpoint_url=options.endpoint_url,
            region_name=options.region,
        ),
        function=None if options.function is None else _function(options.function),
        mapping=None if options.mapping is None else _mapping(options),
        store=options.store,
        observers=[LogObserver()],
        settings=_settings(options),
    )


def _settings(options: Options) -> dict[str, Any]:
    """What was typed of a mapping's settings, and nothing else."""
    typed = {name: value for name in _SETTINGS if (value := getattr(options, name)) is not None}
    for name in ("function_response_types", "filter_criteria"):
        if getattr(options, name):
            typed[name] = list(getattr(options, name))
    if options.maximum_concurrency is not None:
        typed["scaling_config"] = {"MaximumConcurrency": options.maximum_concurrency}
    return typed


def _mapping(options: Options) -> EventSourceMapping:
    mappings = select(load(options.mapping or "", options.app_dir), options.only, options.without)
    mapping = only_one(mappings, "one mapping is replayed at a time")
    resolve(mapping.function.handler)
    return mapping


def _function(name: str) -> Callable[..., Any]:
    """The function of this name, or in a file of its own: `fixed.py:handle`."""
    path, colon, function = name.partition(".py:")
    if not colon:
        return resolve(name)
    file = Path(f"{path}.py")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise HandlerNotFoundError(f"handler {name!r}: there is no file {str(file)!r}")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(file.parent.resolve()))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        said = str(error).partition("\n")[0]
        msg = f"handler {name!r}: importing {str(file)!r} raised {type(error).__name__}{said and ': ' + said}"
        raise HandlerNotFoundError(msg) from error
    found = getattr(module, function, None)
    if found is None:
        raise HandlerNotFoundError(f"handler {name!r}: {str(file)!r} has no {function!r}")
    return resolve(found)


async def _run(run: Replay, options: Options, ending: Ending) -> Replayed:
    try:
        async with run:
            with _shown(options) as bar:
                async with beside(None if bar is None else bar.follow(run)):
                    await ending.work(run.worker, spare_the_collector)
            return run.summary()
    except SourceError as error:
        raise of_mapping(error, ", ".join(options.sources), options.endpoint_url) from error


@contextmanager
def _shown(options: Options) -> Iterator[Bar | None]:
    """A bar on a terminal; none where a debugger wants the terminal for itself."""
    if options.json or options.invoke is not None or not is_terminal():
        yield None
        return
    with Bar() as bar:
        yield bar
