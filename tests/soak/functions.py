"""Functions that behave badly in every way that a worker has to bear, each for one mapping."""

from __future__ import annotations

import asyncio
import os
import random
import tempfile
import threading
import time
from typing import Any

import esm

__all__ = ["functions"]

_LEAK_S = 2.0
"""How long what a function leaves behind lives: without an end, the machine would be full in any case."""


async def fast(_event: dict[str, Any], _context: Any) -> None:
    """As quick as it goes: full load."""


def slow(_event: dict[str, Any], _context: Any) -> None:
    time.sleep(0.05)


async def failing(event: dict[str, Any], _context: Any) -> Any:
    """Raises, names items, or is content."""
    await asyncio.sleep(0.002)
    chance = random.random()  # noqa: TID251  # no history to replay
    if chance < 0.2:
        raise ValueError("now and then")
    if chance < 0.4:
        number = event["Records"][len(event["Records"]) // 2]["kinesis"]["sequenceNumber"]
        return {"batchItemFailures": [{"itemIdentifier": number}]}
    return None


async def hanging(_event: dict[str, Any], _context: Any) -> None:
    """Now and then it never ends; its timeout does."""
    await asyncio.sleep(3600 if random.random() < 0.02 else 0.002)  # noqa: TID251  # as in failing


def hanging_in_a_thread(_event: dict[str, Any], _context: Any) -> None:
    """Now and then it ends long after it was given up."""
    time.sleep(8 if random.random() < 0.002 else 0.01)  # noqa: TID251  # as in failing


async def leaking(_event: dict[str, Any], _context: Any) -> None:
    """Leaves tasks, threads, files and memory behind, which end by themselves a while later."""
    kept = bytearray(100_000)
    file = tempfile.TemporaryFile()  # noqa: SIM115  # it is left open
    _LEFT.add(task := asyncio.create_task(asyncio.sleep(_LEAK_S)))
    task.add_done_callback(_LEFT.discard)

    def end() -> None:
        file.close()
        kept.clear()

    thread = threading.Timer(_LEAK_S, end)
    thread.daemon = True
    thread.start()
    await asyncio.sleep(0.05)


_LEFT: set[asyncio.Task[None]] = set()


def crashing(_event: dict[str, Any], _context: Any) -> None:
    """In a process of its own, which it takes down now and then."""
    sum(range(20_000))
    if random.random() < 0.005:  # noqa: TID251  # as in failing
        os._exit(3)


def functions() -> dict[str, esm.Function]:
    """By name."""
    return {
        "fast": esm.Function(fast, name="fast"),
        "slow": esm.Function(slow, name="slow"),
        "failing": esm.Function(failing, name="failing"),
        "hanging": esm.Function(hanging, name="hanging", timeout=1.0),
        "hanging-in-a-thread": esm.Function(hanging_in_a_thread, name="hanging-in-a-thread", timeout=1.0),
        "leaking": esm.Function(leaking, name="leaking"),
        "crashing": esm.Function(crashing, name="crashing", isolation="process"),
    }
