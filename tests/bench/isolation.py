"""`python -m tests.bench.isolation`: what a process of its own costs a call, and what another core brings.

Both sides of a comparison take turns in one run. On a machine that others use as well, the wall clock says little of
the second: so the time in which a process worked or was ready to, as the system counts it, is shown beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median

from esm.clock import SystemClock
from esm.handlers.invoke import FunctionInvoker
from esm.handlers.processes import ProcessInvoker
from esm.mapping.function import Function
from esm.records.kinesis import KinesisEventShape, KinesisRecord
from tests.bench.report import machine

__all__ = ["Cost", "Share", "costs", "shares", "tables"]

RESULTS = Path(__file__).parent / "results"
HANDLERS = "tests.bench.variants.isolated"
ARN = "arn:aws:lambda:eu-west-1:123456789012:function:bench"
SHAPE = KinesisEventShape(
    shard_id="shardId-000000000000",
    event_source_arn="arn:aws:kinesis:eu-west-1:123456789012:stream/orders",
    region="eu-west-1",
    role_arn="arn:aws:iam::123456789012:role/esm",
)
STEPS = 300_000
"""Of one call that computes: some 20 ms."""


@dataclass(frozen=True)
class Cost:
    """One turn of a no-op with 100 records of 1 KB, in microseconds a call.

    `wall`: until its answer, of the median call. `cpu`: the worker's; `cpu_there`: of the process it was called in.
    """

    wall: float
    cpu: float
    cpu_there: float

    @property
    def all_cpu(self) -> float:
        """Of both."""
        return self.cpu + self.cpu_there


@dataclass(frozen=True)
class Share:
    """One turn of calls that compute, by so many processes.

    `calls`: done in `wall` seconds. `ran`, `ready`: seconds that the processes had a core, and waited for one.
    """

    processes: int
    calls: int
    wall: float
    ran: float
    ready: float

    @property
    def busy(self) -> float:
        """Of the time that the processes had, what they were not kept waiting by the worker."""
        return (self.ran + self.ready) / (self.wall * self.processes)

    @property
    def calls_a_core(self) -> float:
        """Calls for a second that a process had a core."""
        return self.calls / self.ran


async def costs(calls: int, rounds: int) -> dict[str, list[Cost]]:
    """Samples by isolation, one a round."""
    samples: dict[str, list[Cost]] = {"thread": [], "process": []}
    records = [KinesisRecord(base64.b64encode(os.urandom(1024)).decode(), "key", f"{n:056}", 1.5) for n in range(100)]
    function = Function(f"{HANDLERS}:nothing")
    in_thread = FunctionInvoker(function, arn=ARN, clock=SystemClock())
    async with _processes("nothing", 1) as in_process:
        for number in range(rounds + 1):
            for name, invoker in (("thread", in_thread), ("process", in_process)):
                cost = await _cost(invoker, records, calls)
                if number:  # the first round warms up
                    samples[name].append(cost)
    await in_thread.close(0)
    return samples


async def shares(seconds: float, rounds: int, most: int) -> dict[int, list[Share]]:
    """Samples by the number of processes, one and `most`, one a round."""
    samples: dict[int, list[Share]] = {1: [], most: []}
    for _ in range(rounds):
        for processes, kept in samples.items():
            kept.append(await _share(processes, seconds))
    return samples


def tables(cost: dict[str, list[Cost]], share: dict[int, list[Share]]) -> str:
    """Markdown: both."""
    one, most = min(share), max(share)
    figures = {name: " | ".join(f"{_figure(cost[name], kind):.0f}" for kind in _KINDS) for name in cost}
    lines = [
        "| A call with 100 records of 1 KB, us | until its answer | CPU of the worker | CPU of both |",
        "|---|--:|--:|--:|",
        *(f"| in a {name} | {row} |" for name, row in figures.items()),
        f"| beside each other | {' | '.join(f'{_beside(cost, kind):+.0f}' for kind in _KINDS)} |",
        "",
        "| Calls that compute | calls a second | calls a second of a core | busy |",
        "|---|--:|--:|--:|",
        *(
            f"| {processes} process{'es' * (processes > 1)} | {median(s.calls / s.wall for s in samples):.1f} "
            f"| {median(s.calls_a_core for s in samples):.1f} | {median(s.busy for s in samples):.2f} |"
            for processes, samples in share.items()
        ),
        "",
        f"A core more brings {gained(share[one], share[most]):.2f} of a core's work. By the wall clock of this run,",
        f"with whatever else the machine did: {gained_by_the_clock(share[one], share[most]):.2f}.",
    ]
    return "\n".join(lines) + "\n"


def gained(one: list[Share], most: list[Share]) -> float:
    """What each core more brings, in times of what the first does: busy, and as fast.

    That is the ratio of rates where each process has a core of its own.
    """
    return median(
        _extra(a.busy * a.calls_a_core, b.busy * b.calls_a_core * b.processes, b) for a, b in _pairs(one, most)
    )


def gained_by_the_clock(one: list[Share], most: list[Share]) -> float:
    """The same as calls a second of the wall clock."""
    return median(_extra(a.calls / a.wall, b.calls / b.wall, b) for a, b in _pairs(one, most))


def _pairs(one: list[Share], most: list[Share]) -> list[tuple[Share, Share]]:
    return list(zip(one, most, strict=True))


def _extra(first: float, all_of_them: float, share: Share) -> float:
    return (all_of_them / first - 1) / (share.processes - 1)


_KINDS = ("wall", "cpu", "all_cpu")


def _figure(samples: list[Cost], kind: str) -> float:
    return float(median(getattr(sample, kind) for sample in samples))


def _beside(cost: dict[str, list[Cost]], kind: str) -> float:
    pairs = zip(cost["process"], cost["thread"], strict=True)
    return float(median(getattr(one, kind) - getattr(other, kind) for one, other in pairs))


async def _cost(invoker: FunctionInvoker | ProcessInvoker, records: list[KinesisRecord], calls: int) -> Cost:
    await invoker.invoke({}, "id")
    there = _scheduled(invoker) if isinstance(invoker, ProcessInvoker) else (0.0, 0.0)
    took, cpu = [], time.process_time()
    for _ in range(calls):
        began = time.perf_counter()
        await invoker.invoke(partial(SHAPE.event, records), "id")
        took.append(time.perf_counter() - began)
    cpu = time.process_time() - cpu
    ran = _scheduled(invoker)[0] - there[0] if isinstance(invoker, ProcessInvoker) else 0.0
    return Cost(median(took) * 1e6, cpu / calls * 1e6, ran / calls * 1e6)


async def _share(processes: int, seconds: float) -> Share:
    done = 0

    async def keep_calling(invoker: ProcessInvoker, until: float) -> None:
        nonlocal done
        while time.perf_counter() < until:
            await invoker.invoke({"steps": STEPS}, "id")
            done += 1

    async with _processes("burn", processes) as invoker:
        await asyncio.gather(*(invoker.invoke({"steps": STEPS}, "id") for _ in range(4 * processes)))
        began, before = time.perf_counter(), _scheduled(invoker)
        lanes = (keep_calling(invoker, began + seconds) for _ in range(2 * processes))
        await asyncio.gather(*lanes)
        wall, after = time.perf_counter() - began, _scheduled(invoker)
    ran, ready = (end - start for start, end in zip(before, after, strict=True))
    return Share(processes, done, wall, ran, ready)


def _scheduled(invoker: ProcessInvoker) -> tuple[float, float]:
    """Seconds that the processes had a core, and waited for one, since they began."""
    pairs = [
        Path(f"/proc/{process.pid}/task/{process.pid}/schedstat").read_text().split()[:2]
        for process in invoker._processes
    ]
    return sum(int(ran) for ran, _ in pairs) / 1e9, sum(int(ready) for _, ready in pairs) / 1e9


@asynccontextmanager
async def _processes(handler: str, processes: int) -> AsyncIterator[ProcessInvoker]:
    function = Function(f"{HANDLERS}:{handler}", isolation="process", timeout=60)
    invoker = ProcessInvoker(function, arn=ARN, clock=SystemClock(), processes=processes)
    try:
        yield invoker
    finally:
        await invoker.close(0)


_HEAD = """# Functions in processes of their own

