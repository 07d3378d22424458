"""Failure records into a file, one JSON document a line, each with the event that was discarded.

Not in AWS: for a machine of one's own. A line is on the disk before its range counts as settled.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from esm.destinations.destination import FailureRecord
from esm.destinations.thread import OwnThread
from esm.errors import DestinationError
from esm.records.failure import json_text, s3_document

__all__ = ["FileDestination"]

_MODE = 0o600  # payloads are the owner's to read


class FileDestination:
    """A JSON Lines file that is appended to, by any number of mappings and processes at once.

    The folder must exist. A line that a crash tore off is ended before the next is written: what reads the file skips
    it, and its record comes again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = asyncio.Lock()  # keeps the order of the callers
        self._held = threading.Lock()  # a cancelled caller's write goes on in its thread
        self._file: int | None = None
        self._thread = OwnThread("esm-failures")

    async def open(self) -> None:
        """Opens the file, so that a wrong path is found out early. Raises `DestinationError`."""
        await self._in_thread(self._opened)

    async def send(self, record: FailureRecord) -> None:
        """Returns when the line is on the disk. Raises `DestinationError`."""
        await self._in_thread(lambda: self._append(record))

    async def close(self) -> None:
        """Closes the file; it is opened again when needed."""
        try:
            await self._in_thread(self._close)
        finally:
            self._thread.close()

    async def _in_thread(self, step: Callable[[], object]) -> None:
        async with self._turn:
            await self._thread.do(partial(self._do, step))

    def _do(self, step: Callable[[], object]) -> None:
        with self._held:
            try:
                step()
            except OSError as error:
                self._close()
                raise DestinationError(type(error).__name__, f"{self.path}: {error.strerror}") from error

    def _append(self, record: FailureRecord) -> None:
        line = json_text(s3_document(record.document, record.event)) + b"\n"
        file = self._opened()
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            rest = memoryview(b"\n" + line if _is_torn(file) else line)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)

    def _opened(self) -> int:
        if self._file is None:
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
            _sync_folder(self.path.parent)
        return self._file

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            os.close(file)


def _is_torn(file: int) -> bool:
    """Whether the last line has no end."""
    size = os.fstat(file).st_size
    return size > 0 and os.pread(file, 1, size - 1) != b"\n"


def _sync_folder(folder: Path) -> None:
    """A new file's name is on the disk too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
