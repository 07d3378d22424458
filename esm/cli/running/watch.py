"""`esm run --watch`: when files change, mappings and their functions are loaded anew while the worker runs.

running --a file changes--> loading --it loads---------> applied: created, updated, deleted
   ^                           |                             |
   +------- the old ones ------+--it does not: says why      |
   +---------------------------------------------------------+

A folder that goes is told of, and watched again when it is back; the others are watched meanwhile.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, aclosing, contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from stat import S_ISDIR
from typing import Any

from esm.cli.exits import Exit, Failure, failure_of
from esm.errors import NotInstalledError
from esm.handlers.resolve import resolve
from esm.mapping.function import Function
from esm.mapping.settings import EventSourceMapping
from esm.runtime.worker import Worker
from esm.telemetry.logs import announce

__all__ = ["Watch", "check_watch", "watched"]

_SUFFIXES = (".py", ".yaml", ".yml", ".json", ".toml")
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_BEGUN_MS = 250
"""After so long without a change the first files are surely watched (chosen)."""
_QUIET_MS = 300
"""A change is acted on when nothing has changed for so long: an editor writes a file in steps. (chosen)"""

_Identities = dict[Path, tuple[int, int] | None]
"""What tells a folder from another of its name; `None` where there is none."""


def check_watch() -> None:
    """Nothing, when files can be watched here. Raises `NotInstalledError`."""
    if find_spec("watchfiles") is None:
        raise NotInstalledError("--watch", "watchfiles", "watch")


class Watch:
    """Keeps a worker's mappings as the files say.

    `folders`: what is watched, and whose modules are forgotten before each load. `load`: gives the mappings anew; what
    it raises leaves everything as it was.
    """

    def __init__(self, folders: Sequence[Path], load: Callable[[], list[EventSourceMapping]]) -> None:
        self._folders = [folder.resolve() for folder in folders]
        self._load = load
        self._known, self._gone = self._identities(), frozenset[Path]()
        self._before = self._stamps()  # of the last load

    async def follow(self, worker: Worker) -> None:
        """Until it is cancelled."""
        from watchfiles import DefaultFilter, awatch  # noqa: PLC0415  # it may be missing

        class Sources(DefaultFilter):
            def __call__(self, change: object, path: str) -> bool:
                return path.endswith(_SUFFIXES) and super().__call__(change, path)  # type: ignore[arg-type]  # its own

        # No bytecode is written from here on: one of the same second and size would be taken for the newer source.
        sys.dont_write_bytecode = True
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # in processes of functions, too
        while True:
            await self._any_there()
            try:
                await self._while_there(
                    worker,
                    partial(
                        awatch,
                        watch_filter=Sources(),
                        debounce=_QUIET_MS,
                        rust_timeout=_BEGUN_MS,
                        yield_on_timeout=True,
                    ),
                )
            except (FileNotFoundError, NotADirectoryError):
                await asyncio.sleep(_BEGUN_MS / 1000)  # it went in the very moment
            except (OSError, RuntimeError) as error:  # the system watches no more files, for one
                announce("watch_failed", reason=f"{error}; changes are not seen any more, what runs goes on")
                return

    async def _while_there(
        self, worker: Worker, watching: Callable[..., AsyncGenerator[set[tuple[Any, str]], None]]
    ) -> None:
        """Until one of the folders goes, comes back, or is another one: of that nobody would hear."""
        begun, known = False, self._known
        there = [folder for folder, identity in known.items() if identity is not None]
        with _held(there):
            async with aclosing(watching(*there)) as all_changes:
                async for changes in all_changes:
                    changed = {Path(path).name for _, path in changes}
                    if not begun:
                        begun = True
                        announce("watching", folders=[str(folder) for folder in there])
                        changed |= self._missed()
                    if self._look() != known:
                        return  # what changed is found when watching begins again
                    if changed:
                        await self._reload(worker, sorted(changed))

    async def _any_there(self) -> None:
        """Returns when one of the folders is there."""
        while not any(self._look().values()):  # noqa: ASYNC110  # nothing tells that a folder is back
            await asyncio.sleep(_BEGUN_MS / 1000)

    def _look(self) -> _Identities:
        """The folders as they are now. Says once when one is gone; all that the next of its name holds is new."""
        now = self._identities()
        others = {folder for folder, identity in now.items() if identity != self._known[folder]}
        if others:
            self._before = {path: stamp for path, stamp in self._before.items() if others.isdisjoint(path.parents)}
        gone = frozenset(folder for folder, identity in now.items() if identity is None)
        if lost := sorted(gone - self._gone):
            announce(
                "watch_lost",
                folders=[str(folder) for folder in lost],
                reason="gone; what runs goes on, and when it is back it is loaded anew",
            )
        self._known, self._gone = now, gone
        return now

    def _identities(self) -> _Identities:
        return {folder: _identity(folder) for folder in self._folders}

    def _missed(self) -> set[str]:
        """What changed between the last load and watching."""
        before, now = self._before, self._stamps()
        return {path.name for path in before.keys() | now.keys() if before.get(path) != now.get(path)}

    def _stamps(self) -> dict[Path, tuple[int, int]]:
        """Time and size of every file that is watched, of the user's own."""
        stamps = {}
        for folder, _, names in _walked(self._folders):
            for name in names:
                path = Path(folder, name)
                if name.endswith(_SUFFIXES):
                    with suppress(OSError):  # it went meanwhile
                        found = path.stat()
                        stamps[path] = found.st_mtime_ns, found.st_size
        return stamps

    async def _reload(self, worker: Worker, changed: list[str]) -> None:
        try:
            mappings = await asyncio.to_thread(self._loaded)
            done = await _apply(worker, {mapping.uuid: mapping for mapping in mappings})
        except (Exception, SystemExit) as error:  # noqa: BLE001  # a file in the middle of an edit may raise anything
            told = failure_of(error) if isinstance(error, Exception) else Failure(Exit.INVALID, str(error))
            announce("reload_failed", changed=changed, reason=told.line)
        else:
            announce("reloaded", changed=changed, **done)

    def _loaded(self) -> list[EventSourceMapping]:
        self._before = self._stamps()  # first: what changes meanwhile is a change
        with _forgetting(self._folders):
            return self._load()


