"""Starts the server and one variant at a time, each on a core of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.bench.counter import COUNTER_BYTES
from tests.bench.meter import Plan
from tests.bench.peers import interpreter
from tests.servers.certificate import make_certificate

__all__ = ["COMPILED", "PATIENCE_S", "ROOT", "Canned", "cores", "environment", "home", "measure", "serving", "started"]

ROOT = Path(__file__).parents[2]
COMPILED = ROOT / ".compiled"
"""The same checkout with what `make compiled` has made of it."""

PATIENCE_S = 60.0


@dataclass(frozen=True)
class Canned:
    """A running server. `url`: where; `counter`: the file that it counts in; `pid`: its process.

    `authority`: the file of the certificate that stands behind it, "" without TLS.
    """

    url: str
    counter: Path
    pid: int
    authority: str = ""

    def reset(self) -> None:
        """Counts from nothing again. No request may be under way."""
        with self.counter.open("r+b") as file:
            file.write(bytes(COUNTER_BYTES))


def cores() -> tuple[int, int] | None:
    """A core for the server and one for the client; `None` when there are not two."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else None


@contextmanager
def started(module: str, counter_bytes: int, told: Mapping[str, float], *, tls: bool) -> Iterator[Canned]:
    """The server in that module, told so much, for as long as the block runs."""
    pinned = cores()
    with tempfile.TemporaryDirectory() as folder:
        counter = Path(folder, "counter")
        counter.write_bytes(bytes(counter_bytes))
        command = [sys.executable, "-m", module, "--counter", str(counter)]
        command += [text for name, value in told.items() for text in (f"--{name}", str(value))]
        command += ["--core", str(pinned[0])] if pinned else []
        made = make_certificate(Path(folder)) if tls else None
        command += ["--certificate", str(made.authority), "--key", str(made.key)] if made else []
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                url = f"http{'s' if made else ''}://127.0.0.1:{int(process.stdout.readline())}"
                yield Canned(url, counter, process.pid, str(made.authority) if made else "")
            finally:
                process.stdin.close()
                process.wait(PATIENCE_S)


def serving(
    records: int, size: int, pages: int, *, lifetime_s: float = 600.0, tls: bool = False, every_s: float = 0
) -> AbstractContextManager[Canned]:
    """A server of streams for as long as the block runs, and no longer than `lifetime_s`.

    `every_s`: instead of pages, each shard gets a record so often.
    """
    told = {"records": records, "size": size, "pages": pages, "lifetime": lifetime_s, "every": every_s}
    return started("tests.bench.server", COUNTER_BYTES, told, tls=tls)


def environment(authority: str) -> dict[str, str]:
    """What a poller is given: credentials that the servers take, and no proxy. `authority`: as of a server."""
    told = {name: value for name, value in os.environ.items() if not name.upper().endswith("_PROXY")}
    told |= {"AWS_CA_BUNDLE": authority} if authority else {}
    return told | {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench", "AWS_EC2_METADATA_DISABLED": "true"}


def home(variant: str) -> tuple[Path, str]:
    """The checkout in which a variant is run, and what it is called there."""
    name, _, how = variant.partition(", ")
    return (COMPILED, name) if how == "compiled" else (ROOT, variant)


def measure(variant: str, plan: Plan, *, patience_s: float = PATIENCE_S) -> dict[str, Any]:
    """What the variant measured of itself. Raises `RuntimeError` with what it said when it failed."""
    pinned, (root, name) = cores(), home(variant)
    told = {"variant": name, "core": pinned[1] if pinned else None, "plan": asdict(plan)}
    done = subprocess.run(
        [interpreter(variant), "-m", "tests.bench.client"],
        cwd=root,
        env=environment(plan.authority) | {"PYTHONPATH": str(root)},
        input=json.dumps(told),
        capture_output=True,
        text=True,
        check=False,
        timeout=patience_s,
    )
    if done.returncode:
        raise RuntimeError(f"{variant} failed:\n{done.stderr}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result
