"""The process that a worker was started in, and no other."""

from __future__ import annotations

import os

from esm.errors import EsmError

__all__ = ["Home"]


class _Forks:
    """How many forks this process is away from the one that imported this. Asking the system costs microseconds."""

    count = 0

    @classmethod
    def one_more(cls) -> None:
        cls.count += 1


os.register_at_fork(after_in_child=_Forks.one_more)


class Home:
    """Where it was made. A fork has the memory of a worker and none of its threads: it would read everything twice."""

    __slots__ = ("_forks", "_pid")

    def __init__(self) -> None:
        self._pid, self._forks = os.getpid(), _Forks.count

    def check(self) -> None:
        """Nothing, in the process it was made in. Raises `EsmError` in a fork of it."""
        if self._forks != _Forks.count:
            text = f"this worker was started in process {self._pid} and this is a fork of it; fork first, then start"
            raise EsmError(text)
