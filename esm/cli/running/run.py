"""`esm run`: a worker as a process of its own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from esm.cli import guard
from esm.cli.exits import Exit, of_mapping
from esm.cli.interrupts import forced, run_to_its_end
from esm.cli.load import load, select
from esm.cli.memory import keep_large_blocks, spare_the_collector
from esm.cli.open_files import open_all_that_is_allowed
from esm.cli.running.halts import Halts, all_stuck
from esm.cli.running.live import LiveTable
from esm.cli.running.probes import Probing
from esm.cli.running.summary import as_json, as_text, so_far
from esm.cli.running.tally import Tally
from esm.cli.running.watch import Watch, check_watch, watched
from esm.cli.terminal import is_terminal
from esm.clock import SystemClock
from esm.errors import SourceError
from esm.handlers.output import outlive_full_disks
from esm.handlers.resolve import resolve
from esm.mapping.settings import EventSourceMapping
from esm.runtime.program import Ending, Stopped
from esm.runtime.status import WorkerStatus
from esm.runtime.worker import Worker
from esm.telemetry.logs import LogObserver, announce, configure_logging
from esm.templates.suffixes import is_template

__all__ = ["Options", "run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was typed."""

    target: str
    app_dir: Path
    store: str
    endpoint_url: str | None
    region: str | None
    live: bool
    drain_timeout: float
    json: bool
    log_level: str
    only: Sequence[str]
    without: Sequence[str]
    parameter: Sequence[str] = ()
    account: str = "000000000000"
    stack_name: str | None = None
    imports: Path | None = None
    create_resources: bool = False
    http: str | None = None
    http_token_file: Path | None = None
    http_hosts: Sequence[str] = ()
    watch: bool = False


def run(options: Options) -> int:
    """Runs until a signal; gives the exit code. Raises what keeps it from starting."""
    with Ending(options.drain_timeout, whole_process=True) as ending:
        try:
            return _run(options, ending)
        except Stopped:
            return Exit.CLEAN  # nothing was begun


def _run(options: Options, ending: Ending) -> int:
    probing = Probing.typed(options.http, options.http_token_file, options.http_hosts)
    if options.watch:
        check_watch()
    outlive_full_disks()
    configure_logging(level=options.log_level, json=options.json)
    clock, tally = SystemClock(), Tally()
    began = clock.now()
    open_all_that_is_allowed()
    if options.json:
        ending.last_words = forced(lambda worker: so_far(_ran(worker), tally, clock.now() - began))
    mappings = _load(options)
    worker = _work(options, mappings, ending, tally, probing)
    status = _ran(worker)
    code = _code(ending, status)
    write = as_json if options.json else as_text
    print(write(status, tally, code, clock.now() - began), flush=True)  # noqa: T201  # the command's output
    return code


def _ran(worker: Worker | None) -> WorkerStatus:
    """What became of the mappings that ran: none without a worker; one that is not enabled has nothing to tell."""
    if worker is None:
        return WorkerStatus(id="", stopping=True)
    enabled = {mapping.uuid for mapping in worker.mappings if mapping.enabled}
    status = worker.status()
    return replace(status, mappings=tuple(mapping for mapping in status.mappings if mapping.uuid in enabled))


def _load(options: Options) -> list[EventSourceMapping]:
    """The mappings that may be read."""
    return _of_file(options) if is_template(options.target) else _of_module(options)


def _watch(options: Options, mappings: list[EventSourceMapping]) -> Watch:
    base = Path(options.target).parent if is_template(options.target) else options.app_dir
    return Watch(watched(base, mappings), partial(_load, options))


def _of_module(options: Options) -> list[EventSourceMapping]:
    """The mappings of MODULE:OBJECT, once they may be read."""
    mappings = select(load(options.target, options.app_dir), options.only, options.without)
    for mapping in mappings:
        resolve(mapping.function.handler)
    guard.check_enabled(mappings)
    guard.check(mappings, options.endpoint_url, live=options.live)
    return mappings


def _of_file(options: Options) -> list[EventSourceMapping]:
    """The mappings of a template, once they may be read."""
    from esm.cli.templates.mappings import Endpoint, Typed, file_mappings  # noqa: PLC0415  # a module's mappings need none of it

    typed = Typed(
        parameter=options.parameter, account=options.account, stack_name=options.stack_name, imports=options.imports
    )
    at = Endpoint(
        url=options.endpoint_url,
        region=options.region,
        live=options.live,
        create_resources=options.create_resources,
    )
    return file_mappings(options.target, typed, options.only, options.without, at)


def _work(
    options: Options, mappings: list[EventSourceMapping], ending: Ending, tally: Tally, probing: Probing
) -> Worker:
    with ExitStack() as stack:
        table = None
        if not options.json and is_terminal():
            table = LiveTable(tally)
            stack.enter_context(table.shown())
        stream = sys.stderr if table is None else table.stream
        configure_logging(level=options.log_level, json=options.json, stream=stream)
        return run_to_its_end(_go(options, mappings, ending, tally, table, probing=probing), _loop_factory())


def _announce(options: Options, mappings: list[EventSourceMapping]) -> None:
    """What is read, and from where: later lines name a mapping by its uuid alone."""
    endpoint = "AWS" if options.endpoint_url is None else guard.shown(options.endpoint_url)
    if options.live and options.endpoint_url is not None:
        announce("live_ignored", endpoint=endpoint, reason="--endpoint-url is given, and is what is read")
    for mapping in mappings:
        if mapping.enabled:
            announce(
                "mapping_read",
                mapping=mapping.uuid,
                function=mapping.function.qualified_name,
                source=mapping.event_source_arn,
                endpoint=endpoint,
                store=options.store,
            )


async def _go(
    options: Options,
    mappings: list[EventSourceMapping],
    ending: Ending,
    tally: Tally,
    table: LiveTable | None,
    *,
    probing: Probing,
) -> Worker:
    halts = Halts(ending.stop)
    worker = Worker(
        mappings,
        store=options.store,
        endpoint_url=options.endpoint_url,
        region_name=options.region,
        drain_timeout=options.drain_timeout,
        observers=[LogObserver(), tally, halts, *probing.observers],
    )
    halts.status = worker.status
    tasks: list[asyncio.Task[None]] = []

    def started() -> None:
        _announce(options, mappings)
        keep_large_blocks()
        spare_the_collector()
        if table is not None:
            tasks.append(asyncio.create_task(table.follow(worker)))
        if options.watch:
            tasks.append(asyncio.create_task(_watch(options, mappings).follow(worker)))

    try:
        async with probing.beside(worker):
            await ending.work(worker, started)
    except SourceError as error:
        raise of_mapping(error, _culprit(worker), options.endpoint_url) from error
    finally:
        for task in tasks:
            task.cancel()
    if table is not None:
        table.draw(worker)
    return worker


def _culprit(worker: Worker) -> str:
    """The source of the mapping that did not start: those before it are enabled."""
    starting = [m.event_source_arn for m in worker.status().mappings if m.state == "Creating"]
    return starting[0] if starting else "source"


def _code(ending: Ending, status: WorkerStatus) -> int:
    if ending.signals > 1:
        return Exit.AT_ONCE
    if not ending.clean:
        return Exit.FORCED
    halted = any(shard.state == "halted" for mapping in status.mappings for shard in mapping.shards)
    lost = all_stuck(status)
    return Exit.HALTED if halted or lost else Exit.CLEAN


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The one of uvloop when the extra `fast` is installed; a library never chooses its host's loop, a program may."""
    with suppress(ImportError):
        import uvloop  # noqa: PLC0415  # it may be missing

        return uvloop.new_event_loop
    return None
