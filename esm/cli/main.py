"""The command `esm`: looks whether its packages are there, and says in one line how to get them when not."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from importlib.util import find_spec

__all__ = ["main"]

_AT_ONCE = 71
"""`Exit.AT_ONCE`, whose module may be what is being imported when a signal comes."""

_LEAVE_S = 1.0
"""How long a thread that a function left behind gets to end, when all is done (chosen)."""


def main() -> None:
    """Runs the command line and ends the process."""
    try:
        code = _run()
        _leave_threads(code)
    except KeyboardInterrupt:  # before there was anything to stop
        code = _AT_ONCE
    sys.exit(code)


def _leave_threads(code: int) -> None:
    """Ends the process now when a thread that a function left behind hangs: its interpreter would wait for that.

    What was told to stop is not touched: its threads have the time that its drain has.
    """
    if callable(signal.getsignal(signal.SIGTERM)):  # the watch over the end has not given it back
        return
    others = [each for each in threading.enumerate() if each is not threading.main_thread() and not each.daemon]
    for thread in others:
        thread.join(_LEAVE_S)
        if thread.is_alive():
            for stream in (sys.stdout, sys.stderr):
                with suppress(OSError):
                    stream.flush()
            os._exit(code)


def _run() -> int:
    from esm.cli.exits import Exit  # noqa: PLC0415  # takes a while, in which somebody may press Ctrl-C
    from esm.handlers.output import outlive_readers  # noqa: PLC0415  # as above

    outlive_readers()
    missing = [name for name in ("click", "rich") if find_spec(name) is None]
    if missing:
        print(  # noqa: T201  # before there is anything else to say it with
            f"esm: the command line needs {' and '.join(missing)}: pip install 'asyncio-esm[cli]'", file=sys.stderr
        )
        return Exit.NOT_INSTALLED
    from esm.cli.command_line import run_command_line  # noqa: PLC0415  # needs what was looked for

    return run_command_line(sys.argv[1:])
