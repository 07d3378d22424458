"""What the command line does about its limit of open files, seen in a process of its own."""

from __future__ import annotations

import subprocess
import sys

RAISED = """
import resource
from esm.cli.open_files import ENOUGH, open_all_that_is_allowed
most = 4096
resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))
open_all_that_is_allowed()
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, most)

limits, set_to = {}, []
resource.getrlimit = lambda _: limits["now"]
resource.setrlimit = lambda _, limit: set_to.append(limit)
for limits["now"] in [(1024, 1 << 30), (1024, resource.RLIM_INFINITY), (1 << 20, 1 << 20), (-1, -1)]:
    open_all_that_is_allowed()
assert set_to == [(ENOUGH, 1 << 30), (ENOUGH, resource.RLIM_INFINITY)]
"""

REFUSED = """
import resource
from esm.cli.open_files import open_all_that_is_allowed

def refuse(*_):
    raise ValueError("not allowed to raise maximum limit")

resource.getrlimit = lambda _: (64, 4096)
resource.setrlimit = refuse
open_all_that_is_allowed()
"""


def _run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_the_soft_limit_is_raised_to_the_hard_one_and_never_beyond_what_is_enough() -> None:
    _run(RAISED)


def test_a_system_that_refuses_is_left_as_it_is() -> None:
    _run(REFUSED)
