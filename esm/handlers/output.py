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

__all__ = ["outlive_full_disks", "outlive_readers"]

_UNREAD = (errno.EPIPE, errno.EIO)  # nobody holds the pipe's other end, or the terminal, any more
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_dropped = {*_UNREAD}


def outlive_readers() -> None:
    """From now on what nobody reads is dropped, and a stream that the process was begun without leads nowhere."""
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:  # its number would go to the next file that is opened: what is printed must not get into it
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
            setattr(sys, name, open(descriptor, "r" if name == "stdin" else "w", closefd=False))  # noqa: SIM115  # for good
    sys.stdout, sys.stderr = _outliving(sys.stdout), _outliving(sys.stderr)


def outlive_full_disks() -> None:
    """The same of what there is no room for: where functions print, and what they do counts for more than a log."""
    _dropped.update(_FULL)


def _outliving(stream: Any) -> Any:
    """The same stream, its reader gone or not; as it is, where somebody put another object there."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    raw = _Raw(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        raw if isinstance(stream.buffer, io.RawIOBase) else _Buffered(raw),  # as Python's own, under -u
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Open(io.IOBase):
    """Stays open: a function that closes what it prints to would close it for all other functions, and for us."""

    def close(self) -> None:
        """What was written comes out."""
        self.flush()


class _Buffered(_Open, io.BufferedWriter):
    """What is not written line by line."""


class _Raw(_Open, io.FileIO):
    """A descriptor to which all can be written."""

    def write(self, data: Any) -> int:
        """How much is dealt with: all of it, where nobody reads, or nothing more is kept."""
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in _dropped:
                raise
            return memoryview(data).nbytes
