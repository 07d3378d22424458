"""What the command line does about its limit of open files, seen in a process of its own."""

from __future__ import annotations

import subprocess
import sys

RAISED = """
import resource
from esm.cli.open_files import open_all_that_is_allowed
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
open_all_that_is_allowed()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)
"""

REFUSED = """
import resource
from esm.cli.open_files import open_all_that_is_allowed

def refuse(*_):
    raise ValueError("not allowed to raise maximum limit")

resource.setrlimit = refuse
open_all_that_is_allowed()
"""


def _run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    _run(RAISED)


def test_a_system_that_refuses_is_left_as_it_is() -> None:
    _run(REFUSED)
