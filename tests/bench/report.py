"""The comparison as a table for people, and as JSON for whoever wants to draw it."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from textwrap import fill
from typing import Any

from esm.runtime import driver
from tests.bench.client import VARIANTS
from tests.bench.comparison import Effort, Row
from tests.bench.peers import absent, versions
from tests.bench.processes import cores

__all__ = ["figure", "machine", "page", "table", "tables", "under", "write"]

PACKAGES = ("asyncio-esm", "aiobotocore", "async-kinesis", "boto3", "botocore", "httptools", "msgspec", "uvloop")
ESM = "esm"


def tables(rows: list[Row], variants: list[str]) -> str:
    """Markdown: what each variant costs, how many records that is, and how much more than esm it takes."""
    full = [row for row in rows if row.workload.records]
    parts = [
        _table("CPU, us a record (a poll where it is empty)", rows, variants, lambda row, v: figure(row.cost(v))),
        _table("Records a second and core", full, variants, lambda row, v: f"{1e6 / row.cost(v):,.0f}"),
    ]
    if ESM in variants:
        others = [variant for variant in variants if variant != ESM]
        parts.append(
            _table("Times the CPU of esm", rows, others, lambda row, v: f"{row.times(v, ESM):.2f}"),
        )
    parts.append(_table("Largest resident size, MiB", rows, variants, lambda row, v: f"{row.rss_mib[v]:.0f}"))
    return "\n\n".join(parts) + "\n"


def machine() -> dict[str, Any]:
    """What it ran on."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "pinned": cores() is not None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "compiled": not str(driver.__file__).endswith(".py"),
        "packages": {name: version(name) for name in PACKAGES} | versions(),
    }


def page(rows: list[Row], variants: list[str], rounds: int) -> str:
    """Markdown: what was compared, the tables, what could not take part, and what it ran on."""
    left_out = absent(VARIANTS)
    parts = [_HEAD, tables(rows, variants), *([f"{left_out}\n"] if left_out else []), under(machine(), rounds)]
    return "\n".join(parts) + "\n"


def write(folder: Path, rows: list[Row], text: str, effort: Effort) -> Path:
    """Writes `latest.json` and the page, `latest.md`; gives the second."""
    folder.mkdir(exist_ok=True)
    data = {
        "machine": machine(),
        "rounds": effort.rounds,
        "us": {row.workload.name: row.samples for row in rows},
        "rss_mib": {row.workload.name: row.rss_mib for row in rows},
    }
    (folder / "latest.json").write_text(json.dumps(data, indent=1) + "\n")
    path = folder / "latest.md"
    path.write_text(text)
    return path


_HEAD = """# esm beside other pollers

`make bench` made this page. A server of canned answers runs on one core, one client at a time on another; what counts
is the CPU time of the client, user and system, all threads, after a warm-up. The variants take turns, every other round
the other way round; figures are medians, ratios are taken within a round. Before anything is measured, each variant has
to handle every record of a few pages once and in order.

All of them build a Lambda event and call the same handler, which only counts, with 100 records at a time. `esm` does it
through the public `Worker`, with positions in SQLite: each batch is durable before the next one of its lane begins. The
others store nothing. `floor` is a blocking socket, a signature, a typed decoder and the event: what is left when
nothing can go wrong. boto3 and aiobotocore are loops over `get_records` of one shard, without a pause; `esm` and
async-kinesis keep to their own pace on more shards. async-kinesis hands out nothing of a record but its data.
`aws-sdk-js` is the same loop on Node with the AWS SDK for JavaScript, over one connection kept alive: with HTTP/1.1, as
the HTTP/2 that the SDK takes by itself is no cheaper. It has 5 s of CPU to warm up, for the just-in-time compiler.
Node's flags are its own: with `--max-semi-space-size=64` large answers cost it about a fifth less, and more memory.
`localstack` is the `KinesisPoller` of LocalStack called without its pauses, whose polls ask for one batch each.
"""


def under(where: dict[str, Any], rounds: int) -> str:
    """What stands under a page: the machine, what ran on it, and how often."""
    packages = ", ".join(f"{name} {release}" for name, release in where["packages"].items())
    pinned = "each process on a core of its own" if where["pinned"] else "not pinned: there was one core"
    compiled = "Hot paths of esm are compiled by mypyc.\n" if where["compiled"] else ""
    return (
        f"{compiled}{where['cpu']}, {where['cores']} cores, {pinned}.\n{where['system']}, CPython {where['python']}.\n"
        + fill(f"{packages}.", width=120, break_long_words=False, break_on_hyphens=False)
        + f"\nRounds: {rounds}."
    )


def _table(title: str, rows: list[Row], variants: list[str], cell: Any) -> str:
    return table([[title, *variants], *([row.workload.name, *(cell(row, v) for v in variants)] for row in rows)])


def table(lines: list[list[str]], *, words: int = 1) -> str:
    """Markdown of a head line and the lines under it. `words`: so many columns to the left, the others to the right."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    texts = [
        [*map(str.ljust, line[:words], widths[:words]), *map(str.rjust, line[words:], widths[words:])] for line in lines
    ]
    rule = ["-" * width for width in widths[:words]] + ["-" * (width - 1) + ":" for width in widths[words:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in [texts[0], rule, *texts[1:]])


def figure(value: float) -> str:
    """With two digits behind the point where they mean something."""
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