`python -m tests.bench.isolation` made this page. The calls of both sides take turns in one run; figures are medians,
differences and ratios are taken within a round. A call in a thread builds the event in the worker; one in a process
sends the records, and the event is built there.

What a core more brings is, for each process, the part of its time in which it worked or was ready to, times the calls
it made in a second of a core, beside those of one process alone. Others may use the machine meanwhile: then processes
wait for a core, and the wall clock tells of them.
"""


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.isolation", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round; nothing is written")
    quick: bool = parser.parse_args().quick
    rounds = 1 if quick else 5
    cost = asyncio.run(costs(100 if quick else 1000, rounds))
    share = asyncio.run(shares(1 if quick else 4, rounds, max(2, len(os.sched_getaffinity(0)))))
    shown = tables(cost, share)
    sys.stdout.write(shown)
    if quick:
        return
    where = machine() | {"load": os.getloadavg()[0]}
    data = {
        "machine": where,
        "us": {name: [asdict(sample) for sample in samples] for name, samples in cost.items()},
        "shares": {str(name): [asdict(sample) for sample in samples] for name, samples in share.items()},
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "isolation.json").write_text(json.dumps(data, indent=1) + "\n")
    on = f"{where['cpu']}, {where['cores']} cores, load {where['load']:.1f}"
    under = f"{on}. {where['system']}, CPython {where['python']}."
    (RESULTS / "isolation.md").write_text(f"{_HEAD}\n{shown}\n{under}\n")


if __name__ == "__main__":
    _main()
