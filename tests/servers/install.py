"""Installs the local AWS servers that tests talk to into `.emulators`; does nothing when they are there.

    python tests/servers/install.py

ministack pins botocore, so it has an environment of its own. kinesis-local is a Node program.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["KINESIS_LOCAL", "MINISTACK", "ROOT", "main"]

ROOT = Path(__file__).parents[2] / ".emulators"
MINISTACK = ROOT / "ministack"
KINESIS_LOCAL = ROOT / "kinesis-local"

MINISTACK_RELEASE = "ministack==1.5.33"
KINESIS_LOCAL_RELEASE = "kinesis-local@0.6.2"


def main() -> None:
    """Installs what is missing. Safe to run twice at once."""
    ROOT.mkdir(parents=True, exist_ok=True)
    with (ROOT / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _once(MINISTACK, MINISTACK_RELEASE, _install_ministack)
        _once(KINESIS_LOCAL, KINESIS_LOCAL_RELEASE, _install_kinesis_local)


def _once(folder: Path, release: str, install: Callable[[], None]) -> None:
    """The stamp is written last: an installation that broke off is made again."""
    stamp = folder / ".release"
    if stamp.exists() and stamp.read_text() == release:
        return
    shutil.rmtree(folder, ignore_errors=True)
    install()
    stamp.write_text(release)


def _install_ministack() -> None:
    _run(sys.executable, "-m", "venv", str(MINISTACK))
    _run(str(MINISTACK / "bin" / "python"), "-m", "pip", "install", "--quiet", MINISTACK_RELEASE)


def _install_kinesis_local() -> None:
    npm = shutil.which("npm")
    if npm is None:
        sys.exit("kinesis-local, a local server of the tests, needs Node 20 with npm: there is no npm on the path")
    KINESIS_LOCAL.mkdir(parents=True)
    _run(npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(KINESIS_LOCAL), KINESIS_LOCAL_RELEASE)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
