"""How many files and connections a process that is ours alone may have open. A library leaves that to its host."""

from __future__ import annotations

from contextlib import suppress

__all__ = ["ENOUGH", "open_all_that_is_allowed"]

ENOUGH = 1 << 16
"""More is not asked for, as some programs that functions start close each file that they might have (chosen)."""


def open_all_that_is_allowed() -> None:
    """Raises the soft limit to the hard one, or to `ENOUGH`, where there are such.

    A long poll keeps its connection, and 1,024, the usual limit, are the polls of two hundred idle queues. It is that
    low for the sake of programs that call `select`.
    https://docs.python.org/3/library/resource.html#resource.RLIMIT_NOFILE
    """
    with suppress(ImportError, ValueError, OSError):  # another system, or one that allows less than it says
        import resource  # noqa: PLC0415  # there is none on Windows

        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = ENOUGH if most == resource.RLIM_INFINITY else min(most, ENOUGH)
        if now != resource.RLIM_INFINITY and now < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
