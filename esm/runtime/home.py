"""The process that a worker was started in, and no other."""

from __future__ import annotations

import os

from esm.errors import EsmError

__all__ = ["Home"]


class Home:
    """Where it was made. A fork has the memory of a worker and none of its threads: it would read everything twice."""

    __slots__ = ("_pid",)

    def __init__(self) -> None:
        self._pid = os.getpid()

    def check(self) -> None:
        """Nothing, in the process it was made in. Raises `EsmError` in a fork of it."""
        if os.getpid() != self._pid:
            text = f"this worker was started in process {self._pid} and this is a fork of it; fork first, then start"
            raise EsmError(text)
