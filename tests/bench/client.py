"""One variant in a process of its own: reads a plan from standard input, writes what it measured to standard output."""

from __future__ import annotations

import importlib
import json
import os
import sys

from tests.bench.meter import Meter, Plan

__all__ = ["SIDE_BY_SIDE", "VARIANTS"]

VARIANTS = {
    "floor": "tests.bench.variants.floor:run",
    "esm": "tests.bench.variants.esm_worker:run",
    "esm, uvloop": "tests.bench.variants.esm_worker:run_on_uvloop",
    "boto3": "tests.bench.variants.boto3_loop:run",
    "aiobotocore": "tests.bench.variants.aiobotocore_loop:run",
    "async-kinesis": "tests.bench.variants.async_kinesis:run",
}

SIDE_BY_SIDE = {"esm, watched": "tests.bench.variants.observability:run"}
"""What compares several ways within one process."""


def _main() -> None:
    told = json.load(sys.stdin)
    if told["core"] is not None:
        os.sched_setaffinity(0, {told["core"]})
    plan = Plan(**told["plan"])
    module, _, name = (VARIANTS | SIDE_BY_SIDE)[told["variant"]].partition(":")
    meter = Meter(plan)
    getattr(importlib.import_module(module), name)(plan, meter)
    json.dump(meter.result(), sys.stdout)


if __name__ == "__main__":
    _main()