@contextmanager
def _held(folders: Sequence[Path]) -> Iterator[None]:
    """The folders are kept open: the number of one that is gone is given to the next."""
    with ExitStack() as held:
        for folder in folders:
            held.callback(os.close, os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        yield


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        found = folder.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if S_ISDIR(found.st_mode) else None


def _walked(folders: Sequence[Path]) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk`, without what is hidden or installed."""
    for top in folders:
        for folder, inside, names in os.walk(top):
            inside[:] = [name for name in inside if not name.startswith((".", "__")) and name not in _INSTALLED]
            yield folder, inside, names


def watched(base: Path, mappings: Iterable[EventSourceMapping]) -> list[Path]:
    """`base`, and where else the functions' code is; none that lies in another of them, and no installed package."""
    found = {base.resolve()}
    for mapping in mappings:
        folder = _folder_of(mapping.function)
        if folder is not None and not _INSTALLED & {*folder.parts}:
            found.add(folder)
    return sorted(folder for folder in found if found.isdisjoint(folder.parents))


def _folder_of(function: Function) -> Path | None:
    if function.folder is not None:
        return Path(function.folder).resolve()
    if function.isolation == "process":
        return None
    module = sys.modules.get(getattr(resolve(function.handler), "__module__", "").partition(".")[0])
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve().parent


def _is_own(name: str, module: object, folders: Sequence[Path]) -> bool:
    """Whether a module is the user's: of these folders, and of no environment that lies in one of them."""
    file = getattr(module, "__file__", None)
    if file is None or name == "__main__" or name.partition(".")[0] == "esm":
        return False
    path = Path(file).resolve()
    inside = [path.relative_to(folder).parts for folder in folders if path.is_relative_to(folder)]
    return any(not _INSTALLED & {*parts} and not parts[0].startswith(".") for parts in inside)


@contextmanager
def _forgetting(folders: Sequence[Path]) -> Iterator[None]:
    """Modules from these folders are imported anew; when that fails, the old ones are back."""
    before, path = dict(sys.modules), list(sys.path)
    for name, module in before.items():
        if _is_own(name, module, folders):
            del sys.modules[name]
    importlib.invalidate_caches()
    try:
        yield
    except BaseException:
        for name in sys.modules.keys() - before.keys():
            del sys.modules[name]
        sys.modules.update(before)
        sys.path[:] = path
        raise


async def _apply(worker: Worker, wanted: dict[str, EventSourceMapping]) -> dict[str, int]:
    """Makes the worker's mappings these. Raises `EsmError` at the first that cannot be; the others are as they were.

    Every mapping that stays is updated, also when it looks the same: its function may be another. Positions of those
    that go are kept, for they may come back with the next edit.
    """
    running = {mapping.uuid for mapping in worker.mappings}
    for uuid in running - wanted.keys():
        await worker.delete(uuid, keep_positions=True)
    for uuid in wanted.keys() & running:
        await worker.update(wanted[uuid])
    for uuid in wanted.keys() - running:
        await worker.create(wanted[uuid])
    return {
        "deleted": len(running - wanted.keys()),
        "updated": len(wanted.keys() & running),
        "created": len(wanted.keys() - running),
    }
