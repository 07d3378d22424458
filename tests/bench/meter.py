"""What every variant is measured with: the same handler, the same clock, the same start and end."""

from __future__ import annotations

import base64
import resource
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.counter import Counter, percentile
from tests.bench.pages import position_of
from tests.bench.workloads import BATCH_SIZE

__all__ = ["Meter", "Plan"]

PATIENCE_S = 0.3
"""How long the end of a window waits for a moment at which all that was read is handled."""


@dataclass(frozen=True)
class Plan:
    """What one process does.

    `warm_up`: polls before the window begins. `cpu_s`, `wall_s`: the window ends with whichever is over first. `total`:
    instead of a window, end after so many records, and keep what was handled; 0: measure. `source`: `kinesis` or
    `dynamodb`. `batch_size`, `factor`: of the mapping. `authority`: the file of the certificates to trust, "" without
    TLS.
    """

    url: str
    counter: str
    records: int
    shards: int
    warm_up: int
    cpu_s: float
    wall_s: float
    total: int = 0
    source: str = "kinesis"
    batch_size: int = BATCH_SIZE
    factor: int = 1
    authority: str = ""

    @property
    def arn(self) -> str:
        """The stream to read, of so many shards."""
        if self.source == "dynamodb":
            return f"arn:aws:dynamodb:eu-west-1:123456789012:table/{self.stream}/stream/2026-01-01T00:00:00.000"
        return f"arn:aws:kinesis:eu-west-1:123456789012:stream/{self.stream}"

    @property
    def stream(self) -> str:
        """Its name."""
        return f"shards-{self.shards}"


@dataclass(frozen=True)
class Reading:
    """The process at one moment. CPU: user and system, of all threads."""

    cpu_s: float
    wall_s: float
    records: int
    polls: int


@dataclass
class Meter:
    """Counts what the handler gets. `handled`: (shard, sequence number, place in its page), only with a `total`.

    `found`: what a variant measured itself, for its result.
    """

    plan: Plan
    records: int = 0
    handled: list[tuple[str, str, int]] = field(default_factory=list)
    found: dict[str, Any] = field(default_factory=dict)
    _late: list[int] = field(default_factory=list)
    _start: Reading | None = None
    _end: Reading | None = None

    def __post_init__(self) -> None:
        self._counter = Counter(self.plan.counter)

    async def handle(self, event: dict[str, Any], context: Any) -> None:
        """The handler: does nothing but count."""
        self.handle_now(event, context)

    def handle_now(self, event: dict[str, Any], context: Any) -> None:
        """The same for who calls plain functions."""
        self.records += len(event["Records"])
        if self.plan.total:
            self.handled.extend(_handled(record) for record in event["Records"])

    def lap(self, *, at_rest: bool = False) -> bool:
        """Called between pages, or now and then: whether there is enough.

        `at_rest`: all that was read is handled; otherwise that is looked up, and waited for a little.
        """
        if self.plan.total:
            return self.records >= self.plan.total
        polls, served = self._counter.read()
        now = Reading(time.process_time(), time.perf_counter(), self.records, polls)
        start = self._start
        if start is None:
            if polls >= self.plan.warm_up and (at_rest or served == self.records or polls >= 2 * self.plan.warm_up):
                self._start, self._late = now, self._counter.late()
            return False
        over = max((now.cpu_s - start.cpu_s) / self.plan.cpu_s, (now.wall_s - start.wall_s) / self.plan.wall_s) >= 1
        late = now.wall_s - start.wall_s >= self.plan.wall_s + PATIENCE_S
        moved = polls > start.polls and (self.records > start.records or not self.plan.records)
        if not (over and moved and (at_rest or late or served == self.records)):
            return False
        self._end = now
        return True

    @property
    def measuring(self) -> bool:
        """Whether the window has begun."""
        return self._start is not None

    def result(self) -> dict[str, Any]:
        """What was measured, or handled."""
        if self._start is None or self._end is None:
            return {"handled": self.handled} | self.found
        start, end = asdict(self._start), asdict(self._end)
        measured = {name: end[name] - start[name] for name in start}
        late = [now - before for now, before in zip(self._counter.late(), self._late, strict=True)]
        return (
            measured
            | {"rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "rss_now_mib": _rss_mib()}
            | {f"late_p{share}_ms": percentile(late, share / 100) for share in (50, 99)}
            | self.found
        )


def _rss_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


def _handled(record: dict[str, Any]) -> tuple[str, str, int]:
    shard, _, number = record.get("eventID", "").partition(":")
    return shard, number, position_of(base64.b64decode(record["kinesis"]["data"]))
