"""What the command line does about memory, seen in a process of its own."""

from __future__ import annotations

import subprocess
import sys

COLLECTOR = """
import gc
from esm.cli.memory import YOUNG_MAX, spare_the_collector
before = len(gc.get_objects())
spare_the_collector()
assert len(gc.get_objects()) < before / 100
assert gc.get_freeze_count() > before / 2
assert gc.isenabled() and gc.get_threshold()[0] == YOUNG_MAX
"""

BLOCKS = """
import ctypes
from esm.cli.memory import keep_large_blocks

def of_the_heap():
    block = bytearray(8 << 20)
    place = ctypes.addressof(ctypes.c_char.from_buffer(block))
    with open("/proc/self/maps") as maps:
        (heap,) = [line.split()[0] for line in maps if line.rstrip().endswith("[heap]")]
    first, last = (int(end, 16) for end in heap.split("-"))
    return first <= place < last

assert not of_the_heap()
keep_large_blocks()
assert of_the_heap()
"""


def _run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_what_a_start_leaves_behind_is_not_looked_at_again() -> None:
    _run(COLLECTOR)


def test_large_blocks_come_from_the_heap() -> None:
    _run(BLOCKS)
