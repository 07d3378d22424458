"""Installs the local AWS servers that tests talk to into `.emulators`; does nothing when they are there.

    python tests/servers/install.py

ministack pins botocore, so it has an environment of its own. kinesis-local is a Node program.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

__all__ = ["KINESIS_LOCAL", "MINISTACK", "ROOT", "is_installed", "main", "of_node", "of_python", "once"]

ROOT = Path(__file__).parents[2] / ".emulators"
MINISTACK = ROOT / "ministack"
KINESIS_LOCAL = ROOT / "kinesis-local"
STAMP = ".release"

MINISTACK_RELEASE = "ministack==1.5.33"
KINESIS_LOCAL_RELEASE = "kinesis-local@0.6.2"


def main() -> None:
    """Installs what is missing. Safe to run twice at once."""
    once(MINISTACK, [MINISTACK_RELEASE], of_python)
    once(KINESIS_LOCAL, [KINESIS_LOCAL_RELEASE], of_node)


def once(folder: Path, releases: Sequence[str], install: Callable[[Path, Sequence[str]], None]) -> None:
    """Installs them into a folder of their own, unless they are there. Safe to run twice at once."""
    ROOT.mkdir(parents=True, exist_ok=True)
    with (ROOT / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_installed(folder, releases):
            shutil.rmtree(folder, ignore_errors=True)
            install(folder, releases)
            (folder / STAMP).write_text(" ".join(releases))


def is_installed(folder: Path, releases: Sequence[str]) -> bool:
    """Whether just these are there. The stamp is written last: an installation that broke off is made again."""
    stamp = folder / STAMP
    return stamp.exists() and stamp.read_text() == " ".join(releases)


def of_python(folder: Path, releases: Sequence[str]) -> None:
    """A virtual environment with packages of Python."""
    _run(sys.executable, "-m", "venv", str(folder))
    _run(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *releases)


def of_node(folder: Path, releases: Sequence[str]) -> None:
    """A folder with packages of Node."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit(f"{folder.name} needs Node 20 with npm: there is no npm on the path")
    folder.mkdir(parents=True)
    _run(npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), *releases)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
