"""Measures one poller of a queue from outside: what the server saw deleted, and the process's own CPU clock."""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.bench.peers import NODE_PEERS, NODE_WARM_UP_S, interpreter
from tests.bench.processes import PATIENCE_S, Canned, cores, environment, home, started
from tests.bench.queue_client import DELAYS, QueuePlan
from tests.bench.queue_server import COUNTER_BYTES, Count, Counter
from tests.bench.workloads import QUEUE_PATH

__all__ = ["IdleQueues", "QueueSample", "Window", "drain_all", "measure_delays", "measure_idle_queues", "measure_queue"]

LOOK_S = 0.01
SIZE = 200


@dataclass(frozen=True)
class Window:
    """`warm_up_s`: from the first delete on, and more on Node; then `seconds` are measured."""

    warm_up_s: float = 1.2
    seconds: float = 1.5


@dataclass(frozen=True)
class QueueSample:
    """What one turn gave: CPU of the poller and of the server, user and system, all threads. `most_out`: messages."""

    messages: int
    seconds: float
    cpu_s: float
    server_cpu_s: float
    calls: int
    most_out: int
    rss_mib: float

    @property
    def us_a_message(self) -> float:
        """CPU of a message, microseconds."""
        return self.cpu_s * 1e6 / self.messages

    @property
    def messages_a_second(self) -> float:
        """By the clock on the wall."""
        return self.messages / self.seconds


def measure_queue(variant: str, handlers: int, takes_ms: int, window: Window, *, tls: bool = False) -> QueueSample:
    """What became of one window. Raises `RuntimeError` with what the poller said when it ended by itself."""
    with _serving(tls=tls) as server, _polling(variant, server, handlers, takes_ms) as poller:
        poller.wait_for(lambda count: count.deleted > 0)
        time.sleep(window.warm_up_s)
        if variant in NODE_PEERS:
            poller.wait_for(lambda _: _cpu_s(poller.process.pid) >= NODE_WARM_UP_S)
        before, start = poller.counter.read(), _reading(server, poller)
        time.sleep(window.seconds)
        after, end = poller.counter.read(), _reading(server, poller)
        poller.check()
        return QueueSample(
            messages=after.deleted - before.deleted,
            seconds=end[0] - start[0],
            cpu_s=end[1] - start[1],
            server_cpu_s=end[2] - start[2],
            calls=after.receives + after.deletes - before.receives - before.deletes,
            most_out=after.most_out,
            rss_mib=_rss_mib(poller.process.pid),
        )


@dataclass(frozen=True)
class IdleQueues:
    """So many queues in which nothing is, once it is known that they are idle. `receives`: within `seconds`."""

    queues: int
    seconds: float
    receives: int
    cpu_s: float
    rss_mib: float

    @property
    def poll_us(self) -> float:
        """CPU of a poll."""
        return self.cpu_s * 1e6 / max(1, self.receives)


def measure_idle_queues(variant: str, queues: int, seconds: float, *, waves: int = 6) -> IdleQueues:
    """There is one message, and then none. `waves`: so many receives of each come first; it begins with five."""
    with _serving(total=1) as server, _polling(variant, server, 1, 0, queues=queues) as poller:
        poller.wait_for(lambda count: count.receives >= waves * queues and count.deleted > 0)
        before, start = poller.counter.read(), _reading(server, poller)
        time.sleep(seconds)
        after, end = poller.counter.read(), _reading(server, poller)
        poller.check()
        rss_mib = _rss_mib(poller.process.pid)
        return IdleQueues(queues, end[0] - start[0], after.receives - before.receives, end[1] - start[1], rss_mib)


def drain_all(variant: str, handlers: int, takes_ms: int, total: int) -> Count:
    """The server's count once all of `total` messages are deleted, each counted once."""
    with _serving(total=total) as server, _polling(variant, server, handlers, takes_ms) as poller:
        poller.wait_for(lambda count: count.deleted == total)
        return poller.counter.read()


def measure_delays(variant: str, rate: float, window: Window) -> list[float]:
    """Milliseconds from when a message was there until its handler began, of `rate` messages a second."""
    with _serving(rate=rate) as server, _polling(variant, server, 1, 0, timed=True) as poller:
        poller.wait_for(lambda count: count.deleted > 0)
        time.sleep(window.warm_up_s)
        before = len(poller.delays())
        time.sleep(window.seconds)
        for _ in range(200):  # on a busy machine the shortest window may have none
            if len(poller.delays()) > before + 1:
                break
            time.sleep(0.1)
        poller.check()
        return poller.delays()[before:]


class _Poller:
    def __init__(self, process: subprocess.Popen[str], counter: Counter, folder: Path) -> None:
        self.process, self.counter, self._folder = process, counter, folder
        self._said = folder / "said"

    def delays(self) -> list[float]:
        *whole, _ = self._folder.joinpath(DELAYS).read_text().split("\n")
        return [float(line) for line in whole]

    def check(self) -> None:
        if self.process.poll() is not None:
            raise RuntimeError(f"the poller ended:\n{self._said.read_text()[-4000:]}")

    def wait_for(self, holds: Callable[[Count], bool]) -> None:
        give_up = time.perf_counter() + PATIENCE_S
        while not holds(self.counter.read()):
            self.check()
            if time.perf_counter() > give_up:
                raise RuntimeError(f"it does not get so far: {self.counter.read()}\n{self._said.read_text()[-4000:]}")
            time.sleep(LOOK_S)


def _serving(*, total: int = 0, rate: float = 0, tls: bool = False) -> AbstractContextManager[Canned]:
    told = {"size": SIZE, "total": total, "rate": rate}
    return started("tests.bench.queue_server", COUNTER_BYTES, told, tls=tls)


@contextmanager
def _polling(
    variant: str, server: Canned, handlers: int, takes_ms: int, *, timed: bool = False, queues: int = 1
) -> Iterator[_Poller]:
    pinned, (root, name) = cores(), home(variant)
    with tempfile.TemporaryDirectory() as folder:
        plan = QueuePlan(server.url, server.url + QUEUE_PATH, handlers, takes_ms, folder, timed, queues)
        told = {"variant": name, "core": pinned[1] if pinned else None, "plan": asdict(plan)}
        with Path(folder, "said").open("wb") as log:
            process = subprocess.Popen(
                [interpreter(variant), "-m", "tests.bench.queue_client"],
                cwd=root,
                env=environment(server.authority) | {"PYTHONPATH": str(root)},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
            )
            try:
                assert process.stdin is not None
                process.stdin.write(json.dumps(told))
                process.stdin.close()
                yield _Poller(process, Counter(server.counter), Path(folder))
            finally:
                process.kill()
                process.wait(PATIENCE_S)


def _reading(server: Canned, poller: _Poller) -> tuple[float, float, float]:
    """The time, and the CPU that poller and server have used."""
    return time.perf_counter(), _cpu_s(poller.process.pid), _cpu_s(server.pid)


def _cpu_s(pid: int) -> float:
    """The CPU clock of another process; see the manual of `clock_getcpuclockid`."""
    return time.clock_gettime((~pid << 3) | 2)


def _rss_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0
