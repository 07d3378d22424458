"""Documents in a file, one a line, as the destination `file:///path` writes them.

Workers may be appending to the file, so no line is ever taken out of it. What was struck off stands in a second file
beside it, `<name>.redriven`: a line's number and its digest.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import AsyncGenerator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

import msgspec

from esm.destinations.thread import OwnThread
from esm.errors import RecordingError
from esm.redriving.box import Document

__all__ = ["FileBox"]

_READ_BYTES = 1 << 20


class FileBox:
    """A JSON Lines file. Raises `RecordingError` when it cannot be read, or another redrive is at it."""

    in_groups = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._struck = Path(f"{path}.redriven")
        self._marks: int | None = None
        self._thread = OwnThread("esm-documents")

    async def prepare(self) -> None:
        """Opens the second file, and keeps others from it until `close`."""
        self._open().close()  # nothing is put beside what is no file of documents
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            self._marks = os.open(self._struck, flags, 0o600)
            fcntl.flock(self._marks, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecordingError(str(self._path), None, "another redrive is at it") from None
        except OSError as error:
            raise self._unwritable(error) from None

    async def documents(self) -> AsyncGenerator[Document, None]:
        """Each line that was not struck off, of those that are there now.

        A last line without an end is one when it is whole; a torn one is still being written.
        """
        struck = await self._thread.do(self._read_marks)
        number = 0
        with self._open() as file:
            end = os.fstat(file.fileno()).st_size
            while lines := await self._thread.do(partial(self._read_lines, file, end)):
                for line in lines:
                    number += 1
                    text = line.removesuffix(b"\n")
                    if text == line and not _is_whole(text):
                        return
                    mark = f"{number} {sha256(text).hexdigest()}"
                    if text.strip() and mark not in struck:
                        yield Document(f"line {number}", text, mark)

    async def done(self, document: Document) -> None:
        """Writes down that this line is done; on the disk when it returns."""
        # A line before it as well: what a crash tore off there is not taken for the beginning of this one.
        await self._thread.do(partial(self._append, f"\n{document.handle}\n".encode()))

    async def close(self) -> None:
        """Lets others at it."""
        self._thread.close()
        if self._marks is not None:
            os.close(self._marks)
            self._marks = None

    def _open(self) -> BinaryIO:
        try:
            return self._path.open("rb")
        except OSError as error:
            raise self._unreadable(error) from None

    def _read_lines(self, file: BinaryIO, end: int) -> list[bytes]:
        """Some more; what is written meanwhile may be the next redrive's."""
        try:
            return file.readlines(_READ_BYTES) if file.tell() < end else []
        except OSError as error:
            raise self._unreadable(error) from None

    def _read_marks(self) -> set[str]:
        try:
            return set(self._struck.read_text().splitlines()) if self._struck.exists() else set()
        except (OSError, UnicodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise RecordingError(str(self._struck), None, f"cannot be read: {why}") from None

    def _append(self, line: bytes) -> None:
        if self._marks is None:
            raise RecordingError(str(self._struck), None, "is not open")
        try:
            os.write(self._marks, line)  # so short a write is whole, or torn by a crash: then its document comes again
            os.fsync(self._marks)
        except OSError as error:
            raise self._unwritable(error) from None

    def _unreadable(self, error: OSError) -> RecordingError:
        return RecordingError(str(self._path), None, f"cannot be read: {error.strerror}")

    def _unwritable(self, error: OSError) -> RecordingError:
        return RecordingError(str(self._struck), None, f"cannot be written: {error.strerror}")


def _is_whole(line: bytes) -> bool:
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    return True
