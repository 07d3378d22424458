"""One variant in a process of its own: reads a plan from standard input, writes what it measured to standard output."""

from __future__ import annotations

import importlib
import json
import os
import sys

from tests.bench.meter import Meter, Plan

__all__ = ["OTHERS", "VARIANTS"]

VARIANTS = {
    "floor": "tests.bench.variants.floor:run",
    "esm": "tests.bench.variants.esm_worker:run",
    "esm, uvloop": "tests.bench.variants.esm_worker:run_on_uvloop",
    "boto3": "tests.bench.variants.boto3_loop:run",
    "aiobotocore": "tests.bench.variants.aiobotocore_loop:run",
    "async-kinesis": "tests.bench.variants.async_kinesis:run",
    "aws-sdk-js": "tests.bench.variants.node:run_kinesis_sdk",
    "localstack": "tests.bench.variants.localstack_poller:run",
}

OTHERS = {
    "esm, watched": "tests.bench.variants.observability:run",
    "esm, frozen": "tests.bench.variants.esm_worker:run_frozen",
    "aiobotocore, frozen": "tests.bench.variants.aiobotocore_loop:run_frozen",
    "esm, ten lanes": "tests.bench.variants.esm_worker:run_ten_lanes",
    "esm, through the SDK": "tests.bench.variants.esm_worker:run_through_the_sdk",
    "esm, ticking": "tests.bench.variants.ticking:run_esm",
    "aiobotocore, ticking": "tests.bench.variants.ticking:run_aiobotocore",
    "esm, telling delays": "tests.bench.variants.delays:run_stream",
}
"""What is measured apart from the comparison of all."""


def _main() -> None:
    told = json.load(sys.stdin)
    if told["core"] is not None:
        os.sched_setaffinity(0, {told["core"]})
    plan = Plan(**told["plan"])
    module, _, name = (VARIANTS | OTHERS)[told["variant"]].partition(":")
    meter = Meter(plan)
    getattr(importlib.import_module(module), name)(plan, meter)
    json.dump(meter.result(), sys.stdout)


if __name__ == "__main__":
    _main()
