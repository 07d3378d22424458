"""How many files and connections a process that is ours alone may have open. A library leaves that to its host."""

from __future__ import annotations

from contextlib import suppress

__all__ = ["open_all_that_is_allowed"]


def open_all_that_is_allowed() -> None:
    """Raises the soft limit to the hard one, where there are such.

    A long poll keeps its connection, and 1,024, the usual limit, are the polls of two hundred idle queues. It is that
    low for the sake of programs that call `select`.
    https://docs.python.org/3/library/resource.html#resource.RLIMIT_NOFILE
    """
    with suppress(ImportError, ValueError, OSError):  # another system, or one that allows less than it says
        import resource  # noqa: PLC0415  # there is none on Windows

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
