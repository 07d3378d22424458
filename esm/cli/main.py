"""The command `esm`: looks whether its packages are there, and says in one line how to get them when not."""

from __future__ import annotations

import sys

__all__ = ["main"]

_AT_ONCE = 71
"""`Exit.AT_ONCE`, whose module may be what is being imported when a signal comes."""


def main() -> None:
    """Runs the command line and ends the process."""
    try:
        code = _run()
    except KeyboardInterrupt:  # before there was anything to stop
        code = _AT_ONCE
    sys.exit(code)


def _run() -> int:
    from importlib.util import find_spec  # noqa: PLC0415  # as all that follows, for it takes a while

    from esm.cli.exits import Exit  # noqa: PLC0415  # somebody may press Ctrl-C meanwhile
    from esm.handlers.output import outlive_readers  # noqa: PLC0415  # as above

    outlive_readers()
    missing = [name for name in ("click", "rich") if find_spec(name) is None]
    if missing:
        print(  # noqa: T201  # before there is anything else to say it with
            f"esm: the command line needs {' and '.join(missing)}: pip install 'asyncio-esm[cli]'", file=sys.stderr
        )
        return Exit.NOT_INSTALLED
    from esm.cli.command_line import run_command_line  # noqa: PLC0415  # needs what was looked for
    from esm.cli.interrupts import leave_threads  # noqa: PLC0415  # takes a while

    code = run_command_line(sys.argv[1:])
    leave_threads(code)
    return code
