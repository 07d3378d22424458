"""The command `esm`: looks whether its packages are there, and says in one line how to get them when not."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from esm.cli.exits import Exit
from esm.handlers.output import outlive_readers

__all__ = ["main"]


def main() -> None:
    """Runs the command line and ends the process."""
    outlive_readers()
    missing = [name for name in ("click", "rich") if find_spec(name) is None]
    if missing:
        print(  # noqa: T201  # before there is anything else to say it with
            f"esm: the command line needs {' and '.join(missing)}: pip install 'asyncio-esm[cli]'", file=sys.stderr
        )
        sys.exit(Exit.NOT_INSTALLED)
    try:
        from esm.cli.command_line import run_command_line  # noqa: PLC0415  # needs what was looked for

        code = run_command_line(sys.argv[1:])
    except KeyboardInterrupt:  # before there was anything to stop
        code = Exit.AT_ONCE
    sys.exit(code)
