"""`esm record`: traffic into files, until there is enough of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, cast

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from esm.arn import SourceKind
from esm.cli import guard
from esm.cli.exits import Exit, Failure, of_mapping
from esm.cli.terminal import beside, is_terminal, seconds
from esm.errors import SourceError
from esm.mapping.rules import source_kind
from esm.replaying.record import Recorded, Recorder, RecordingOptions
from esm.runtime.program import Ending, Stopped
from esm.runtime.worker import Worker
from esm.telemetry.logs import LogObserver, configure_logging

__all__ = ["Options", "run_record"]

EVERY_S = 0.25
"""How often the terminal is told (chosen)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was typed."""

    source: str
    output: Path
    trim_horizon: bool
    since: float | None
    until: float | None
    duration: float | None
    records: int | None
    copy: bool
    drain: bool
    redact: Sequence[str]
    rotate_size: float | None
    rotate_every: float | None
    endpoint_url: str | None
    region: str | None
    live: bool
    json: bool
    log_level: str


def run_record(options: Options) -> int:
    """Records; gives the exit code. Raises what keeps it from beginning."""
    configure_logging(level=options.log_level, json=options.json)
    try:
        recorder = _recorder(options)
    except ValueError as error:  # no JSON path
        raise Failure(Exit.INVALID, f"--redact: {error}") from None
    guard.check_sources([options.source], options.endpoint_url, live=options.live)
    with Ending(5.0, whole_process=True) as ending:
        try:
            asyncio.run(_record(recorder, options, ending))
        except Stopped:
            return Exit.CLEAN  # nothing was begun
    if recorder.broken is not None:
        raise recorder.broken
    recorded = recorder.recorded()
    click.echo(_as_json(recorded) if options.json else _as_text(recorded))
    if ending.signals > 1:
        return Exit.AT_ONCE
    return Exit.HALTED if recorded.halted else Exit.CLEAN


def _recorder(options: Options) -> Recorder:
    if options.copy and options.drain:
        raise Failure(Exit.INVALID, "messages are either copied or taken: --copy or --drain, not both")
    if options.trim_horizon and options.since is not None:
        raise Failure(Exit.INVALID, "it begins either at --trim-horizon or at --from")
    messages: Literal["copy", "drain"] | None = "drain" if options.drain else "copy" if options.copy else None
    if _kind(options.source) == "sqs" and messages is None:
        raise Failure(Exit.INVALID, "of a queue messages are copied (--copy) or taken (--drain): say which")
    position: Any = "TRIM_HORIZON" if options.trim_horizon else "LATEST" if options.since is None else options.since
    return Recorder(
        options.source,
        options.output,
        RecordingOptions(
            position=position,
            until=options.until,
            duration=options.duration,
            records=options.records,
            redact=options.redact,
            rotate_bytes=None if options.rotate_size is None else round(options.rotate_size),
            rotate_seconds=options.rotate_every,
            messages=messages,
            endpoint_url=options.endpoint_url,
            region_name=options.region,
        ),
        observers=[LogObserver()],
    )


def _kind(source: str) -> SourceKind:
    try:
        return source_kind(source)
    except ValueError as error:
        raise Failure(Exit.INVALID, f"ARN: {error}") from None


async def _record(recorder: Recorder, options: Options, ending: Ending) -> None:
    async with recorder:
        with _line(options) as live:
            async with beside(None if live is None else _follow(recorder, live)):
                try:
                    await ending.work(cast("Worker", recorder.worker))
                except SourceError as error:
                    raise of_mapping(error, options.source, options.endpoint_url) from error


@contextmanager
def _line(options: Options) -> Iterator[Live | None]:
    if options.json or not is_terminal():
        yield None
        return
    with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
        yield live


async def _follow(recorder: Recorder, live: Live) -> None:
    while True:
        recorded = recorder.recorded()
        rate = recorded.records / max(recorded.seconds, 0.1)
        line = f"{recorded.records:,} records, {rate:,.0f}/s, {_megabytes(recorded)}, Ctrl-C ends it"
        live.update(Text(line), refresh=True)
        await asyncio.sleep(EVERY_S)


def _as_text(recorded: Recorded) -> str:
    files = ", ".join(map(str, recorded.files))
    took = seconds(round(recorded.seconds * 1000))
    lines = [f"{recorded.records:,} records in {took}, {_megabytes(recorded)}: {files}"]
    if recorded.gaps:
        lines.append(f"warning: {recorded.gaps} times records were no longer kept when they were to be read")
    if recorded.undeleted:
        lines.append(f"warning: {recorded.undeleted} messages are recorded, and still in the queue")
    lines += [f"halted: {shard}" for shard in recorded.halted]
    return "\n".join(lines)


def _as_json(recorded: Recorded) -> str:
    return json.dumps(asdict(recorded) | {"files": [str(path) for path in recorded.files]})


def _megabytes(recorded: Recorded) -> str:
    return f"{recorded.bytes_written / (1 << 20):,.1f} MB"
