"""Documents in a file, one a line, as the destination `file:///path` writes them.

Workers may be appending to the file, so no line is ever taken out of it. What was struck off stands in a second file
beside it, `<name>.redriven`: a line's number and its digest.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from hashlib import sha256
from pathlib import Path

from esm.errors import RecordingError
from esm.redriving.box import Document

__all__ = ["FileBox"]


class FileBox:
    """A JSON Lines file. Raises `RecordingError` when it cannot be read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._struck = path.with_name(path.name + ".redriven")

    async def documents(self) -> AsyncGenerator[Document, None]:
        """Each line that was not struck off; a torn last line, which is still being written, is none."""
        struck, lines = await asyncio.to_thread(self._read)
        for number, line in enumerate(lines, 1):
            mark = f"{number} {sha256(line).hexdigest()}"
            if line.strip() and mark not in struck:
                yield Document(f"line {number}", line, mark)

    async def done(self, document: Document) -> None:
        """Writes down that this line is done; on the disk when it returns."""
        # A line before it as well: what a crash tore off there is not taken for the beginning of this one.
        await asyncio.to_thread(self._append, f"\n{document.handle}\n".encode())

    async def close(self) -> None:
        """Nothing is held."""

    def _read(self) -> tuple[set[str], list[bytes]]:
        try:
            struck = self._struck.read_text().splitlines() if self._struck.exists() else []
            text = self._path.read_bytes()
        except (OSError, UnicodeError) as error:
            raise RecordingError(
                str(self._path), None, f"cannot be read: {getattr(error, 'strerror', None) or error}"
            ) from None
        return set(struck), text.split(b"\n")[:-1]

    def _append(self, line: bytes) -> None:
        try:
            file = os.open(self._struck, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(file, line)  # so short a write is whole, or torn by a crash: then its document comes again
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise RecordingError(str(self._struck), None, f"cannot be written: {error.strerror}") from None
