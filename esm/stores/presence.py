"""Which owners of leases are alive, by locks that the system lifts when their process dies.

Each owner has a file beside the database and holds a shared `flock` on it while its store is open. Whoever gets the
file for itself alone knows that nobody holds it. So no clock is compared, nothing is renewed, a process that was given
a dead one's id is not taken for it, and containers that share the disk see each other: all that process ids cannot do.
A stopped process (SIGSTOP) lives. What a killed one left behind is removed by the next worker.
https://man7.org/linux/man-pages/man2/flock.2.html
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from glob import escape
from hashlib import blake2s
from pathlib import Path

__all__ = ["Presence", "is_free"]


class Presence:
    """The owners of one database. Raises `OSError` where the file system has no locks."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._held: dict[str, tuple[Path, int]] = {}

    def declare(self, owner: str) -> None:
        """`owner` lives until `close`, or as long as this process does."""
        if owner in self._held:
            return
        if not self._held:
            self._sweep()
        path = self._path(owner)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH)  # waits for no more than somebody's look at it
                if os.fstat(descriptor).st_nlink:
                    self._held[owner] = (path, descriptor)
                    return
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)  # it was swept away between the two calls

    def lives(self, owner: str) -> bool:
        """Whether some process holds the file of `owner`. Who cannot be judged lives."""
        try:
            descriptor = os.open(self._path(owner), os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            return not is_free(descriptor)
        finally:
            os.close(descriptor)

    def close(self) -> None:
        """Removes the files of all that were declared here."""
        for path, descriptor in self._held.values():
            with suppress(OSError):
                if is_free(descriptor):  # an owner of the same name keeps it
                    path.unlink()
            os.close(descriptor)
        self._held.clear()

    def _sweep(self) -> None:
        """Removes what the dead left behind."""
        for path in self._database.parent.glob(f"{escape(self._database.name)}-owner-*"):
            with suppress(OSError):
                descriptor = os.open(path, os.O_RDWR)
                try:
                    if is_free(descriptor):
                        path.unlink()
                finally:
                    os.close(descriptor)

    def _path(self, owner: str) -> Path:
        name = blake2s(owner.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
        return self._database.with_name(f"{self._database.name}-owner-{name}")


def is_free(descriptor: int) -> bool:
    """Whether the lock is to be had for oneself alone; then it is held, until the descriptor is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
