"""stdout and stderr of a process that is ours, which outlive whoever reads them.

On Lambda a function's print never fails, and what is printed is no part of what is done. Here a reader may go before
the writer: `head` has seen enough, `tee` ended by the same Ctrl-C, a terminal was closed. A print that raised would
fail a batch, and give up its records in the end.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import Any

__all__ = ["outlive_readers"]

_UNREAD = (errno.EPIPE, errno.EIO)  # nobody holds the pipe's other end, or the terminal, any more


def outlive_readers() -> None:
    """From now on what nobody reads is dropped, and a stream that the process was begun without leads nowhere."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:  # its number would go to the next file that is opened: what is printed must not get into it
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, open(descriptor, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115  # for good
    sys.stdout, sys.stderr = _outliving(sys.stdout), _outliving(sys.stderr)


def _outliving(stream: Any) -> Any:
    """The same stream, its reader gone or not; as it is, where somebody put another object there."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    raw = _Raw(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        raw if isinstance(stream.buffer, io.RawIOBase) else io.BufferedWriter(raw),  # as Python's own, under -u
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Raw(io.FileIO):
    """A descriptor to which all can be written."""

    def write(self, data: Any) -> int:
        """How much is dealt with: all of it, where nobody reads."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _UNREAD:
                raise
            return memoryview(data).nbytes
